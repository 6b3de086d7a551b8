//! Environments made of conda's packages where channels have them.

use std::collections::{BTreeMap, HashMap};

use crate::builder::Order;
use crate::conda_locks::CondaLocks;
use crate::conda_use::CondaUse;
use crate::images_error::ImagesError;
use crate::planned::PlannedImage;
use ohoci_conda::record::Located;
use ohoci_conda::virtual_package::Target;
use ohoci_deps::conda::choice::{Choice, frozen_packages};
use ohoci_deps::conda::lists::Lists;
use ohoci_deps::conda::source::CondaSource;
use ohoci_swebench::environment::{CondaWay, LinkedPackage};

/// Whether upstream did not freeze one of the environments: then packages have to be chosen, for some machine.
#[must_use]
pub(crate) fn has_unfrozen(images: &[PlannedImage]) -> bool {
    let mut orders = images.iter().filter_map(|image| image.order.as_ref().ok());
    orders.any(|order| frozen_packages(&order.environment.lock.conda.packages).is_none())
}

/// Makes the environments of images of packages of conda, as far as channels have all that upstream froze, or what
/// does what it asks for. All others stay with pip. Conflicts are given back, by the names of environments' images.
///
/// # Errors
/// When what a channel lists cannot be had or understood, or a lock cannot be read or written.
pub(crate) async fn take(
    images: &mut [PlannedImage],
    source: &CondaSource,
    lists: &Lists,
    target: &Target,
    locks: &CondaLocks,
) -> Result<BTreeMap<String, String>, ImagesError> {
    let mut places: HashMap<&CondaWay, usize> = HashMap::new();
    let mut ways: Vec<(&CondaWay, Option<&String>)> = Vec::new();
    for image in images.iter() {
        if let Ok(order) = &image.order {
            let way = &order.environment.lock.conda;
            places.entry(way).or_insert_with(|| {
                ways.push((way, image.environment_image.as_ref()));
                ways.len() - 1
            });
        }
    }
    let mut found: Vec<Option<CondaUse>> = Vec::new();
    for (way, name) in &ways {
        let is_frozen = frozen_packages(&way.packages).is_some();
        let locked = match name.filter(|_| !is_frozen) {
            Some(name) => locks.read(name, &way.packages, target)?,
            None => None,
        };
        found.push(locked.map(|packages| CondaUse::Solved(packages.into())));
    }
    let open = || {
        let open = ways.iter().zip(&found);
        open.filter(|(_, found)| found.is_none())
            .map(|((way, name), _)| (*way, *name))
    };
    let environments: Vec<&[String]> = open().map(|(way, _)| way.packages.as_slice()).collect();
    let choices = source.choose(&environments, lists, target).await?;
    let mut chosen = Vec::new();
    for ((way, name), choice) in open().zip(choices) {
        let is_frozen = frozen_packages(&way.packages).is_some();
        chosen.push(match choice {
            Choice::Packages(packages) if is_frozen => CondaUse::Frozen(packages.into()),
            Choice::Packages(packages) => {
                if let Some(name) = name {
                    locks.write(name, &way.packages, target, &packages)?;
                }
                CondaUse::Solved(packages.into())
            }
            Choice::Missing(missing) => {
                CondaUse::Missing(missing.iter().map(ToString::to_string).collect())
            }
            Choice::Conflict(why) => CondaUse::Conflict(why),
        });
    }
    let mut chosen = chosen.into_iter();
    let found: Vec<Option<CondaUse>> = found
        .into_iter()
        .map(|found| found.or_else(|| chosen.next()))
        .collect();
    let uses: Vec<Option<CondaUse>> = images
        .iter()
        .map(|image| {
            let order = image.order.as_ref().ok()?;
            let at = places.get(&order.environment.lock.conda)?;
            found.get(*at)?.clone()
        })
        .collect();
    let mut conflicts = BTreeMap::new();
    for (image, of_conda) in images.iter_mut().zip(uses) {
        if let (Some(CondaUse::Conflict(why)), Some(name)) = (&of_conda, &image.environment_image) {
            conflicts.insert(name.clone(), why.clone());
        }
        if let (Ok(order), Some(of_conda)) = (&mut image.order, of_conda) {
            apply(order, of_conda);
        }
    }
    Ok(conflicts)
}

fn apply(order: &mut Order, of_conda: CondaUse) {
    if let Some(packages) = of_conda.packages() {
        let linked = packages.iter().map(|package| LinkedPackage {
            path: package.path(),
            digest: digest_of(package),
        });
        let lock = &mut order.environment.lock;
        *lock = lock.of_packages(linked.collect());
    }
    order.conda = Some(of_conda);
}

/// A file's digest as its channel says it.
fn digest_of(package: &Located) -> String {
    let record = &package.record;
    match (&record.sha256, &record.md5) {
        (Some(hex), _) => format!("sha256:{hex}"),
        (None, Some(hex)) => format!("md5:{hex}"),
        (None, None) => String::new(),
    }
}
