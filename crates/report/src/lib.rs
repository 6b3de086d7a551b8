//! What reports for people are made of: pages of HTML in one style, and sizes and times as people read
//! them.
//!
//! Pages are written with [`maud`], whose templates escape whatever they are given: nothing that an
//! image, a log or a registry says becomes part of a page. They have no scripts and load nothing.
//!
//! ```
//! use ohoci_report::page::{Page, Tile, Tone, tiles};
//! use ohoci_report::size;
//!
//! let page = Page {
//!     title: "3 of 4 images are in place",
//!     style: "",
//!     body: tiles([
//!         Tile::new("pushed", "3").toned(Tone::Good),
//!         Tile::new("sent", size::bytes(57_100_000)),
//!     ]),
//! };
//! assert!(page.to_html().contains("<b>57.1 MB</b>"));
//! ```

pub mod page;
pub mod size;
mod table;

pub use table::{Cell, table};
