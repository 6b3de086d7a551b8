//! Medians of the measurements, as Markdown.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use testbed::Traffic;

/// One run of one tool.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) tool: String,
    pub(crate) rtt: Duration,
    pub(crate) workload: &'static str,
    pub(crate) wall: Duration,
    pub(crate) traffic: Traffic,
}

/// The tool that all others are compared with.
const OURS: &str = "ohoci";

/// What is measured, in the order in which it is done.
pub(crate) const WORKLOADS: [&str; 2] = ["first", "next"];

/// The table, with a line on what was measured above it and the notes below.
pub(crate) fn markdown(samples: &[Sample], what: &str, runs: usize, notes: &[String]) -> String {
    let mut text = format!(
        "{what}; PATH prepended, entrypoint set; medians of {runs}.\n\n\
         | RTT | what | tool | wall | round trips | requests | connections | uploaded | downloaded | × {OURS} |\n\
         |---:|---|---|---:|---:|---:|---:|---:|---:|---:|\n"
    );
    let mut tools: Vec<&str> = Vec::new();
    for sample in samples {
        if !tools.contains(&sample.tool.as_str()) {
            tools.push(&sample.tool);
        }
    }
    let times: BTreeSet<Duration> = samples.iter().map(|sample| sample.rtt).collect();
    for rtt in times {
        for workload in WORKLOADS {
            let of = |tool: &str| -> Vec<&Sample> {
                let same = |sample: &&Sample| {
                    sample.rtt == rtt && sample.workload == workload && sample.tool == tool
                };
                samples.iter().filter(same).collect()
            };
            let wall = |tool: &str| median(of(tool).iter().map(|sample| sample.wall));
            for &tool in &tools {
                let runs = of(tool);
                let Some(time) = wall(tool) else { continue };
                let number = |value: fn(&Traffic) -> u64| {
                    median(runs.iter().map(|run| value(&run.traffic))).unwrap_or(0)
                };
                let trips = match rtt.as_secs_f64() {
                    0.0 => "–".to_owned(),
                    rtt => format!("{:.1}", time.as_secs_f64() / rtt),
                };
                let ratio = wall(OURS).map_or("–".to_owned(), |ours| {
                    format!("{:.1}", time.as_secs_f64() / ours.as_secs_f64())
                });
                let _ = writeln!(
                    text,
                    "| {} ms | {workload} | {tool} | {:.3} s | {trips} | {} | {} | {} | {} | {ratio} |",
                    rtt.as_millis(),
                    time.as_secs_f64(),
                    number(|traffic| traffic.exchanges.len() as u64),
                    number(|traffic| traffic.connections as u64),
                    bytes(number(Traffic::sent)),
                    bytes(number(Traffic::received)),
                );
            }
        }
    }
    for note in notes {
        let _ = write!(text, "\n* {note}");
    }
    text
}

/// Every request of one run, with the time since the first.
pub(crate) fn requests(sample: &Sample) -> String {
    let mut text = format!(
        "{}, {} ms, {}:\n",
        sample.tool,
        sample.rtt.as_millis(),
        sample.workload
    );
    let start = sample.traffic.exchanges.first().map(|first| first.at);
    for exchange in &sample.traffic.exchanges {
        let _ = writeln!(
            text,
            "  {:>6.3} s  connection {:>2}  {} {} {}",
            exchange
                .at
                .saturating_sub(start.unwrap_or_default())
                .as_secs_f64(),
            exchange.connection,
            exchange.status,
            exchange.method,
            exchange.path,
        );
    }
    text
}

fn median<T: Ord + Copy>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut values: Vec<T> = values.collect();
    values.sort();
    values.get(values.len() / 2).copied()
}

pub(crate) fn bytes(number: u64) -> String {
    match number {
        0..10_000 => format!("{number} B"),
        10_000..1_000_000 => format!("{:.1} kB", number as f64 / 1e3),
        _ => format!("{:.1} MB", number as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(tool: &str, millis: u64) -> Sample {
        let wall = Duration::from_millis(millis);
        let rtt = Duration::from_millis(100);
        Sample {
            tool: tool.into(),
            rtt,
            workload: "first",
            wall,
            traffic: Traffic::default(),
        }
    }

    #[test]
    fn each_tool_has_its_median_and_its_ratio() {
        let samples: Vec<Sample> = [500, 490, 900]
            .map(|time| sample("ohoci", time))
            .into_iter()
            .chain([sample("other", 8000)])
            .collect();
        let text = markdown(&samples, "a folder", 3, &["not measured: a tool".into()]);
        assert!(
            text.contains("| 100 ms | first | ohoci | 0.500 s | 5.0 | 0 | 0 | 0 B | 0 B | 1.0 |"),
            "{text}"
        );
        assert!(text.contains("| other | 8.000 s | 80.0 |"), "{text}");
        assert!(
            text.contains("| 16.0 |") && text.ends_with("* not measured: a tool"),
            "{text}"
        );
    }
}
