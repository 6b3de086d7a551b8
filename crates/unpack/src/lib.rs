//! Images' files in a directory of this machine, unpacked as whoever runs this may.

mod image;
pub mod unpack;

pub use image::{FoundImage, UnpackedImage, find_image, unpack_image};
pub use unpack::{Owners, UnpackError, Unpacked, unpack};
