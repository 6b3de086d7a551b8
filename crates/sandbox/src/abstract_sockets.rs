//! Keeps what shares this machine's network from the abstract sockets of other programs (unix(7)):
//! they belong to a network, not to a file system, and many of them trust whoever reaches them.

use landlock::{CompatLevel, Compatible as _, Ruleset, RulesetAttr as _, Scope};

/// Whether the kernel can do that (Linux 6.12, with Landlock enabled).
#[must_use]
pub fn can_be_kept_away() -> bool {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .scope(Scope::AbstractUnixSocket)
        .and_then(Ruleset::create)
        .is_ok()
}

/// What to say where it cannot.
pub const UNPROTECTED: &str = "with this machine's network programs can reach abstract sockets of other programs here: the kernel cannot keep them away (Linux 6.12 with Landlock could)";

/// Has the calling thread, and what it starts from now on, reach no abstract sockets but those that
/// it makes, where the kernel can do that.
pub(super) fn keep_away() {
    // Whoever starts this has asked whether it can be.
    let _ = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .scope(Scope::AbstractUnixSocket)
        .and_then(Ruleset::create)
        .and_then(landlock::RulesetCreated::restrict_self);
}
