//! What an image's config says about running it.

use anyhow::{Context, Result};
use serde_json::Value;

use super::outcome::Outcome;

/// The config of an image, as it is there.
#[derive(Debug)]
pub(super) struct Config(Value);

impl Config {
    /// From the config's JSON.
    pub(super) fn parse(text: &str) -> Result<Self> {
        Ok(Self(serde_json::from_str(text).context("the config")?))
    }

    fn words(&self, name: &str) -> Vec<String> {
        let list = self.0.pointer(&format!("/config/{name}"));
        let list = list.and_then(Value::as_array).into_iter().flatten();
        list.filter_map(|word| Some(word.as_str()?.to_owned()))
            .collect()
    }

    /// Its environment.
    pub(super) fn env(&self) -> Vec<(String, String)> {
        let pairs = self.words("Env");
        let pairs = pairs.iter().filter_map(|pair| pair.split_once('='));
        pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// What is started: entrypoint and command.
    pub(super) fn command(&self) -> Vec<String> {
        [self.words("Entrypoint"), self.words("Cmd")].concat()
    }

    /// The number of its user, where it is one.
    pub(super) fn uid(&self) -> Option<&str> {
        let user = self.0.pointer("/config/User")?.as_str()?;
        let uid = user.split(':').next()?;
        uid.parse::<u32>().is_ok().then_some(uid)
    }

    /// Whether the same is started as by another image, and nothing of that one's environment but `PATH` has changed.
    pub(super) fn starts_like(&self, other: &Self) -> Outcome {
        let (command, expected) = (self.command(), other.command());
        if command != expected {
            return Outcome::Bad(format!("it starts {command:?}, and the base {expected:?}"));
        }
        let kept = self.env();
        let mut lost = other.env();
        lost.retain(|pair| pair.0 != "PATH" && !kept.contains(pair));
        match lost.first() {
            Some((name, value)) => Outcome::Bad(format!("{name} is not {value} any longer")),
            None => Outcome::Good,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::parse(&format!("{{\"config\":{text}}}")).unwrap()
    }

    #[test]
    fn what_is_started_and_by_whom_is_read() {
        let image = config(r#"{"Entrypoint":["a"],"Cmd":["b"],"User":"7:8","Env":["A=b=c"]}"#);
        assert_eq!(image.command(), ["a", "b"]);
        assert_eq!(image.uid(), Some("7"));
        assert_eq!(image.env(), [("A".to_owned(), "b=c".to_owned())]);
        assert_eq!(config(r#"{"User":"root"}"#).uid(), None);
    }

    #[test]
    fn a_base_that_lost_its_command_or_a_variable_is_seen() {
        let base = config(r#"{"Cmd":["a"],"Env":["A=1","PATH=/bin"]}"#);
        let good = config(r#"{"Cmd":["a"],"Env":["A=1","PATH=/x:/bin","B=2"]}"#);
        assert_eq!(good.starts_like(&base), Outcome::Good);
        for bad in [
            r#"{"Cmd":["b"],"Env":["A=1"]}"#,
            r#"{"Cmd":["a"],"Env":["A=2"]}"#,
        ] {
            assert!(matches!(config(bad).starts_like(&base), Outcome::Bad(_)));
        }
    }
}
