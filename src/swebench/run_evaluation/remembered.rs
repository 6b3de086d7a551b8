//! A command line that a run remembers, for whoever goes on with it.

use std::ffi::OsString;

use clap::FromArgMatches as _;
use serde_json::{Value, json};

use super::arguments::Arguments;
use super::words::rewritten;
use crate::arguments::RegistryArguments;
use crate::failure::Failure;
use crate::swebench::cluster::DIVIDING;
use crate::swebench::given::{given, subcommand};

/// The command.
const NAME: &str = "run-evaluation";

/// What is for one process only, by clap's names.
const OWN: [&str; 10] = [
    "run_id",
    "resume",
    "fresh",
    "shard",
    "gather",
    "write_only",
    "rewrite_reports",
    "format",
    "follow",
    "verbose",
];

/// The flags of a command line, by clap's names, each as the words that say it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Remembered(Vec<(String, Vec<String>)>);

impl Remembered {
    /// Those of a command line of `run-evaluation`; none where it is none.
    pub(super) fn of(words: impl IntoIterator<Item = OsString>) -> Self {
        // A positional one has a flag of the same meaning.
        let positional = [("dataset", "dataset-name")];
        Self(given(rewritten(words), NAME, &OWN, &positional))
    }

    /// What a run kept.
    pub(super) fn of_record(record: &Value) -> Self {
        let kept = record.get("ohoci").and_then(|ohoci| ohoci.get("arguments"));
        let kept = kept.and_then(Value::as_object).into_iter().flatten();
        let words = |words: &Value| -> Option<Vec<String>> {
            let words = words.as_array()?.iter();
            words.map(|word| word.as_str().map(str::to_owned)).collect()
        };
        Self(
            kept.filter_map(|(id, kept)| Some((id.clone(), words(kept)?)))
                .collect(),
        )
    }

    /// What a run keeps.
    pub(super) fn to_record(&self) -> Value {
        let all = self.0.iter().map(|(id, words)| (id.clone(), json!(words)));
        Value::Object(all.collect())
    }

    /// With what an earlier command line says of that of which this says nothing.
    pub(super) fn or(mut self, earlier: Self) -> Self {
        // The same is said in two ways.
        let same = |id: &str| match id {
            "dataset" => "dataset_name".to_owned(),
            "gold" => "predictions_path".to_owned(),
            other => other.to_owned(),
        };
        let given: Vec<String> = self.0.iter().map(|(id, _)| same(id)).collect();
        let missing = earlier.0.into_iter();
        self.0
            .extend(missing.filter(|(id, _)| !given.contains(&same(id))));
        self
    }

    /// The command line of a shard, without the shard.
    pub(super) fn of_shard(&self, program: &str, run_id: &str) -> Vec<String> {
        let mut words = start(program, run_id);
        let kept = self.0.iter();
        let kept = kept.filter(|(id, _)| !DIVIDING.contains(&id.as_str()));
        words.extend(kept.flat_map(|(_, words)| words.clone()));
        words
    }

    /// What these flags come to, together with this process's own.
    pub(super) fn arguments(
        &self,
        own: &Arguments,
    ) -> Result<(Arguments, RegistryArguments), Failure> {
        let mut words = start("ohoci", &own.run_id);
        words.extend(self.0.iter().flat_map(|(_, words)| words.clone()));
        let unusable = |why: String| {
            Failure::new(
                format!("cannot use what run {} was started with", own.run_id),
                why,
            )
        };
        let words = words.into_iter().map(OsString::from);
        let command = crate::command().try_get_matches_from(words);
        let command = command.map_err(|error| unusable(error.to_string()))?;
        let (_, matches) = subcommand(command, NAME)
            .ok_or_else(|| unusable("it is no command line of run-evaluation".to_owned()))?;
        let read = |error: clap::Error| unusable(error.to_string());
        let mut arguments = Arguments::from_arg_matches(&matches).map_err(read)?;
        let registry = RegistryArguments::from_arg_matches(&matches).map_err(read)?;
        arguments.again.resume = own.again.resume;
        arguments.again.fresh = own.again.fresh;
        arguments.engine.shard.clone_from(&own.engine.shard);
        arguments.engine.gather = own.engine.gather;
        arguments.engine.cluster.write_only = own.engine.cluster.write_only;
        arguments.rewrite_reports.clone_from(&own.rewrite_reports);
        arguments.format = own.format;
        arguments.follow = own.follow;
        Ok((arguments, registry))
    }
}

fn start(program: &str, run_id: &str) -> Vec<String> {
    let words = [program, "swebench", NAME];
    let mut words: Vec<String> = words.map(str::to_owned).into();
    words.push(format!("--run-id={run_id}"));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remembered(line: &str) -> Remembered {
        Remembered::of(line.split(' ').map(OsString::from))
    }

    #[test]
    fn a_shard_is_started_as_the_whole_but_for_what_divides_it() {
        let line = "ohoci swebench run-evaluation --engine slurm --shards=4 -d rows.jsonl --write-only -p gold -id r --at_once 2 -i a b --network --plain-http h.example";
        let words = remembered(line).of_shard("ohoci", "r");
        assert_eq!(
            words.join(" "),
            "ohoci swebench run-evaluation --run-id=r --dataset-name=rows.jsonl --predictions-path=gold --instance-ids=a --instance-ids=b --network=host --plain-http=h.example"
        );
    }

    #[test]
    fn what_a_run_remembers_counts_where_nothing_else_is_said() {
        let first =
            "ohoci swebench eval verified --gold -id r -i a b -j 3 --env A=b --env C=d -t 60";
        let record = json!({"ohoci": {"arguments": remembered(first).to_record()}});
        let earlier = Remembered::of_record(&record);
        assert_eq!(earlier, remembered(first));
        let again = remembered("ohoci swebench run-evaluation --resume -id r -i c -p mine.json");
        let all = again.or(earlier);
        let own = "ohoci swebench run-evaluation --resume --run-id r";
        let words = own.split(' ').map(OsString::from);
        let (_, matches) = crate::swebench::given::parsed(words, NAME).unwrap();
        let own = Arguments::from_arg_matches(&matches).unwrap();
        let (arguments, _) = all.arguments(&own).unwrap();
        assert_eq!(arguments.instance_ids, ["c"]);
        assert_eq!(arguments.dataset().unwrap().to_str(), Some("verified"));
        assert_eq!(arguments.predictions(), Some("mine.json"));
        assert_eq!(arguments.sandbox.env, ["A=b", "C=d"]);
        assert_eq!(arguments.max_workers.map(usize::from), Some(3));
        assert!(arguments.again.resume);
        assert_eq!(Remembered::of_record(&json!({})), Remembered::default());
    }
}
