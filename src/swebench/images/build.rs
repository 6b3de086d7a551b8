//! Planning, building and pushing the images that a request asks for.

use std::sync::Arc;
use std::time::Duration;

use super::base;
use super::report_text;
use super::request::Request;
use crate::compose::epoch;
use crate::context::Context;
use crate::deps;
use crate::failure::Failure;
use crate::output;
use crate::progress::Progress;
use ohoci_config::environment::PATH;
use ohoci_deps::Session;
use ohoci_deps::conda::source::CondaSource;
use ohoci_image::timestamp::Timestamp;
use ohoci_sandbox::{Limiter, Network, abstract_sockets, private_in};
use ohoci_swebench::predictions::Predictions;
use ohoci_swebench::row::Row;
use ohoci_swebench::specs::Catalogue;
use ohoci_swebench_images::base::Base;
use ohoci_swebench_images::base_source::{BaseError, BaseMeans, PlannedBase, bases};
use ohoci_swebench_images::builder::clones;
use ohoci_swebench_images::conda_channels as channels;
use ohoci_swebench_images::git::Git;
use ohoci_swebench_images::images::{self, Job, Observer};
use ohoci_swebench_images::pip::PipSettings;
use ohoci_swebench_images::plan::{Known, Plan};
use ohoci_swebench_images::planned::{self, PlannedImage, Wanted, architecture};
use ohoci_swebench_images::report::Report;
use ohoci_swebench_images::stage::Tools;
use ohoci_swebench_images::{BuildError, Builder, Settings};

/// How long each program of a build may take by default.
const PROGRAM_TIME: Duration = Duration::from_secs(2 * 60 * 60);

/// The instances whose images are asked for.
#[derive(Debug)]
pub(crate) struct Instances<'a> {
    /// Their rows.
    pub(crate) rows: Vec<Row>,
    /// How versions of repositories are installed.
    pub(crate) catalogue: &'a Catalogue,
    /// Predictions whose patches are baked in.
    pub(crate) patches: Option<&'a Predictions>,
}

impl Request {
    /// What would be built, and whether something could not be.
    pub(crate) async fn plan(
        &self,
        instances: Instances<'_>,
        context: Context,
    ) -> Result<(Plan, bool), Failure> {
        let git = git(&context)?;
        let mut images = self.planned(instances, &context, &git);
        let conda = self.ask_channels(&mut images, &context).await?;
        let base = self.planned_base(&context).await?;
        let clones = clones(context.cache_dir.as_deref(), &context.work_dir);
        let cache = Arc::clone(&context.resolver.cache);
        let mut base_packages = None;
        if let Some(PlannedBase::There(base)) = &base
            && planned::needs_system_packages(&images)
        {
            base_packages = Some(base.packages(&context.resolver).await?);
        }
        let (builder, base_recipe) = match (base, self.tools(&context)) {
            (Some(PlannedBase::There(base)), Ok(tools)) => {
                let settings = self.settings(&context, git.clone(), tools, conda)?;
                let builder = Builder::new(settings, *base, Arc::new(context.resolver));
                (Some(builder), None)
            }
            (Some(PlannedBase::Recipe { plan, packages }), _) => {
                base_packages = packages;
                (None, Some(plan))
            }
            _ => (None, None),
        };
        let plan = Plan::of(Known {
            images: &images,
            builder: builder.as_ref(),
            base_recipe,
            base_packages,
            cache,
            git: &git,
            sources: &self.sources,
            clones: &clones,
            left_out: &self.leave_out,
            python_dir: self.python_dir.as_deref(),
        });
        let has_refused = plan.instances.iter().any(|one| one.refused.is_some());
        Ok((plan, has_refused))
    }

    /// Builds and pushes.
    pub(crate) async fn build(
        &self,
        instances: Instances<'_>,
        context: Context,
        observer: &dyn Observer,
    ) -> Result<Report, Failure> {
        let git = git(&context)?;
        let mut images = self.planned(instances, &context, &git);
        let conda = self.ask_channels(&mut images, &context).await?;
        let created = epoch(&context)?.map(|seconds| Timestamp::from_epoch(seconds).to_string());
        let tools = self.tools(&context).map_err(|name| {
            Failure::new("cannot build images", format!("the program {name} is not installed"))
                .hinted("on Debian and Ubuntu, the packages bubblewrap, util-linux and mount have what it takes")
        })?;
        self.limits.tell(tools.limiter());
        let base = match Box::pin(self.built_base(&context, &tools)).await? {
            Ok(base) => base,
            Err(error) => {
                report_text::tell("base", &error);
                let report = Report::without_base(&images, &error);
                report
                    .outcomes
                    .iter()
                    .for_each(|outcome| observer.ended(outcome));
                return Ok(report);
            }
        };
        let settings = self.settings(&context, git, tools, conda)?;
        if settings.network == Network::Host && !abstract_sockets::can_be_kept_away() {
            output::warning(abstract_sockets::UNPROTECTED);
        }
        if let Some(directory) = &settings.cache_dir {
            fs_err::create_dir_all(directory.join("pip"))
                .map_err(|error| Failure::new("cannot use the cache", error.to_string()))?;
        }
        let resolver = Arc::new(context.resolver);
        let job = Job {
            images,
            base,
            settings,
            resolver: Arc::clone(&resolver),
            destinations: self.destinations.clone(),
            deps: self.deps.clone(),
            all_levels: self.all_levels,
            created,
            workers: self.workers,
        };
        let report = Box::pin(images::build(job, observer)).await;
        for warning in resolver.client.warnings() {
            output::warning(&warning);
        }
        Ok(report?)
    }

    async fn planned_base(&self, context: &Context) -> Result<Option<PlannedBase>, Failure> {
        let Some(source) = base::source(self)? else {
            return Ok(None);
        };
        let progress = Progress::start();
        let session = deps::session(context, &progress);
        let planned = source.plan(&self.base_means(context, &session)).await;
        progress.end();
        let planned = planned.map_err(|error| base::failure(&source, error))?;
        Ok(Some(planned))
    }

    /// The base, or why its packages do not become one.
    async fn built_base(
        &self,
        context: &Context,
        tools: &Tools,
    ) -> Result<Result<Base, BuildError>, Failure> {
        let Some(source) = base::source(self)? else {
            return Err(Failure::usage("no base is given").hinted(
                "--base-image REF, or --base-recipe FILE such as layers/swebench-base.toml",
            ));
        };
        let progress = Progress::start();
        let session = deps::session(context, &progress);
        let means = self.base_means(context, &session);
        let teller = base::Teller(Arc::clone(&progress));
        let built = Box::pin(source.build(&means, tools, &teller)).await;
        progress.end();
        match built {
            Ok(base) => Ok(Ok(base)),
            Err(BaseError::Build(error)) => Ok(Err(error)),
            Err(error) => Err(base::failure(&source, error)),
        }
    }

    fn base_means<'a>(&'a self, context: &Context, session: &'a Session<'a>) -> BaseMeans<'a> {
        BaseMeans {
            session,
            offline: self.offline,
            packing: self.packing,
            bases: bases(context.cache_dir.as_deref(), &context.work_dir),
            logs: &self.logs,
            tag: &self.tag,
        }
    }

    fn planned(&self, instances: Instances<'_>, context: &Context, git: &Git) -> Vec<PlannedImage> {
        let wanted = Wanted {
            namespace: self.namespace.as_deref(),
            tag: &self.tag,
            catalogue: instances.catalogue,
            patches: instances.patches,
            git,
            sources: &self.sources,
            clones: &clones(context.cache_dir.as_deref(), &context.work_dir),
        };
        planned::plan(instances.rows, &wanted)
    }

    /// The programs that a build needs, or the name of one that is not there.
    fn tools(&self, context: &Context) -> Result<Tools, &'static str> {
        let limits = &self.limits;
        let limits = limits.limits(&context.work_dir, self.workers, Some(PROGRAM_TIME));
        let limiter = Arc::new(Limiter::find(limits));
        Tools::find(context.environment.get(PATH).as_deref(), limiter)
    }

    /// Asks channels of conda for environments' packages, where there are channels.
    async fn ask_channels(
        &self,
        images: &mut [PlannedImage],
        context: &Context,
    ) -> Result<Option<CondaSource>, Failure> {
        let progress = Progress::start();
        let session = deps::session(context, &progress);
        let asking = channels::ask(images, &session, &self.channels, self.offline);
        let asked = Box::pin(asking).await;
        progress.end();
        let asked = asked.map_err(|error| {
            let failure = Failure::new("cannot use conda's channels", error.to_string());
            match error.hint() {
                Some(hint) => failure.hinted(hint),
                None => failure,
            }
        })?;
        for note in &asked.notes {
            output::warning(note);
        }
        Ok(asked.source)
    }

    fn settings(
        &self,
        context: &Context,
        git: Git,
        tools: Tools,
        conda: Option<CondaSource>,
    ) -> Result<Settings, Failure> {
        let environment = &context.environment;
        let cache_dir = &context.cache_dir;
        let pip_cache = cache_dir.as_ref().map(|directory| directory.join("pip"));
        let files = PipSettings::files(environment.home(), environment.config_home().as_deref());
        Ok(Settings {
            cache: Arc::clone(&context.resolver.cache),
            cache_dir: cache_dir.clone(),
            work_dir: context.work_dir.clone(),
            logs: self.logs.clone(),
            tools,
            git,
            path: environment.get(PATH),
            pip: PipSettings::of_machine(std::env::vars_os(), &files, pip_cache.as_deref()),
            network: match self.offline {
                true => Network::None,
                false => Network::Host,
            },
            packing: self.packing,
            sources: self.sources.clone(),
            python_dir: self.python_dir.clone(),
            unpacked: cache_dir
                .as_ref()
                .filter(|_| self.keep_unpacked)
                .map(|directory| private_in(&directory.join("swebench/levels")))
                .transpose()
                .map_err(|error| Failure::new("cannot keep levels unpacked", error.to_string()))?,
            left_out: self.leave_out.clone(),
            conda,
            architecture: architecture(),
            tag: self.tag.clone(),
        })
    }
}

fn git(context: &Context) -> Result<Git, Failure> {
    Git::find(context.environment.get(PATH).as_deref())
        .ok_or_else(|| Failure::new("cannot build images", "the program git is not installed"))
}
