//! The fields that container engines read in images' documents, and where keys are free.

use super::json::Shape::{self, Any, Free, List, Struct};

const WORDS: Shape = Free(&Any);

const PLATFORM: Shape = Struct(&[
    ("architecture", Any),
    ("os", Any),
    ("os.version", Any),
    ("os.features", Any),
    ("variant", Any),
    ("features", Any),
]);

const DESCRIPTOR: Shape = Struct(&[
    ("mediaType", Any),
    ("digest", Any),
    ("size", Any),
    ("urls", Any),
    ("annotations", WORDS),
    ("data", Any),
    ("platform", PLATFORM),
    ("artifactType", Any),
]);

/// A manifest or an index, `index.json` included (image-spec `manifest.md` and `image-index.md`,
/// Docker's schema 2).
pub static MANIFEST: Shape = Struct(&[
    ("schemaVersion", Any),
    ("mediaType", Any),
    ("artifactType", Any),
    ("config", DESCRIPTOR),
    ("layers", List(&DESCRIPTOR)),
    ("manifests", List(&DESCRIPTOR)),
    ("fsLayers", Any),
    ("subject", DESCRIPTOR),
    ("annotations", WORDS),
]);

/// What containers are started with (image-spec `config.md`; moby's `container.Config` has more).
const EXECUTION: Shape = Struct(&[
    ("User", Any),
    ("ExposedPorts", WORDS),
    ("Env", Any),
    ("Entrypoint", Any),
    ("Cmd", Any),
    ("Volumes", WORDS),
    ("WorkingDir", Any),
    ("Labels", WORDS),
    ("StopSignal", Any),
    ("StopTimeout", Any),
    ("ArgsEscaped", Any),
    ("Memory", Any),
    ("MemorySwap", Any),
    ("CpuShares", Any),
    (
        "Healthcheck",
        Struct(&[
            ("Test", Any),
            ("Interval", Any),
            ("Timeout", Any),
            ("StartPeriod", Any),
            ("StartInterval", Any),
            ("Retries", Any),
        ]),
    ),
    ("Hostname", Any),
    ("Domainname", Any),
    ("AttachStdin", Any),
    ("AttachStdout", Any),
    ("AttachStderr", Any),
    ("Tty", Any),
    ("OpenStdin", Any),
    ("StdinOnce", Any),
    ("Image", Any),
    ("NetworkDisabled", Any),
    ("MacAddress", Any),
    ("OnBuild", Any),
    ("Shell", Any),
]);

/// An image config (image-spec `config.md`; moby's `image.Image`).
pub static CONFIG: Shape = Struct(&[
    ("created", Any),
    ("author", Any),
    ("architecture", Any),
    ("os", Any),
    ("os.version", Any),
    ("os.features", Any),
    ("variant", Any),
    ("config", EXECUTION),
    ("container_config", EXECUTION),
    ("rootfs", Struct(&[("type", Any), ("diff_ids", Any)])),
    (
        "history",
        List(&Struct(&[
            ("created", Any),
            ("created_by", Any),
            ("author", Any),
            ("comment", Any),
            ("empty_layer", Any),
        ])),
    ),
]);

/// The `oci-layout` file (image-spec `image-layout.md`).
pub static LAYOUT: Shape = Struct(&[("imageLayoutVersion", Any)]);

/// `manifest.json` of what `docker save` writes (moby `image/tarexport`).
pub static DOCKER_ARCHIVE: Shape = List(&Struct(&[
    ("Config", Any),
    ("RepoTags", Any),
    ("Layers", Any),
    ("Parent", Any),
    ("LayerSources", Free(&DESCRIPTOR)),
]));

/// The records that ohoci keeps in labels: the names of labels, annotations and variables are
/// free.
pub static RECORD: Shape = Struct(&[
    ("annotations", WORDS),
    ("labels", WORDS),
    ("env", WORDS),
    ("patch", Struct(&[("labels", WORDS), ("env", WORDS)])),
]);
