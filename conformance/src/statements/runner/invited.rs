//! Which cases a run asks of a broker, and which versions it speaks.

use std::collections::HashMap;
use std::sync::Arc;

use opifex_packet::Version;

use super::Options;
use crate::statements::case::Case;
use crate::statements::cases;
use crate::statements::descriptor::Descriptor;
use crate::statements::manifest;
use crate::statements::probe::{Found, Unusable, probe};
use crate::statements::target::Target;

/// The cases that the options ask for, each with the version that it is to speak.
pub(super) fn cases(options: &Options) -> Vec<(&'static Case, Version)> {
    let wanted = |case: &Case, statements: &[&str]| match &options.only {
        None => true,
        Some(only) => {
            case.id().starts_with(only.as_str()) || statements.iter().any(|id| manifest::is_within(id, only))
        }
    };
    let mut chosen = Vec::new();
    for chapter in cases::CHAPTERS {
        for case in chapter.cases {
            for &version in &options.versions {
                if case.claims_of(version).is_some_and(|statements| wanted(case, statements)) {
                    chosen.push((case, version));
                }
            }
        }
    }
    chosen
}

/// What the broker says in each of the versions.
pub(super) async fn probe_all(
    target: &Arc<dyn Target>,
    descriptor: &Descriptor,
    options: &Options,
) -> Result<HashMap<Version, Found>, Unusable> {
    let mut found = HashMap::new();
    for &version in &options.versions {
        let client_id = format!("{}probe{}", options.name, version.level());
        found.insert(version, probe(target, descriptor, version, &client_id).await?);
    }
    // 3.1.1 announces nothing: what 5.0 says holds for it, too.
    if let Some(Found::Accepted(known)) = found.get(&Version::V5_0).cloned()
        && let Some(Found::Accepted(offers)) = found.get_mut(&Version::V3_1_1)
    {
        *offers = known;
    } else if options.versions == [Version::V3_1_1]
        && let Some(Found::Accepted(_)) = found.get(&Version::V3_1_1)
        && let Ok(Found::Accepted(known)) =
            probe(target, descriptor, Version::V5_0, &format!("{}probe", options.name)).await
    {
        found.insert(Version::V3_1_1, Found::Accepted(known));
    }
    for offers in found.values_mut() {
        if let Found::Accepted(offers) = offers {
            offers.wildcards &= !descriptor.refuses_wildcards;
            offers.maximum_packet_size = match (offers.maximum_packet_size, descriptor.maximum_packet_size) {
                (Some(announced), Some(described)) => Some(announced.min(described)),
                (announced, described) => announced.or(described),
            };
        }
    }
    usable(&found, options)?;
    Ok(found)
}

/// Whether one of the versions is spoken.
fn usable(found: &HashMap<Version, Found>, options: &Options) -> Result<(), Unusable> {
    if found.values().any(|found| matches!(found, Found::Accepted(_))) {
        return Ok(());
    }
    if found.values().all(|found| matches!(found, Found::Closed)) {
        return Err(Unusable::Closes);
    }
    let refusals = options
        .versions
        .iter()
        .filter_map(|version| Some(format!("MQTT {version}: {}", found[version].refusal()?)));
    Err(Unusable::Refuses(refusals.collect::<Vec<_>>().join("; ")))
}
