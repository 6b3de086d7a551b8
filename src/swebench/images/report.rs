//! What was built, for people and as JSON.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Value, json};

use super::planned::Planned;
use super::push::Pushed;
use crate::output;
use crate::size::bytes;
use ohoci_swebench_images::base::Base;
use ohoci_swebench_images::builder::Made;
use ohoci_swebench_images::{BuildError, BuiltInstance};

/// What became of one instance.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    instance_id: String,
    image: String,
    environment_image: Option<String>,
    levels: Vec<LevelReport>,
    seconds: f64,
    script_seconds: f64,
    pub(super) pushed: Vec<Pushed>,
    pub(super) error: Option<BuildError>,
}

/// One level of an instance.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LevelReport {
    level: &'static str,
    key: String,
    digest: String,
    size: u64,
    uncompressed: u64,
    from_cache: bool,
    seconds: f64,
}

impl LevelReport {
    fn of(level: &'static str, made: &Made) -> Self {
        Self {
            level,
            key: made.key.clone(),
            digest: made.layer.layer.descriptor.digest.to_string(),
            size: made.layer.size(),
            uncompressed: made.layer.uncompressed,
            from_cache: made.layer.from_cache,
            seconds: rounded(made.seconds),
        }
    }
}

/// Says why something could not be built.
pub(super) fn tell(id: &str, error: &BuildError) {
    let mut text = format!(
        "error: {id}: level {}: {}\n  {}",
        error.level, error.step, error.why
    );
    if let Some(log) = &error.log {
        let _ = write!(text, "\n  the end of {}:", log.display());
        for line in &error.tail {
            let _ = write!(text, "\n  | {line}");
        }
    }
    if let Some(hint) = &error.hint {
        let _ = write!(text, "\nhint: {hint}");
    }
    output::note(&text);
}

/// Milliseconds are enough.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

impl Outcome {
    pub(super) fn of(planned: &Planned) -> Self {
        Self {
            instance_id: planned.instance_id.clone(),
            image: planned.image.clone(),
            environment_image: planned.environment_image.clone(),
            levels: Vec::new(),
            seconds: 0.0,
            script_seconds: 0.0,
            pushed: Vec::new(),
            error: None,
        }
    }

    /// One that was not begun, because of what it stands on.
    pub(super) fn failed(planned: &Planned, error: &BuildError) -> Self {
        Self {
            error: Some(error.clone()),
            ..Self::of(planned)
        }
    }

    pub(super) fn add_built(&mut self, built: &BuiltInstance) {
        let levels = built.levels.iter();
        self.levels = levels
            .map(|(level, made)| LevelReport::of(level, made))
            .collect();
        self.seconds = built.seconds;
        self.script_seconds = built.script_seconds;
    }

    /// Why it was not built, by the instance.
    pub(super) fn into_error(self) -> Option<(String, BuildError)> {
        Some((self.instance_id, self.error?))
    }

    /// Says how it went, as soon as it has ended.
    pub(super) fn tell(&self) {
        let id = &self.instance_id;
        match &self.error {
            None => {
                let own = self.levels.iter().filter(|level| !level.from_cache);
                let made: Vec<&str> = own.map(|level| level.level).collect();
                let how = match made.is_empty() {
                    true => "from the cache".to_owned(),
                    false => format!("{:.1} s, made: {}", self.seconds, made.join(", ")),
                };
                output::note(&format!("{id}: built ({how})"));
            }
            Some(error) => tell(id, error),
        }
    }

    fn json(&self) -> Value {
        json!({
            "instanceId": self.instance_id,
            "image": self.image,
            "environmentImage": self.environment_image,
            "status": if self.error.is_none() { "built" } else { "failed" },
            "levels": self.levels,
            "seconds": rounded(self.seconds),
            "scriptSeconds": rounded(self.script_seconds),
            "pushed": self.pushed,
            "error": self.error.as_ref().map(|error| json!({
                "level": error.level.to_string(),
                "step": error.step,
                "why": error.why,
                "hint": error.hint,
                "log": error.log,
                "tail": error.tail,
            })),
        })
    }
}

/// The whole run.
#[derive(Debug)]
pub(super) struct Report {
    base: Value,
    /// Layers of each level: how many there are, and their bytes.
    levels: Vec<(&'static str, usize, u64)>,
    /// The bytes that all layers have together.
    stored: u64,
    /// The bytes that they would have if no image shared any.
    apart: u64,
}

impl Report {
    pub(super) fn of(base: Option<&Base>, outcomes: &[Outcome]) -> Self {
        let layers = base.into_iter().flat_map(|base| &base.layers);
        let base_size: u64 = layers.map(|layer| layer.size).sum();
        let mut levels: Vec<(&'static str, usize, u64)> = Vec::new();
        levels.extend(base.map(|base| ("base", base.layers.len(), base_size)));
        let mut apart = 0;
        let mut seen = BTreeSet::new();
        for outcome in outcomes.iter().filter(|outcome| !outcome.levels.is_empty()) {
            apart += base_size;
            for level in &outcome.levels {
                apart += level.size;
                if !seen.insert(level.digest.clone()) {
                    continue;
                }
                match levels.iter_mut().find(|(name, ..)| *name == level.level) {
                    Some((_, count, size)) => {
                        *count += 1;
                        *size += level.size;
                    }
                    None => levels.push((level.level, 1, level.size)),
                }
            }
        }
        Self {
            base: base.map_or(Value::Null, |base| {
                json!({
                    "reference": base.reference.to_string(),
                    "digest": base.digest.to_string(),
                    "size": base_size,
                })
            }),
            stored: levels.iter().map(|(.., size)| size).sum(),
            levels,
            apart,
        }
    }

    pub(super) fn json(&self, outcomes: &[Outcome]) -> Value {
        let levels: Vec<Value> = self
            .levels
            .iter()
            .map(|(level, count, size)| json!({"level": level, "layers": count, "size": size}))
            .collect();
        json!({
            "base": self.base,
            "instances": outcomes.iter().map(Outcome::json).collect::<Vec<_>>(),
            "levels": levels,
            "storedBytes": self.stored,
            "sharedBytes": self.apart.saturating_sub(self.stored),
        })
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (level, count, size) in &self.levels {
            let layers = if *count == 1 { "layer" } else { "layers" };
            let _ = writeln!(text, "{level:<12} {count} {layers}, {}", bytes(*size));
        }
        let _ = writeln!(
            text,
            "stored {}, shared {}",
            bytes(self.stored),
            bytes(self.apart.saturating_sub(self.stored))
        );
        text
    }
}
