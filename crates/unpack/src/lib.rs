//! Images by their references, and trees that are written into a directory of this machine, as whoever
//! runs this may.

mod image;
pub mod unpack;

pub use image::{FoundImage, find_image};
pub use unpack::{Owners, UnpackError, Unpacked, link, unpack};
