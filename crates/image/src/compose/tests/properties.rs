//! What holds for every composition.

use proptest::prelude::*;

use super::*;

fn any_composition() -> impl Strategy<Value = Composition> {
    let layer_types = prop::sample::select(vec![
        OCI_LAYER,
        OCI_LAYER_GZIP,
        OCI_LAYER_ZSTD,
        DOCKER_LAYER,
        DOCKER_LAYER_GZIP,
    ]);
    let additions = prop::collection::vec(
        (prop::collection::vec(layer_types, 0..3), any::<bool>()),
        0..3,
    );
    (
        prop::sample::select(vec![Family::Oci, Family::Docker]),
        additions,
        prop::sample::select(vec![Position::Top, Position::Bottom]),
        prop::collection::vec(("[A-C]", "[a-z$]{0,4}"), 0..3),
        prop::collection::btree_map("[a-c]{1,2}", "[a-c]{0,2}", 0..3),
        any::<bool>(),
    )
        .prop_map(|(family, additions, position, env, annotations, intent)| {
            let additions = additions
                .into_iter()
                .enumerate()
                .map(|(at, (types, is_deps))| {
                    let layers = types
                        .iter()
                        .enumerate()
                        .map(|(number, kind)| layer(kind, &format!("{at}/{number}")))
                        .collect();
                    if is_deps { deps(layers) } else { local(layers) }
                })
                .collect();
            let mut input = with(on(family), additions);
            input.position = position;
            for (name, value) in env {
                input.patch.set_env(name, value);
            }
            input.annotations = annotations;
            input.record_intent = intent;
            input
        })
}

proptest! {
    #[test]
    fn equal_input_gives_equal_bytes_and_a_valid_image(input in any_composition()) {
        let (first, second) = (composed(&input), composed(&input));
        prop_assert_eq!(first.manifest.bytes(), second.manifest.bytes());
        prop_assert_eq!(first.config.bytes(), second.config.bytes());
        let config = ImageConfig::parse(first.config.clone()).unwrap();
        prop_assert_eq!(config.history(), image_config::History::Consistent);
        if let Some(intent) = label::intent(first.config.object()).unwrap() {
            let recorded = intent.roles(first.layers.len()).unwrap();
            for (layer, role) in first.layers.iter().zip(recorded) {
                prop_assert_eq!(role, layer.role);
            }
        }
    }

    #[test]
    fn the_output_can_be_a_base_again(input in any_composition()) {
        let first = composed(&input);
        let next = composition(BaseImage {
            manifest: first.manifest.clone(),
            config: first.config.clone(),
            name: None,
            digest_of_name: None,
        });
        let second = composed(&with(next, vec![deps(vec![layer(OCI_LAYER_GZIP, "again")])]));
        prop_assert_eq!(second.layers.len(), first.layers.len() + 1);
    }
}
