//! What becomes of composed images later: which are outdated, putting them on something newer,
//! checking that they are what they say.

mod job;
pub mod outdated;
pub mod rebase;
pub mod verify;

pub use job::{BaseChoice, DepsChoice};
pub use outdated::{ImageState, InputState, Movement, State, outdated, tagged};
pub use rebase::{Rebase, dropped_warning, rebase_job};
pub use verify::{ImageDifference, MissingInput, Verdict, Verification, verify};
