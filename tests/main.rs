//! Tests of the binary against real servers and real clients: one file per command or promise.
//!
//! One test program rather than one per file, because linking is what takes the time. A new file
//! has to be named here; `harness::every_file_is_part_of_the_test_program` notices a forgotten one.

#[cfg(test)]
mod batch;
#[cfg(test)]
mod beneath;
#[cfg(test)]
mod check;
#[cfg(test)]
mod ci;
#[cfg(test)]
mod circles;
#[cfg(test)]
mod compiler;
#[cfg(test)]
mod compose;
#[cfg(test)]
mod conda;
#[cfg(test)]
mod containers;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod copy;
#[cfg(test)]
mod deps;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod export;
#[cfg(test)]
mod first_process;
#[cfg(test)]
mod fit;
#[cfg(test)]
mod foreign_bytes;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod gateway;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod hostile_tars;
#[cfg(test)]
mod image_spec;
#[cfg(test)]
mod index;
#[cfg(test)]
mod inspect;
#[cfg(test)]
mod interrupt;
#[cfg(test)]
mod knowledge;
#[cfg(test)]
mod kubernetes;
#[cfg(test)]
mod layer;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod local_places;
#[cfg(test)]
mod login;
#[cfg(test)]
mod losses;
#[cfg(test)]
mod messages;
#[cfg(test)]
mod named;
#[cfg(test)]
mod names;
#[cfg(test)]
mod node_store;
#[cfg(test)]
mod oci_client;
#[cfg(test)]
mod odd_images;
#[cfg(test)]
mod platforms;
#[cfg(test)]
mod python;
#[cfg(test)]
mod reach;
#[cfg(test)]
mod real_packages;
#[cfg(test)]
mod recompose;
#[cfg(test)]
mod registry_client;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod rooms;
#[cfg(test)]
mod round_trips;
#[cfg(test)]
mod run;
#[cfg(test)]
mod sandbox;
#[cfg(test)]
mod sandboxes;
#[cfg(test)]
mod schemas;
#[cfg(test)]
mod serve;
#[cfg(test)]
mod serve_limits;
#[cfg(test)]
mod serve_secured;
#[cfg(test)]
mod serve_tokens;
#[cfg(test)]
mod server_conformance;
#[cfg(test)]
mod support;
#[cfg(test)]
mod swebench_evaluation;
#[cfg(test)]
mod swebench_grading;
#[cfg(test)]
mod swebench_images;
#[cfg(test)]
mod swebench_report;
#[cfg(test)]
mod tags;
#[cfg(test)]
mod terminal;
#[cfg(test)]
mod transport;
#[cfg(test)]
mod trust;
#[cfg(test)]
mod trust_anew;
#[cfg(test)]
mod trust_bytes;
#[cfg(test)]
mod trust_keyless;
#[cfg(test)]
mod wrappers;
