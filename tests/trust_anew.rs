//! What is made anew is signed anew: by `rebase`, which keeps to the policy, as `outdated` does; and in batches for
//! two requests an image.

use ohoci_image::media_type::Family;

use crate::support::command::Outcome;
use crate::support::ohoci_registry::OhociRegistry;
use crate::support::workbench::Workbench;

struct Scene {
    registry: OhociRegistry,
    bench: Workbench,
}

impl Scene {
    /// A registry with `base:1`, and the key pairs `mine` and `others`.
    fn new() -> Self {
        let registry = OhociRegistry::start();
        let bench = Workbench::new(&registry.host(), registry.peer());
        bench.push_base("base", Family::Oci);
        let scene = Self { registry, bench };
        for name in ["mine", "others"] {
            scene.run(&["key", "generate", "--out", name]).exits(0);
        }
        scene
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        let mut command = self.bench.ohoci.command();
        command.env("COSIGN_PASSWORD", "passphrase");
        Outcome::of(command.args(self.bench.expand(arguments)))
    }

    /// Lets bases in that `mine` signed, and no others.
    fn trust(&self) {
        let key = self.bench.ohoci.work().join("mine.pub");
        let text = format!(
            "[[trust.rule]]\nimages = [\"*/base\"]\nkeys = [\"{}\"]\n",
            key.display()
        );
        self.bench.ohoci.write("config/ohoci/config.toml", text);
    }

    fn digest(&self, reference: &str) -> String {
        self.run(&["digest", reference]).exits(0).stdout
    }
}

#[test]
fn rebase_signs_anew_and_keeps_to_the_policy() {
    let scene = Scene::new();
    scene.trust();
    scene
        .run(&["sign", "--key", "mine.key", "@/base:1"])
        .exits(0);
    let compose = [
        "compose",
        "--base",
        "@/base:1",
        "--env",
        "A=b",
        "--push",
        "@/app:1",
        "--sign-key",
        "mine.key",
    ];
    scene.run(&compose).exits(0);
    let before = scene.digest("@/app:1");

    // The base is another one by now, which nobody signed.
    scene.bench.push_layers("base", 2);
    let rebase = [
        "rebase",
        "@/app:1",
        "--sign-key",
        "mine.key",
        "--provenance",
    ];
    let refused = scene.run(&rebase).exits(1);
    assert!(
        refused.stderr.contains("no signature was found"),
        "{}",
        refused.stderr
    );
    assert_eq!(scene.digest("@/app:1"), before);
    let outdated = scene.run(&["outdated", "@/app:1"]);
    assert_ne!(outdated.code, Some(0), "{}", outdated.stdout);
    let said = format!("{}{}", outdated.stdout, outdated.stderr);
    assert!(said.contains("no signature was found"), "{said}");

    scene
        .run(&["sign", "--key", "others.key", "@/base:1"])
        .exits(0);
    let refused = scene.run(&rebase).exits(1);
    assert!(
        refused.stderr.contains("it is by another key"),
        "{}",
        refused.stderr
    );
    scene
        .run(&["sign", "--key", "mine.key", "@/base:1"])
        .exits(0);
    scene.run(&rebase).exits(0);
    assert_ne!(scene.digest("@/app:1"), before);
    scene
        .run(&["verify", "--replay", "--key", "mine.pub", "@/app:1"])
        .exits(0);
    scene.run(&["outdated", "@/app:1"]).exits(0);
}

#[test]
fn in_a_batch_a_signature_takes_two_requests_an_image() {
    const IMAGES: usize = 6;
    let scene = Scene::new();
    let mut bases = String::new();
    for number in 1..=IMAGES {
        scene.bench.push_layers(&format!("base-{number}"), number);
        bases.push_str(&format!("{}/base-{number}:1\n", scene.bench.host));
    }
    scene.bench.ohoci.write("work/bases.txt", bases);
    let requests = |target: &str, signing: &[&str]| {
        // Nothing is known of the bases, either time.
        let cache = tempfile::tempdir().unwrap();
        let mut command = scene.bench.ohoci.command();
        command
            .env("COSIGN_PASSWORD", "passphrase")
            .env("OHOCI_CACHE_DIR", cache.path());
        let batch = [
            "batch",
            "--bases",
            "bases.txt",
            "--env",
            "A=b",
            "--push",
            target,
        ];
        drop(scene.registry.take_requests());
        let arguments = scene.bench.expand(&[&batch[..], signing].concat());
        Outcome::of(command.args(arguments)).exits(0);
        scene.registry.take_requests().len()
    };
    let plain = requests("@/plain:{name}", &[]);
    let signed = requests("@/signed:{name}", &["--sign-key", "mine.key"]);
    // And one for the config that all signatures share.
    assert!(signed <= plain + 2 * IMAGES + 1, "{plain} {signed}");
    for number in 1..=IMAGES {
        let image = format!("@/signed:base-{number}");
        scene.run(&["verify", "--key", "mine.pub", &image]).exits(0);
    }
}
