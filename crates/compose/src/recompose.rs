//! What becomes of composed images later: which are outdated, putting them on something newer,
//! checking that they are what they say.

pub mod outdated;
pub mod rebase;
pub mod recorded;
pub mod verify;

pub use outdated::{ImageState, InputState, Movement, State, outdated, tagged};
pub use rebase::{BaseChoice, DepsChoice, Rebase, dropped_warning, rebase_job};
pub use verify::{ImageDifference, MissingInput, Verdict, Verification, verify};
