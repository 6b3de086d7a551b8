//! Images of many instances, planned or built side by side, and pushed under every name.

use std::sync::Arc;

use futures_util::StreamExt as _;
use tokio::sync::Mutex;

use super::base::Base;
use super::base_source::{BaseError, BaseMeans, PlannedBase, bases};
use super::conda_channels::{self as channels, Asking};
use super::conda_choice::has_unfrozen;
use super::conda_locks::CondaLocks;
use super::disk::Disk;
use super::division::{self, Part, Stage, Unit};
use super::engine::{HandOver, Shard};
use super::git::Git;
use super::hand_over::{self, Counts, Stages};
use super::images_error::ImagesError;
use super::observer::Observer;
use super::pip::PipSettings;
use super::plan::{Known, Plan};
use super::planned::{self, PlannedImage, Wanted, architecture};
use super::push::Pusher;
use super::report::{ImageOutcome, Report};
use super::request::{Instances, Means, PROGRAM_TIME, Request};
use super::stage::Tools;
use super::unpacked::Unpacked;
use crate::{BuildError, Builder, Level, Settings};
use ohoci_compose::files::InstalledPackages;
use ohoci_config::environment::PATH;
use ohoci_deps::Session;
use ohoci_deps::conda::source::CondaSource;
use ohoci_image::timestamp::Timestamp;
use ohoci_sandbox::{Limiter, Network, abstract_sockets};

/// The share of processors that upstream recommends, and its cap.
const WORKERS: (usize, usize, usize) = (3, 4, 24);

/// How many images are built side by side by default.
#[must_use]
pub fn default_workers() -> usize {
    let (share, of, cap) = WORKERS;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    (processors * share / of).clamp(1, cap)
}

/// Tells what [`build`] would do, and each of so many `shards` where it is divided. Nothing is built.
///
/// # Errors
/// See [`ImagesError`].
pub async fn plan(
    request: &Request,
    instances: Instances<'_>,
    means: &Means<'_>,
    shards: Option<usize>,
    observer: &dyn Observer,
) -> Result<Plan, ImagesError> {
    let work = Work { request, means };
    let git = work.git()?;
    let mut images = work.planned(instances, &git);
    let session = means.session();
    let unpacked = work.unpacked();
    let base = match &request.base {
        Some(base) => Some(base.plan(&work.base_means(&session, &unpacked)).await?),
        None => None,
    };
    let needs_system_packages = planned::needs_system_packages(&images);
    let base_packages = match &base {
        Some(PlannedBase::There(base))
            if needs_system_packages || work.needs_glibc(&images, &session) =>
        {
            let packages = base.packages(&means.resolver).await;
            Some(packages.map_err(ImagesError::Store)?)
        }
        Some(PlannedBase::Recipe { packages, .. }) => packages.clone(),
        _ => None,
    };
    let locks = CondaLocks::new(request.conda_locks.as_deref(), false);
    let asking = work.asking(base_packages.as_ref(), &locks);
    let conda = work
        .ask_channels(&mut images, &session, asking, observer)
        .await?;
    let (builder, base_recipe) = match (base, work.tools()) {
        (Some(PlannedBase::There(base)), Ok(tools)) => {
            let settings = work.settings(git.clone(), tools, conda, unpacked);
            let builder = Builder::new(settings, *base, Arc::clone(&means.resolver));
            (Some(builder), None)
        }
        (Some(PlannedBase::Recipe { plan, .. }), _) => (None, Some(plan)),
        _ => (None, None),
    };
    Ok(Plan::of(Known {
        images: &images,
        builder: builder.as_ref(),
        base_recipe,
        base_packages: base_packages.filter(|_| needs_system_packages || builder.is_none()),
        cache: Arc::clone(&means.resolver.cache),
        git: &git,
        sources: &request.sources,
        clones: &means.clones(),
        left_out: &request.leave_out,
        python_dir: request.python_dir.as_deref(),
        shards,
    }))
}

/// Builds and pushes images; what cannot be built is part of the report.
///
/// # Errors
/// See [`ImagesError`].
///
/// ```no_run
/// # use ohoci_swebench_images::ImagesError;
/// # use ohoci_swebench_images::images::build;
/// # use ohoci_swebench_images::observer::Observer;
/// # use ohoci_swebench_images::report::ImageOutcome;
/// # use ohoci_swebench_images::request::{Instances, Means, Request};
/// struct Quiet;
///
/// impl Observer for Quiet {
///     fn ended(&self, _: &ImageOutcome) {}
/// }
///
/// # async fn example(
/// #     request: &Request,
/// #     instances: Instances<'_>,
/// #     means: &Means<'_>,
/// # ) -> Result<(), ImagesError> {
/// let report = build(request, instances, means, &Quiet).await?;
/// assert_eq!(report.failed(), 0);
/// # Ok(())
/// # }
/// ```
pub async fn build(
    request: &Request,
    instances: Instances<'_>,
    means: &Means<'_>,
    observer: &dyn Observer,
) -> Result<Report, ImagesError> {
    let work = Work { request, means };
    let git = work.git()?;
    let task = Task::of(work.planned(instances, &git), work.order());
    let mut images = task.planned();
    let session = means.session();
    let tools = work.tools().map_err(ImagesError::NoProgram)?;
    observer.limited(tools.limiter());
    let source = request.base.as_ref().ok_or(ImagesError::NoBase)?;
    let unpacked = work.unpacked();
    let base_means = work.base_means(&session, &unpacked);
    let base = match Box::pin(source.build(&base_means, &tools, observer)).await {
        Ok(base) => base,
        Err(BaseError::Build(error)) => {
            observer.without_base(&error);
            let report = Report::without_base(task.outcomes(), &error, work.stage());
            let outcomes = report.outcomes.iter();
            outcomes.for_each(|outcome| observer.ended(outcome));
            work.leave(&report)?;
            return Ok(report);
        }
        Err(error) => return Err(error.into()),
    };
    let mut base_packages = None;
    if work.needs_glibc(&images, &session) {
        let packages = base.packages(&means.resolver).await;
        base_packages = Some(packages.map_err(ImagesError::Store)?);
    }
    let locks = CondaLocks::new(request.conda_locks.as_deref(), true);
    let asking = work.asking(base_packages.as_ref(), &locks);
    let conda = work
        .ask_channels(&mut images, &session, asking, observer)
        .await?;
    let mut settings = work.settings(git, tools, conda, unpacked);
    settings.disk = request.disk_budget.map(|most| {
        let unpacked = Arc::clone(&settings.unpacked);
        let needs = images.iter().filter_map(PlannedImage::needs);
        Arc::new(Disk::new(most, unpacked, base.config.diff_ids(), needs))
    });
    if settings.network == Network::Host && !abstract_sockets::can_be_kept_away() {
        observer.warned(abstract_sockets::UNPROTECTED);
    }
    if let Some(directory) = &settings.cache_dir {
        fs_err::create_dir_all(directory.join("pip")).map_err(ImagesError::Cache)?;
    }
    observer.prepared();
    let report = Box::pin(work.build(task.with(images), base, settings, observer)).await;
    for warning in means.resolver.client.warnings() {
        observer.warned(&warning);
    }
    let report = report.map_err(ImagesError::Store)?;
    work.leave(&report)?;
    Ok(report)
}

/// Hands images to a scheduler, and waits for it where it can be waited for. Returns what a person has to
/// start, where one has to.
///
/// # Errors
/// See [`ImagesError`].
pub async fn hand_over(
    request: &Request,
    instances: Instances<'_>,
    means: &Means<'_>,
    over: &HandOver,
    observer: &dyn Observer,
) -> Result<Option<Stages>, ImagesError> {
    let work = Work { request, means };
    let images = work.planned(instances, &work.git()?);
    let counts = Counts::of(over.shards, &images);
    hand_over::hand_over(over, counts, &request.logs, observer).await
}

/// Puts together what so many shards have left.
///
/// # Errors
/// See [`ImagesError`].
pub fn gather(
    request: &Request,
    instances: Instances<'_>,
    means: &Means<'_>,
    shards: usize,
    observer: &dyn Observer,
) -> Result<Report, ImagesError> {
    let work = Work { request, means };
    let images = work.planned(instances, &work.git()?);
    let of = Counts::of(shards, &images).instances;
    let (reports, missing) = hand_over::reports(&request.logs, of)?;
    for index in missing {
        observer.warned(&format!("shard {index}/{of} has left nothing"));
    }
    Ok(Report::gathered(&reports, &images))
}

/// What is asked for, and what there is for it.
#[derive(Clone, Copy)]
struct Work<'a> {
    request: &'a Request,
    means: &'a Means<'a>,
}

impl<'a> Work<'a> {
    fn git(self) -> Result<Git, ImagesError> {
        let path = self.means.environment.get(PATH);
        Git::find(path.as_deref()).ok_or(ImagesError::NoGit)
    }

    fn planned(self, instances: Instances<'_>, git: &Git) -> Vec<PlannedImage> {
        let wanted = Wanted {
            namespace: self.request.namespace.as_deref(),
            tag: &self.request.tag,
            catalogue: instances.catalogue,
            patches: instances.patches,
            git,
            sources: &self.request.sources,
            clones: &self.means.clones(),
        };
        planned::plan(instances.rows, &wanted)
    }

    /// The stage that is built, where it is one.
    fn stage(self) -> Option<Stage> {
        self.request.part.map(|part| part.stage)
    }

    /// The part that is built. Where the disk is scarce, instances of one environment go one after the
    /// other, so that it is not needed for long.
    fn order(self) -> Option<Part> {
        let scarce = self.request.disk_budget.map(|_| Part {
            stage: Stage::Instances,
            shard: Shard { index: 0, of: 1 },
        });
        self.request.part.or(scarce)
    }

    /// Leaves a shard's report for whoever gathers.
    fn leave(self, report: &Report) -> Result<(), ImagesError> {
        match self.request.part {
            Some(part) => hand_over::leave(report, &self.request.logs, part),
            None => Ok(()),
        }
    }

    /// Whether packages of conda have to be chosen, for the glibc of the base.
    fn needs_glibc(self, images: &[PlannedImage], session: &Session<'_>) -> bool {
        let settings = session.conda_settings(&self.request.channels);
        !settings.is_empty() && has_unfrozen(images)
    }

    /// How channels of conda are asked for packages for a base.
    fn asking<'b>(self, base: Option<&'b InstalledPackages>, locks: &'b CondaLocks) -> Asking<'b>
    where
        'a: 'b,
    {
        Asking {
            flags: &self.request.channels,
            offline: self.request.offline,
            glibc: base.and_then(|base| base.glibc.as_deref()),
            locks,
        }
    }

    /// Asks channels of conda for environments' packages, where there are channels.
    async fn ask_channels(
        self,
        images: &mut [PlannedImage],
        session: &Session<'_>,
        asking: Asking<'_>,
        observer: &dyn Observer,
    ) -> Result<Option<CondaSource>, ImagesError> {
        let asked = Box::pin(channels::ask(images, session, asking)).await?;
        for note in &asked.notes {
            observer.warned(note);
        }
        Ok(asked.source)
    }

    fn base_means(self, session: &'a Session<'a>, unpacked: &'a Unpacked) -> BaseMeans<'a> {
        BaseMeans {
            session,
            unpacked,
            offline: self.request.offline,
            levels: self.request.levels.as_ref(),
            // One of those that begin together is enough.
            leaves_base: self
                .request
                .part
                .is_none_or(|part| part.stage == Stage::Instances || part.shard.index == 0),
            packing: self.request.packing,
            bases: bases(self.means.cache_dir.as_deref(), &self.means.work_dir),
            logs: &self.request.logs,
            tag: &self.request.tag,
        }
    }

    /// The programs that a build needs, or the name of one that is not there.
    fn tools(self) -> Result<Tools, &'static str> {
        let (work_dir, workers) = (&self.means.work_dir, self.request.workers);
        let limits = self.request.limits;
        let limits = limits.limits(work_dir, workers, Some(PROGRAM_TIME));
        let path = self.means.environment.get(PATH);
        Tools::find(path.as_deref(), Arc::new(Limiter::find(limits)))
    }

    fn settings(
        self,
        git: Git,
        tools: Tools,
        conda: Option<CondaSource>,
        unpacked: Arc<Unpacked>,
    ) -> Settings {
        let Self { request, means } = self;
        let environment = means.environment;
        let cache_dir = &means.cache_dir;
        let pip_cache = cache_dir.as_ref().map(|directory| directory.join("pip"));
        let files = PipSettings::files(environment.home(), environment.config_home().as_deref());
        let variables = means.variables.iter().cloned();
        Settings {
            cache: Arc::clone(&means.resolver.cache),
            cache_dir: cache_dir.clone(),
            work_dir: means.work_dir.clone(),
            logs: request.logs.clone(),
            tools,
            git,
            path: environment.get(PATH),
            pip: PipSettings::of_machine(variables, &files, pip_cache.as_deref()),
            network: match request.offline {
                true => Network::None,
                false => Network::Host,
            },
            packing: request.packing,
            sources: request.sources.clone(),
            python_dir: request.python_dir.clone(),
            unpacked,
            levels: request.levels.clone(),
            disk: None,
            left_out: request.leave_out.clone(),
            conda,
            architecture: architecture(),
            tag: request.tag.clone(),
        }
    }

    fn unpacked(self) -> Arc<Unpacked> {
        let means = self.means;
        let (directory, most_bytes) = means.store.clone();
        let limits = means.resolver.limits;
        Arc::new(Unpacked::new(directory, most_bytes, limits))
    }

    async fn build(
        self,
        task: Task,
        base: Base,
        settings: Settings,
        observer: &dyn Observer,
    ) -> Result<Report, ohoci_store::Error> {
        let Self { request, means } = self;
        let created = means.created.map(Timestamp::from_epoch);
        let pusher = Pusher {
            destinations: request.destinations.clone(),
            deps: request.deps.clone(),
            work_dir: means.work_dir.clone(),
            created: created.map(|time| time.to_string()),
            all_levels: request.all_levels,
            collected: Mutex::default(),
        };
        // Threads that build may outlast what waits for them.
        let builder = Arc::new(Builder::new(settings, base, Arc::clone(&means.resolver)));
        let workers = request.workers.max(1);
        let disk = builder.disk().cloned();
        let outcomes: Vec<ImageOutcome> = match task {
            Task::Images(images) => {
                let one = async |planned: PlannedImage| {
                    let outcome = build_one(&builder, &pusher, &planned).await;
                    observer.ended(&outcome);
                    outcome
                };
                let building = futures_util::stream::iter(images).map(one);
                building.buffered(workers).collect().await
            }
            Task::Shared(units) => {
                let one = async |unit: Unit| {
                    let outcome = build_shared(&builder, unit).await;
                    observer.ended(&outcome);
                    outcome
                };
                let building = futures_util::stream::iter(units).map(one);
                building.buffered(workers).collect().await
            }
        };
        let disk = disk.map(|disk| disk.report());
        if let Some(disk) = disk.filter(|disk| disk.most_kept > disk.budget) {
            observer.warned(&format!(
                "{} bytes were kept at once, more than the budget of {}: what is being built needs them",
                disk.most_kept, disk.budget
            ));
        }
        let finished = pusher.finish(means.resolver.limits).await;
        means.resolver.close().await;
        if !request.keep_unpacked {
            let unpacked = Arc::clone(builder.unpacked());
            let removed = tokio::task::spawn_blocking(move || unpacked.remove_own()).await;
            if let Err(error) = removed.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
                observer.warned(&format!("unpacked layers stay: {error}"));
            }
        }
        finished?;
        let mut report = Report::of(Some(builder.base()), outcomes, self.stage());
        report.disk = disk;
        Ok(report)
    }
}

/// What is built.
enum Task {
    /// Images of instances.
    Images(Vec<PlannedImage>),
    /// What instances share.
    Shared(Vec<Unit>),
}

impl Task {
    fn of(images: Vec<PlannedImage>, part: Option<Part>) -> Self {
        match part {
            None => Self::Images(images),
            Some(Part {
                stage: Stage::Shared,
                shard,
            }) => {
                let units = division::units(&images, shard).into_iter();
                Self::Shared(units.map(|(unit, _)| unit).collect())
            }
            Some(Part {
                stage: Stage::Instances,
                shard,
            }) => {
                let places = division::places(&images, shard);
                let mine = places.into_iter().filter_map(|place| images.get(place));
                Self::Images(mine.cloned().collect())
            }
        }
    }

    /// The images whose packages have to be known.
    fn planned(&self) -> Vec<PlannedImage> {
        match self {
            Self::Images(images) => images.clone(),
            Self::Shared(units) => {
                let planned = units.iter().filter_map(|unit| match unit {
                    Unit::Environment(planned) => Some(planned.as_ref().clone()),
                    Unit::History(..) => None,
                });
                planned.collect()
            }
        }
    }

    /// The same with what is known of those by now.
    fn with(self, images: Vec<PlannedImage>) -> Self {
        let units = match self {
            Self::Images(_) => return Self::Images(images),
            Self::Shared(units) => units,
        };
        let mut images = images.into_iter();
        let units = units.into_iter().map(|unit| match unit {
            Unit::Environment(planned) => {
                Unit::Environment(images.next().map_or(planned, Box::new))
            }
            history @ Unit::History(..) => history,
        });
        Self::Shared(units.collect())
    }

    /// What becomes of them, before anything has.
    fn outcomes(&self) -> Vec<ImageOutcome> {
        match self {
            Self::Images(images) => images.iter().map(ImageOutcome::of).collect(),
            Self::Shared(units) => units.iter().map(ImageOutcome::of_shared).collect(),
        }
    }
}

async fn build_shared(builder: &Arc<Builder>, unit: Unit) -> ImageOutcome {
    let mut outcome = ImageOutcome::of_shared(&unit);
    let building = Arc::clone(builder);
    let built = tokio::task::spawn_blocking(move || match unit {
        Unit::Environment(planned) => building.build_environment(&planned.order?),
        Unit::History(_, rows) => building.build_history(&rows),
    });
    match built.await {
        Ok(Ok(built)) => outcome.add_built(&built),
        Ok(Err(error)) => outcome.error = Some(error),
        Err(error) => outcome.error = Some(BuildError::new(Level::Environment, "build", error)),
    }
    outcome
}

async fn build_one(
    builder: &Arc<Builder>,
    pusher: &Pusher,
    planned: &PlannedImage,
) -> ImageOutcome {
    let mut outcome = ImageOutcome::of(planned);
    let order = match &planned.order {
        Ok(order) => order.clone(),
        Err(error) => {
            outcome.error = Some(error.clone());
            return outcome;
        }
    };
    let built = {
        let builder = Arc::clone(builder);
        tokio::task::spawn_blocking(move || builder.build(&order)).await
    };
    let built = built.unwrap_or_else(|error| Err(BuildError::new(Level::Instance, "build", error)));
    let mut ended = None;
    match built {
        Err(error) => outcome.error = Some(error),
        Ok(built) => {
            outcome.add_built(&built);
            match pusher.push(builder, planned, &built).await {
                Ok(pushed) => outcome.pushed = pushed,
                Err(error) => outcome.error = Some(error),
            }
            ended = Some(built);
        }
    }
    if let (Some(disk), Some(needs)) = (builder.disk(), planned.needs()) {
        let levels = ended.iter().flat_map(|built| &built.levels);
        let layers = levels.map(|(level, made)| (*level, &made.layer.layer.diff_id));
        tokio::task::block_in_place(|| disk.ended(&needs, layers));
    }
    outcome
}
