//! Images in directories and archives: every kind can be read and written, by ohoci and by the
//! tools that people have, and no file that somebody made up does harm.
mod archives;
mod docker;
mod layouts;
mod skopeo;
mod support;
