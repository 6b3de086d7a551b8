//! Any bytes as an image config, and all that is read out of one.

use ohoci_image::image_config::ImageConfig;
use ohoci_image::{Document, label, shape};
use ohoci_sandbox::process::Process;

pub(crate) fn run(data: &[u8]) -> bool {
    let Ok(document) = Document::parse(data.to_vec(), &shape::CONFIG) else {
        return false;
    };
    let _ = label::patch(document.object());
    let _ = label::intent(document.object()).map(|intent| intent.map(|it| it.roles(3)));
    let Ok(config) = ImageConfig::parse(document) else {
        return false;
    };
    let _ = (config.history(), config.created(), config.diff_ids().len());
    let _ = Process::of(&config);
    true
}
