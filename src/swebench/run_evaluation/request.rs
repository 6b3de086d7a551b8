//! What the flags ask of those who run instances and build their images.

use std::sync::Arc;

use super::arguments::Arguments;
use crate::failure::Failure;
use crate::swebench::images::base;
use crate::{output, printable};
use ohoci_layer::pack::PackOptions;
use ohoci_sandbox::{AskedLimits, Network};
use ohoci_swebench_evaluation::Follow;
use ohoci_swebench_evaluation::request::Runs;
use ohoci_swebench_images::repository::RepoSource;
use ohoci_swebench_images::request::Request;

/// How instances are run.
pub(super) fn runs(arguments: &Arguments) -> Result<Runs, Failure> {
    let follow: Option<Follow> = arguments.follow.then(|| {
        let follow: Follow = Arc::new(|instance: &str, line: &str| {
            output::note(&format!("{instance} | {}", printable::line(line)));
        });
        follow
    });
    Ok(Runs {
        names: arguments.images.names()?,
        afterwards: arguments.images.afterwards()?,
        network: Network::from(arguments.sandbox.network),
        httpbin: arguments.sandbox.httpbin()?,
        environment: arguments.sandbox.variables()?,
        limits: arguments.limits.asked(),
        workers: arguments.max_workers.map(usize::from),
        repeat: arguments.again.repeat.get(),
        retry_infra: arguments.again.retry_infra,
        reuse: !arguments.again.fresh,
        follow,
    })
}

/// How images are built that are not there, if they are to be.
pub(super) fn build(arguments: &Arguments) -> Result<Option<Request>, Failure> {
    let (build, images) = (&arguments.build, &arguments.images);
    if build.repo_source.is_empty() {
        return Ok(None);
    }
    let Some(place) = images.images.as_ref().or(images.registry.as_ref()) else {
        return Err(
            Failure::usage("--repo-source needs a place for what is built")
                .hinted("--images oci:DIR, or --registry HOST"),
        );
    };
    let sources = build.repo_source.iter();
    Ok(Some(Request {
        sources: sources.map(|text| RepoSource::parse(text)).collect(),
        base: base::source(build.base_image.as_deref(), build.base_recipe.as_deref())?,
        python_dir: build.python_dir.clone(),
        destinations: vec![
            place
                .parse()
                .map_err(|error| Failure::usage(format!("--images {error}")))?,
        ],
        namespace: images.namespace.clone(),
        tag: images.instance_image_tag.clone(),
        all_levels: false,
        deps: Vec::new(),
        channels: Vec::new(),
        conda_locks: None,
        leave_out: build.leave_out.clone(),
        offline: false,
        levels: None,
        part: None,
        disk_budget: None,
        keep_unpacked: false,
        workers: 1,
        logs: build.build_logs.clone(),
        packing: PackOptions::default(),
        limits: AskedLimits {
            // That is how long tests may take.
            time: None,
            ..arguments.limits.asked()
        },
    }))
}
