//! What integration tests share: servers, images, clients, and a way to run the binary.
//!
//! * [`command`]: the `ohoci` binary with a home of its own.
//! * [`debian_registry`]: Debian's `docker-registry`, open, with passwords, tokens or certificates.
//! * [`ohoci_registry`]: ohoci's own, with its log; [`serving`]: as a process.
//! * [`sigstore`]: certificates of one signature, and the logs that have them.
//! * [`tls_front`]: HTTPS in front of a plain server.
//! * [`token_server`]: hands out the tokens, with the quirks of real ones.
//! * [`certificates`]: an authority for HTTPS on loopback.
//! * [`images`]: small real images, plain and odd.
//! * [`faulty_proxy`]: a registry that misbehaves at random.
//! * [`answering`]: servers whose answers a test makes up.
//! * [`peer`]: reads and writes a registry without any code of ohoci.
//! * [`workbench`]: a registry, ohoci and a deps image together.
//! * [`requests`]: what went over the wire, in words.
//! * [`schema`]: the published schemas of what commands print.
//! * [`clients`]: skopeo, umoci and running what came out; [`docker`]: a daemon of its own.

pub(crate) mod answering;
pub(crate) mod certificates;
pub(crate) mod clients;
pub(crate) mod command;
pub(crate) mod debian_registry;
pub(crate) mod docker;
pub(crate) mod faulty_proxy;
pub(crate) mod images;
pub(crate) mod kubernetes_schema;
pub(crate) mod ohoci_registry;
pub(crate) mod peer;
pub(crate) mod requests;
pub(crate) mod schema;
pub(crate) mod serving;
pub(crate) mod sigstore;
pub(crate) mod tls_front;
pub(crate) mod token_server;
pub(crate) mod trusting_registry;
pub(crate) mod workbench;
