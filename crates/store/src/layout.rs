//! OCI image layouts in directories as sources and targets; [`ohoci_layout`] has what lies in them.

pub mod source;
pub mod target;

pub use ohoci_layout::Layout;
pub use ohoci_layout::index::{Index, MAX_INDEX, Selection};
pub use source::LayoutSource;
pub use target::LayoutTarget;
