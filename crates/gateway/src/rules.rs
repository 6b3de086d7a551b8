//! The file that says which names mean which compositions.
//!
//! ```toml
//! [[rule]]
//! name = "openhands/{registry}/{repository}"
//! base = "{registry}/{repository}"
//! bases = ["docker.io/library/*", "registry.example/**"]
//! deps = ["registry.example/openhands/deps:1"]
//! contract = "v1"
//! fit = "auto"
//! ```
//!
//! Besides these a rule takes the keys of `[compose]` in `ohoci.toml` that say what an image is, with
//! the same meanings.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use glob::{MatchOptions, Pattern};
use ohoci_compose::fit::Fit;
use ohoci_compose::job::Job;
use ohoci_compose::local::LocalLayer;
use ohoci_compose::read::Choice;
use ohoci_compose::request::Request;
use ohoci_compose::resolver::Resolver;
use ohoci_config::{ComposeDefaults, TrustRule};
use ohoci_image::config_patch::merged;
use ohoci_image::{Digest, Reference, RegistryReference};
use ohoci_layer::PackOptions;
use ohoci_openhands::contract::{Contract, server};
use toml::{Table, Value};

use crate::name::{BasePattern, Bound, NamePattern};

/// Largest file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Most rules of a file.
const MAX_RULES: usize = 1000;

/// How long what a tag named is taken to be so, unless a rule says otherwise.
const FRESH: Duration = Duration::from_secs(60);

/// How many tags of a base are composed in search of a digest, unless a rule says otherwise.
const SEARCHED_TAGS: usize = 100;

/// Keys of `[compose]` that say where images go and how, which is no question here.
const OUT_OF_PLACE: [&str; 4] = ["push", "layer", "if-exists", "no-upload"];

/// How `*` and `**` in patterns of bases are read: a `*` stays in its component.
const MATCHING: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// Why a file has no rules that can be used.
#[derive(Debug, thiserror::Error)]
#[error("{}{why}", .place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default())]
pub struct RuleError {
    place: Option<String>,
    why: String,
}

impl RuleError {
    fn new(why: impl Into<String>) -> Self {
        Self {
            place: None,
            why: why.into(),
        }
    }

    pub(crate) fn of(place: &str, why: impl Into<String>) -> Self {
        Self {
            place: Some(place.to_owned()),
            why: why.into(),
        }
    }
}

/// A rule as it stands in the file, checked as far as that takes no network.
#[derive(Debug)]
pub struct Rule {
    pub(crate) name: NamePattern,
    pub(crate) base: BasePattern,
    bases: Vec<Pattern>,
    /// What it is called in messages.
    pub(crate) title: String,
    contract: Option<ContractChoice>,
    request: Request,
    /// What is asked of the base, beside this machine's policy.
    pub(crate) trust: Option<TrustRule>,
    /// Most bytes of an image's layers together, as they are in registries.
    pub(crate) most_bytes: Option<u64>,
    /// Whether clients are sent where a registry keeps its blobs.
    pub(crate) redirect: bool,
    /// How long what a tag named is taken to be so.
    pub(crate) fresh: Duration,
    /// How many tags of a base are composed in search of a digest.
    pub(crate) searched_tags: usize,
    /// Changes with everything that the file says of the rule.
    fingerprint: Digest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ContractChoice {
    Auto,
    These(Contract),
}

/// A rule whose own layers are packed.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) rule: Rule,
    /// What it makes, on no base in particular.
    pub(crate) job: Job,
    /// Changes with everything that its images are made from, but for what references name.
    pub(crate) fingerprint: Digest,
}

impl Rule {
    /// Reads a file of rules. References to places on this machine are relative to its directory.
    ///
    /// # Errors
    /// When it cannot be read, is larger than 1 MiB, or says something that is not known or not
    /// possible.
    pub fn read(path: &Path) -> Result<Vec<Self>, RuleError> {
        let unreadable = |error: std::io::Error| RuleError::new(error.to_string());
        let file = ohoci_files::regular::open(path).map_err(unreadable)?;
        let mut text = String::new();
        file.take(MAX_FILE + 1)
            .read_to_string(&mut text)
            .map_err(unreadable)?;
        if text.len() as u64 > MAX_FILE {
            return Err(RuleError::new("it is larger than 1 MiB"));
        }
        Self::parse(&text, path.parent().unwrap_or(Path::new("")))
    }

    /// The rules of a file's text, in their order; `directory` is the file's.
    ///
    /// # Errors
    /// When it says something that is not known or not possible.
    pub fn parse(text: &str, directory: &Path) -> Result<Vec<Self>, RuleError> {
        let mut table: Table = text.parse().map_err(|error: toml::de::Error| {
            RuleError::new(error.to_string().trim().to_owned())
        })?;
        let Some(Value::Array(rules)) = table.remove("rule") else {
            return Err(RuleError::new("it has no [[rule]]"));
        };
        if let Some(other) = table.keys().next() {
            return Err(RuleError::new(format!(
                "{other:?} is not known; there is [[rule]]"
            )));
        }
        if rules.len() > MAX_RULES {
            return Err(RuleError::new(format!(
                "it has more than {MAX_RULES} rules"
            )));
        }
        let rules = rules.into_iter().zip(1..);
        rules
            .map(|(rule, number)| {
                let place = format!("rule {number}");
                match rule {
                    Value::Table(table) => Self::of(table, directory, &place),
                    _ => Err(RuleError::of(&place, "it is no table")),
                }
            })
            .collect()
    }

    fn of(mut table: Table, directory: &Path, place: &str) -> Result<Self, RuleError> {
        let fail = |why: String| RuleError::of(place, why);
        let fingerprint = Digest::of(table.to_string().as_bytes());
        let mut own = Keys {
            table: &mut table,
            place,
        };
        let name_text = own
            .text("name")?
            .ok_or_else(|| fail("it has no `name`".to_owned()))?;
        let name = NamePattern::parse(&name_text).map_err(|error| fail(error.to_string()))?;
        let base = own
            .text("base")?
            .ok_or_else(|| fail("it has no `base`".to_owned()))?;
        let base = BasePattern::parse(&base, &name).map_err(|error| fail(error.to_string()))?;
        let bases = own.texts("bases")?.ok_or_else(|| {
            fail("it has no `bases`: patterns of the repositories that images may be composed on, such as \"docker.io/library/*\"".to_owned())
        })?;
        let patterns = bases.iter().map(|text| {
            Pattern::new(text).map_err(|error| fail(format!("bases {text:?}: {error}")))
        });
        let bases = patterns.collect::<Result<_, _>>()?;
        let contract = match own.text("contract")?.as_deref() {
            None => None,
            Some("auto") => Some(ContractChoice::Auto),
            Some("v0") => Some(ContractChoice::These(Contract::V0)),
            Some("v1") => Some(ContractChoice::These(Contract::V1)),
            Some(other) => {
                return Err(fail(format!(
                    "contract {other:?}: there are auto, v0 and v1"
                )));
            }
        };
        let fit = match own.text("fit")? {
            None => Fit::None,
            Some(text) => text
                .parse()
                .map_err(|error| fail(format!("fit {text:?}: {error}")))?,
        };
        let trust = own.trust(directory)?;
        let most_bytes = own.number("most-bytes")?;
        let redirect = own.truth("redirect")?.unwrap_or(true);
        let fresh = own
            .number("fresh-seconds")?
            .map_or(FRESH, Duration::from_secs);
        let max_layers = own.number("max-layers")?;
        let searched = own.number("searched-tags")?;
        if let Some(key) = OUT_OF_PLACE
            .into_iter()
            .find(|key| table.contains_key(*key))
        {
            return Err(fail(format!("{key:?} has no meaning here")));
        }
        let mut defaults = composition(table).map_err(fail)?;
        defaults.resolve(directory);
        let all = defaults.platform.is_empty() && defaults.all_platforms.is_none();
        let request = Request {
            fit,
            max_layers: max_layers.map(|most| usize::try_from(most).unwrap_or(usize::MAX)),
            choice: all.then_some(Choice::All),
            ..Request::default()
        };
        let request = request
            .over(&defaults)
            .map_err(|error| fail(error.to_string()))?;
        Ok(Self {
            title: format!("{place} ({name_text})"),
            name,
            base,
            bases,
            contract,
            request,
            trust,
            most_bytes,
            redirect,
            fresh,
            searched_tags: searched.map_or(SEARCHED_TAGS, |most| {
                usize::try_from(most).unwrap_or(usize::MAX)
            }),
            fingerprint,
        })
    }

    /// The repository that a name means, with tag or digest where the name says that; `None` where the
    /// rule is not about it.
    pub(crate) fn repository(&self, name: &str) -> Option<Result<RegistryReference, String>> {
        let bound: Bound = self.name.bind(name)?;
        Some(
            self.base
                .repository(&bound)
                .map_err(|error| error.to_string()),
        )
    }

    /// Whether images may be composed on what is in a repository.
    pub(crate) fn permits(&self, repository: &RegistryReference) -> bool {
        let name = repository.name();
        let mut patterns = self.bases.iter();
        patterns.any(|pattern| pattern.matches_with(&name, MATCHING))
    }

    /// The deps images.
    pub(crate) fn deps(&self) -> &[Reference] {
        &self.request.deps
    }

    /// Makes the rule's own layers, and looks into the deps images where its contract asks for that.
    /// `created` is the date of the images, where they are to have one of their own; `mtime` that of
    /// the files of the contract. `policy` changes with the policy of `resolver`: what another one let in
    /// is not answered under it.
    pub(crate) async fn ready(
        self,
        resolver: &Resolver,
        policy: &Digest,
        created: Option<String>,
        mtime: i64,
        work_dir: PathBuf,
    ) -> Result<Ready, RuleError> {
        let title = self.title.clone();
        let fail = |why: String| RuleError::of(&title, why);
        let mut request = self.request.clone();
        request.created = created;
        let mut layers: Vec<LocalLayer> = Vec::new();
        if let Some(choice) = self.contract {
            let contract = match choice {
                ContractChoice::These(contract) => contract,
                ContractChoice::Auto => server::asked_for(&request.deps, resolver)
                    .await
                    .map_err(|error| fail(error.to_string()))?,
            };
            server::expect(contract, &request.deps, resolver)
                .await
                .map_err(|error| fail(error.to_string()))?;
            let terms = server::terms(contract, &request.deps, resolver)
                .await
                .map_err(|error| fail(error.to_string()))?;
            request.patch = merged([&terms.patch(), &request.patch]);
            let options = PackOptions {
                mtime,
                ..PackOptions::default()
            };
            let packed = terms.layer(&options, &work_dir);
            layers.push(packed.map_err(|error| fail(error.to_string()))?);
        }
        let mut said = self.fingerprint.to_string();
        said.push_str(&policy.to_string());
        said.push_str(request.created.as_deref().unwrap_or_default());
        for layer in &layers {
            said.push_str(&layer.descriptor.digest.to_string());
        }
        Ok(Ready {
            job: request.job(layers, work_dir),
            fingerprint: Digest::of(said.as_bytes()),
            rule: self,
        })
    }
}

/// What a rule says of its images. A key that cannot be read is named: what reads it does not say which.
fn composition(table: Table) -> Result<ComposeDefaults, String> {
    for (key, value) in &table {
        let alone = Table::from_iter([(key.clone(), value.clone())]);
        alone
            .try_into::<ComposeDefaults>()
            .map_err(|error| format!("{key:?}: {}", error.message()))?;
    }
    table
        .try_into()
        .map_err(|error: toml::de::Error| error.message().to_owned())
}

impl Ready {
    /// Whether composing writes files, beside what is kept.
    pub(crate) fn makes_files(&self) -> bool {
        let job = &self.job;
        !job.layers.is_empty() || job.fit != Fit::None || job.deps_path.is_some()
    }

    /// The job that composes on a base.
    pub(crate) fn job_on(&self, base: &RegistryReference, work_dir: PathBuf) -> Job {
        Job {
            base: Reference::Registry(base.clone()),
            work_dir,
            ..self.job.clone()
        }
    }
}

/// The keys of a rule that `[compose]` has not.
struct Keys<'a> {
    table: &'a mut Table,
    place: &'a str,
}

impl Keys<'_> {
    fn wrong(&self, key: &str, what: &str) -> RuleError {
        RuleError::of(self.place, format!("`{key}` is to be {what}"))
    }

    fn text(&mut self, key: &str) -> Result<Option<String>, RuleError> {
        match self.table.remove(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(key, "a string")),
        }
    }

    fn texts(&mut self, key: &str) -> Result<Option<Vec<String>>, RuleError> {
        let Some(value) = self.table.remove(key) else {
            return Ok(None);
        };
        let wrong = || self.wrong(key, "a list of strings");
        let list = value.as_array().ok_or_else(wrong)?.iter();
        let texts = list.map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong));
        Ok(Some(texts.collect::<Result<_, _>>()?))
    }

    fn number(&mut self, key: &str) -> Result<Option<u64>, RuleError> {
        match self.table.remove(key) {
            None => Ok(None),
            Some(value) => {
                let number = value
                    .as_integer()
                    .and_then(|number| u64::try_from(number).ok());
                Ok(Some(
                    number.ok_or_else(|| self.wrong(key, "a whole number"))?,
                ))
            }
        }
    }

    /// What is asked of the base: `trust`, a table as a rule of `[trust]` is, without names of images.
    fn trust(&mut self, directory: &Path) -> Result<Option<TrustRule>, RuleError> {
        const KEY: &str = "trust";
        let Some(value) = self.table.remove(KEY) else {
            return Ok(None);
        };
        let mut asked: TrustRule = value.try_into().map_err(|error: toml::de::Error| {
            RuleError::of(self.place, format!("`{KEY}`: {}", error.message()))
        })?;
        if !asked.images.is_empty() {
            let why = format!("`{KEY}` names images; it is about the base");
            return Err(RuleError::of(self.place, why));
        }
        if let Some(fault) = asked.fault() {
            return Err(RuleError::of(self.place, format!("`{KEY}` {fault}")));
        }
        asked.resolve(directory);
        Ok(Some(asked))
    }

    fn truth(&mut self, key: &str) -> Result<Option<bool>, RuleError> {
        match self.table.remove(key) {
            None => Ok(None),
            Some(Value::Boolean(truth)) => Ok(Some(truth)),
            Some(_) => Err(self.wrong(key, "true or false")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<Rule>, RuleError> {
        Rule::parse(text, Path::new("/rules"))
    }

    const RULE: &str = "[[rule]]\nname = \"oh/{registry}/{repository}\"\n\
        base = \"{registry}/{repository}\"\nbases = [\"docker.io/library/*\", \"registry.example/**\"]\n";

    #[test]
    fn bases_are_limited_by_patterns() {
        let rules = parse(RULE).unwrap();
        let permits = |name: &str| {
            let repository = rules[0].repository(name).unwrap().unwrap();
            rules[0].permits(&repository)
        };
        assert!(permits("oh/docker.io/debian"));
        assert!(permits("oh/docker.io/library/debian"));
        assert!(permits("oh/registry.example/a/b/c"));
        assert!(!permits("oh/docker.io/someone/debian"));
        assert!(!permits("oh/docker.io/library/a/b"));
        assert!(!permits("oh/registry.example.other/a"));
        assert!(rules[0].repository("docker.io/library/debian").is_none());
    }

    #[test]
    fn a_rule_takes_what_an_image_is_made_of_and_nothing_else() {
        let rules = parse(&format!(
            "{RULE}deps = [\"oci:deps:1\"]\nfit = \"auto\"\nuser = \"10001\"\nenv = {{ A = \"1\" }}\n\
             platform = [\"linux/amd64\"]\nmost-bytes = 10\nredirect = false\nfresh-seconds = 5\n"
        ));
        let rule = &rules.unwrap()[0];
        assert_eq!(rule.deps()[0].to_string(), "oci:/rules/deps:1");
        assert_eq!(rule.request.patch.user.as_deref(), Some("10001"));
        assert_eq!((rule.most_bytes, rule.redirect), (Some(10), false));
        assert!(matches!(&rule.request.choice, Some(Choice::Platforms(list)) if list.len() == 1));
        assert_eq!(parse(RULE).unwrap()[0].request.choice, Some(Choice::All));
        let asks = parse(&format!("{RULE}trust = {{ keys = [\"team.pub\"] }}\n")).unwrap();
        let trust = asks[0].trust.as_ref().unwrap();
        assert_eq!(trust.keys, [Path::new("/rules/team.pub")]);
        for (more, why) in [
            (
                "push = [\"registry.example/a\"]",
                "\"push\" has no meaning here",
            ),
            ("usr = \"1\"", "usr"),
            ("user = 1", "\"user\": invalid type"),
            ("fit = \"some\"", "fit"),
            ("fit = \"auto\"", "--fit"),
            ("contract = \"v2\"", "auto, v0 and v1"),
            ("most-bytes = -1", "a whole number"),
            ("redirect = \"no\"", "true or false"),
            ("trust = {}", "`trust` asks for nothing"),
            (
                "trust = { keys = [\"a\"], images = [\"b\"] }",
                "about the base",
            ),
            ("trust = { attestations = [\"a\"] }", "names no keys"),
            ("trust = { key = \"a\" }", "`trust`: unknown field `key`"),
        ] {
            let error = parse(&format!("{RULE}{more}\n")).unwrap_err().to_string();
            assert!(
                error.starts_with("rule 1: ") && error.contains(why),
                "{error}"
            );
        }
        for (text, why) in [
            ("", "no [[rule]]"),
            ("rules = 1", "no [[rule]]"),
            (
                "[[rule]]\nname = \"a\"\nbase = \"registry.example/a\"\n",
                "no `bases`",
            ),
            (
                "[[rule]]\nbase = \"registry.example/a\"\nbases = []\n",
                "no `name`",
            ),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
