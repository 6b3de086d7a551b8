//! The base level: what the flags ask for, and what goes wrong with it in words.

use std::path::Path;

use crate::deps;
use crate::failure::Failure;
use ohoci_image::Reference;
use ohoci_swebench_images::base_source::{BaseError, BaseSource};

/// What the flags name, if they do.
pub(in crate::swebench) fn source(
    image: Option<&str>,
    recipe: Option<&Path>,
) -> Result<Option<BaseSource>, Failure> {
    if let Some(text) = image {
        return match text.parse()? {
            Reference::Scratch => Err(Failure::usage(
                "--base-image scratch has nothing to build with",
            )),
            reference => Ok(Some(BaseSource::Image(reference))),
        };
    }
    let Some(path) = recipe else {
        return Ok(None);
    };
    let recipe = deps::recipe(path, &[])?;
    if recipe.rootfs().is_none() {
        let what = format!("{} is no recipe of a system of its own", path.display());
        return Err(Failure::new(what, "it has no [rootfs] table").hinted(
            "layers/swebench-base.toml is one; `ohoci deps build` makes layers of others",
        ));
    }
    Ok(Some(BaseSource::Recipe(Box::new(recipe))))
}

/// Why there is no base, in words.
pub(super) fn failure(source: Option<&BaseSource>, error: BaseError) -> Failure {
    match (source, error) {
        (_, BaseError::Image(error)) => error.into(),
        (Some(BaseSource::Recipe(recipe)), BaseError::Lock(error)) => {
            deps::failures::current_lock(recipe, &error)
        }
        (Some(BaseSource::Recipe(recipe)), BaseError::Files(error)) => {
            deps::failures::files(recipe, &error)
        }
        (_, BaseError::OtherMachine { path, machine }) => Failure::new(
            format!("{} is not for this machine", path.display()),
            format!("its platforms do not have {machine}"),
        ),
        (_, error) => Failure::new("cannot make the base", error.to_string()),
    }
}
