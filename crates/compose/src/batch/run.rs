//! Runs many compose jobs: fair between hosts, as many at once as the registries take.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::pace::Pace;
use super::queue::Queue;
use super::record::{Record, RecordStatus};
use super::work::Work;
use crate::compose::compose;
use crate::resolver::Resolver;
use crate::watch::{Observer, Unwatched};
use ohoci_store::{Error, ErrorKind};

/// One image to make.
#[derive(Clone, Debug)]
pub struct Item {
    /// The base as it was asked for.
    pub base: String,
    /// The host that the base is on.
    pub host: String,
    /// Says what is asked for: equal for equal jobs.
    pub key: String,
    /// What is done.
    pub work: Work,
}

/// When to stop, and how hard to try.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Most images at once.
    pub most: usize,
    /// How many times an image is tried before it has failed.
    pub attempts: u32,
    /// After how many failed images nothing new is started.
    pub max_failures: Option<usize>,
    /// Ask of each image that is likely there already whether its tag still names it, instead of
    /// listing a repository's tags once.
    pub verify_targets: bool,
    /// Read and plan, and send nothing that changes anything.
    pub dry_run: bool,
}

/// Is told how a batch goes.
pub trait Watcher: Send + Sync {
    /// An image ended. Called once per image, in the order in which they end.
    fn ended(&self, record: &Record);
    /// How many are under way, how many may be, and why.
    fn pace(&self, under_way: usize, limit: usize, reason: &str);
    /// The time now, RFC 3339.
    fn now(&self) -> String;
}

/// What a batch came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The images that ended, in that order.
    pub records: Vec<Record>,
    /// The images that were never started, and why not.
    pub left: Vec<(String, String)>,
}

struct Try {
    host: String,
    item: Item,
    attempt: u32,
    started_at: String,
    spent: Duration,
}

/// Runs every item to its end.
pub async fn run(
    items: Vec<Item>,
    options: Options,
    resolver: &Resolver,
    watcher: &dyn Watcher,
) -> Outcome {
    for item in &items {
        let push = item.work.push();
        resolver.announce(&item.work.reads(), &push.iter().collect::<Vec<_>>());
        if !options.verify_targets {
            resolver.expect(push);
        }
    }
    let mut queue = Queue::default();
    for item in items {
        let host = item.host.clone();
        queue.push(&host, (item, 1, None));
    }
    let observer: Arc<dyn Observer> = Arc::new(Unwatched);
    let mut pace = Pace::new(options.most);
    let mut outcome = Outcome::default();
    let mut failures = 0;
    let mut under_way = FuturesUnordered::new();
    loop {
        let ended = options.max_failures.is_some_and(|most| failures >= most);
        while !ended && under_way.len() < pace.limit() {
            let limits = resolver.client.statistics().rate_limits;
            let Some((host, (item, attempt, begun))) = queue.next(&limits) else {
                break;
            };
            let (started_at, spent) = begun.unwrap_or_else(|| (watcher.now(), Duration::ZERO));
            let this = Try {
                host,
                item,
                attempt,
                started_at,
                spent,
            };
            under_way.push(one(this, options.dry_run, resolver, &observer));
        }
        watcher.pace(under_way.len(), pace.limit(), pace.reason());
        let Some((mut this, result, took)) = under_way.next().await else {
            break;
        };
        queue.done(&this.host);
        pace.done(took, resolver.client.statistics().throttled);
        this.spent += took;
        let come_back = result.as_ref().err().and_then(put_off);
        if let Some(why) = &come_back {
            queue.stop(&this.host, why);
        }
        match &result {
            Err(_) if come_back.is_some() => {
                let host = this.host.clone();
                queue.push(
                    &host,
                    (this.item, this.attempt, Some((this.started_at, this.spent))),
                );
            }
            Err(error) if this.attempt < options.attempts && may_pass(error) => {
                let host = this.host.clone();
                queue.push(
                    &host,
                    (
                        this.item,
                        this.attempt + 1,
                        Some((this.started_at, this.spent)),
                    ),
                );
            }
            _ => {
                failures += usize::from(result.is_err());
                let record = record(&this, result, watcher);
                watcher.ended(&record);
                outcome.records.push(record);
            }
        }
    }
    outcome.left = queue
        .drain()
        .into_iter()
        .map(|((item, ..), why)| {
            let why = why.unwrap_or_else(|| "too many images had failed".to_owned());
            (item.base, why)
        })
        .collect();
    outcome
}

async fn one(
    this: Try,
    dry_run: bool,
    resolver: &Resolver,
    observer: &Arc<dyn Observer>,
) -> (Try, Result<crate::report::ComposeReport, Error>, Duration) {
    let started = Instant::now();
    let result = async {
        let (mut job, dropped) = this.item.work.job(resolver).await?;
        if dry_run {
            Arc::make_mut(&mut job).dry_run = true;
        }
        let mut report = Box::pin(compose(&job, resolver, observer)).await?;
        report.dropped = dropped;
        Ok(report)
    }
    .await;
    (this, result, started.elapsed())
}

/// What a registry says that asks for a pause longer than ohoci waits: the images that
/// are left would only be told the same.
fn put_off(error: &Error) -> Option<String> {
    error.come_back_in()?;
    let hint = error.hint().unwrap_or_default();
    Some(format!("{error}; {hint}, with --resume"))
}

/// Whether trying again may help: not when the image or the rights are wrong.
fn may_pass(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Unreachable | ErrorKind::Server | ErrorKind::Incomplete | ErrorKind::Corrupt
    )
}

fn record(
    this: &Try,
    result: Result<crate::report::ComposeReport, Error>,
    watcher: &dyn Watcher,
) -> Record {
    let now = watcher.now();
    let seconds = this.spent.as_secs_f64();
    let mut record = Record {
        time: now.clone(),
        base_image: this.item.base.clone(),
        tags: Vec::new(),
        error: None,
        log_path: None,
        status: RecordStatus::Failed,
        skip_reason: None,
        attempt_count: this.attempt,
        started_at: this.started_at.clone(),
        finished_at: now,
        duration_seconds: seconds,
        remote_check_seconds: 0.0,
        build_seconds: seconds,
        post_build_seconds: 0.0,
        key: this.item.key.clone(),
        digest: None,
        hint: None,
        warning: None,
        layers: Vec::new(),
    };
    match result {
        Ok(report) => record.fill(&report),
        Err(error) => {
            record.error = Some(error.to_string());
            record.hint = error.hint().map(str::to_owned);
        }
    }
    record
}
