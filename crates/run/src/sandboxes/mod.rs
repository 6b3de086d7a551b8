//! Sandboxes that another program steers, by lines of JSON: what it can say and is told, and what is
//! done about it.

mod answer;
mod capture;
mod copying;
mod message;
mod sandbox;
mod service;

pub use message::{Content, Create, Exec, LONGEST_LINE, Mistake, Operation, Question};
pub use service::{Service, ServiceSettings};
