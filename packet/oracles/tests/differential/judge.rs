//! The comparison itself: one answer beside each peer's, and the list of exceptions beside them.

use opifex_packet::{Role, Version};

use crate::exceptions::Exception;
use crate::mutate::Input;
use crate::peers::Peer;
use crate::verdict::{Verdict, difference};

/// Compares `subject` with every peer that speaks the version. An error is a difference that nobody
/// has listed, with the bytes as hex and both answers.
pub(crate) fn judge(input: &Input, subject: fn(&[u8], Version, Role) -> Verdict) -> Result<(), String> {
    let ours = subject(&input.bytes, input.version, input.role);
    for peer in Peer::ALL.into_iter().filter(|peer| peer.speaks(input.version)) {
        let theirs = peer.read(&input.bytes, input.version);
        let Some(difference) = difference(&ours, &theirs) else { continue };
        if !Exception::all().any(|exception| exception.covers(peer, difference, &ours, input)) {
            return Err(format!(
                "{peer:?}: {difference:?}, and no exception says so\n{input:?}\n  opifex: {ours:?}\n  {peer:?}: {theirs:?}"
            ));
        }
    }
    Ok(())
}
