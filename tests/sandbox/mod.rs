//! What a sandbox keeps from the machine around it, whoever starts it: one file per promise.

mod descriptors;
mod kernel_settings;
mod killed;
mod mount_points;
mod private_directories;
mod scene;
mod seccomp;
mod shared_roots;
