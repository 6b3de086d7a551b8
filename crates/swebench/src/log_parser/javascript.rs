//! Test runners of projects in JavaScript and TypeScript.
//!
//! Source: SWE-bench 5.0.2, `swebench/harness/log_parsers/javascript.py`.

pub(super) mod indented;
pub(super) mod jest;
pub(super) mod karma;
pub(super) mod mocha;
pub(super) mod mocha_json;
pub(super) mod p5js;
pub(super) mod plotly;
pub(super) mod quarto;
pub(super) mod tap;
