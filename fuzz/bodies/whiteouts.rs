//! Any bytes as the layers of an image, one behind the other: listed, and flattened with their
//! whiteouts, within limits.

use std::io::Read;
use std::sync::Arc;

use ohoci_compose::fit::Listing;
use ohoci_layer::headers::read_headers;
use ohoci_layer::limits::{Budget, UnpackLimits};
use ohoci_layer::{LayerPath, flatten};

/// What parts layers in the input: a block, as everything in a tar is.
const DIVIDER: &[u8] = &[b'-'; 512];

pub(crate) fn run(data: &[u8]) -> bool {
    let mut layers = Vec::new();
    let mut rest = data;
    while let Some(at) = rest.windows(DIVIDER.len()).position(|part| part == DIVIDER) {
        layers.push(&rest[..at]);
        rest = &rest[at + DIVIDER.len()..];
    }
    layers.push(rest);
    let limits = UnpackLimits {
        bytes: 4 << 20,
        entries: 2000,
        names: 1 << 20,
    };
    let budget = Arc::new(Budget::new(limits));
    let mut all = Listing::default();
    let mut listed = true;
    for layer in &layers {
        match read_headers(*layer, &budget) {
            Ok(members) => all.add(&Listing::of(&members)),
            Err(_) => listed = false,
        }
    }
    for path in ["/bin/sh", "/etc", "/", "/a/b/../c"] {
        let _ = (all.has(path), all.real(path));
    }
    let directory = tempfile::tempdir().expect("a directory");
    let open: Vec<_> = layers
        .iter()
        .map(|layer| {
            let layer = *layer;
            move || Ok(Box::new(layer) as Box<dyn Read>)
        })
        .collect();
    let open: Vec<&ohoci_layer::OpenLayer<'_>> = open.iter().map(|open| open as _).collect();
    let budget = Arc::new(Budget::new(limits));
    let tree = flatten(&open, &LayerPath::root(), &budget, directory.path());
    if let Ok(tree) = &tree {
        for (path, _) in tree {
            assert!(!path.name().starts_with(b".wh."), "{path}");
        }
    }
    listed && tree.is_ok()
}
