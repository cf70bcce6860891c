//! The limit of open descriptors. Each connection takes one.

/// Raises the soft limit to the hard one and answers it; `None` where there is no such limit.
pub(crate) fn raise_limit() -> Option<u64> {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => Some(limit),
        Err(error) => {
            tracing::warn!(%error, "cannot raise the limit of open descriptors");
            None
        }
    }
}
