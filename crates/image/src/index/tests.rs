use super::*;
use crate::compose::Base;
use crate::config_patch::ConfigPatch;
use crate::label::Position;
use crate::media_type::*;
use serde_json::json;

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn p(text: &str) -> Platform {
    text.parse().unwrap()
}

fn entry(family: Family, name: &str, platform: &Value) -> Value {
    json!({
        "mediaType": family.manifest(), "size": 7, "digest": digest(name).to_string(),
        "platform": platform,
    })
}

fn index_of(family: Family, entries: &[Value]) -> Manifest {
    let index = json!({
        "schemaVersion": 2, "mediaType": family.index(), "manifests": entries, "x-index": [1.0],
    });
    Manifest::parse(index.to_string(), None).unwrap()
}

/// What buildkit pushes: images and, behind them, their attestations.
fn base(family: Family) -> Manifest {
    let attestation = json!({
        "mediaType": OCI_MANIFEST, "size": 7, "digest": digest("attestation").to_string(),
        "annotations": {annotation::DOCKER_REFERENCE_TYPE: "attestation-manifest"},
        "platform": {"architecture": "unknown", "os": "unknown"},
    });
    index_of(
        family,
        &[
            entry(
                family,
                "amd64",
                &json!({"os": "linux", "architecture": "amd64"}),
            ),
            entry(
                family,
                "arm",
                &json!({"architecture": "arm", "os": "linux", "variant": "v7", "x": 1}),
            ),
            entry(
                family,
                "windows",
                &json!({"architecture": "amd64", "os": "windows", "os.version": "10.0.20348.1",
                       "os.features": ["win32k"]}),
            ),
            attestation,
        ],
    )
}

fn names(selection: &Selection) -> Vec<Digest> {
    selection
        .children
        .iter()
        .map(|child| child.descriptor.digest.clone())
        .collect()
}

#[test]
fn platforms_are_selected_in_the_order_asked_for() {
    let index = base(Family::Oci);
    let all = select(&index, &Wanted::All).unwrap();
    assert_eq!(
        names(&all),
        [digest("amd64"), digest("arm"), digest("windows")]
    );
    assert_eq!(all.skipped.len(), 1);
    assert_eq!(all.skipped[0].reason, SkipReason::Attestation);
    let wanted = vec![p("linux/arm"), p("linux/amd64"), p("linux/arm/v7")];
    let some = select(&index, &Wanted::Platforms(wanted)).unwrap();
    assert_eq!(names(&some), [digest("arm"), digest("amd64")]);
    assert_eq!(some.children[0].at, 1);
}

#[test]
fn a_missing_platform_is_told_with_what_there_is() {
    let wanted = Wanted::Platforms(vec![p("linux/s390x")]);
    assert_eq!(
        select(&base(Family::Oci), &wanted).unwrap_err().to_string(),
        "there is no image for linux/s390x; there are linux/amd64, linux/arm/v7, windows/amd64"
    );
    let many: Vec<Value> = (0..100)
        .map(|at| {
            let platform = json!({"os": "linux", "architecture": format!("a{at}")});
            entry(Family::Oci, "x", &platform)
        })
        .collect();
    let text = select(&index_of(Family::Oci, &many), &wanted)
        .unwrap_err()
        .to_string();
    assert!(text.ends_with("linux/a39, more"), "{text}");
    assert!(matches!(
        select(&index_of(Family::Oci, &[]), &Wanted::All),
        Err(IndexError::Empty)
    ));
}

#[test]
fn what_is_no_image_is_skipped_with_the_reason() {
    let platform = json!({"os": "linux", "architecture": "amd64"});
    let mut marked = entry(Family::Oci, "marked", &platform);
    marked["annotations"] = json!({annotation::DOCKER_REFERENCE_TYPE: "x"});
    let mut artifact = entry(Family::Oci, "artifact", &platform);
    artifact["artifactType"] = json!("application/x");
    let mut nested = entry(Family::Oci, "nested", &platform);
    nested["mediaType"] = json!(OCI_INDEX);
    let mut unknown = entry(Family::Oci, "unknown", &platform);
    unknown["mediaType"] = json!("text/plain");
    let mut image = entry(Family::Oci, "image", &platform);
    image["artifactType"] = json!(OCI_CONFIG);
    let index = index_of(Family::Oci, &[marked, artifact, nested, unknown, image]);
    let all = children(&index).unwrap();
    assert_eq!(names(&all), [digest("image")]);
    let reasons: Vec<SkipReason> = all.skipped.iter().map(|skipped| skipped.reason).collect();
    assert_eq!(
        reasons,
        [
            SkipReason::Attestation,
            SkipReason::Artifact,
            SkipReason::NestedIndex,
            SkipReason::UnknownType
        ]
    );
}

#[test]
fn deps_are_picked_by_what_runs_best() {
    let linux = |variant: &str| json!({"os": "linux", "architecture": "amd64", "variant": variant});
    let index = index_of(
        Family::Oci,
        &[
            entry(Family::Oci, "v1", &linux("")),
            entry(Family::Oci, "v3", &linux("v3")),
            entry(Family::Oci, "v2", &linux("v2")),
            entry(
                Family::Oci,
                "other",
                &json!({"os": "linux", "architecture": "arm64"}),
            ),
        ],
    );
    let best = |machine: &str| {
        best_among(&children(&index).unwrap().children, &p(machine))
            .map(|child| child.descriptor.digest)
    };
    assert_eq!(best("linux/amd64").unwrap(), digest("v1"));
    assert_eq!(best("linux/amd64/v3").unwrap(), digest("v3"));
    assert_eq!(best("linux/amd64/v4").unwrap(), digest("v3"));
    assert_eq!(best("linux/arm64/v8").unwrap(), digest("other"));
    assert!(matches!(
        best("linux/riscv64"),
        Err(IndexError::NoPlatform { .. })
    ));
}

fn scratch(annotations: &[(&str, &str)]) -> Composition {
    Composition {
        base: Base::Scratch(p("linux/amd64")),
        additions: Vec::new(),
        patch: ConfigPatch::default(),
        annotations: annotations
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        position: Position::Top,
        family: Some(Family::Docker),
        created: None,
        record_intent: false,
    }
}

#[test]
fn one_oci_child_makes_the_whole_index_oci() {
    let none = BTreeMap::new();
    let docker = scratch(&[]);
    let mut oci = scratch(&[]);
    oci.family = Some(Family::Oci);
    let list = base(Family::Docker);
    let both = [docker, oci];
    assert_eq!(family(Some(&list), &both[..1], &none), Family::Docker);
    assert_eq!(family(Some(&list), &both, &none), Family::Oci);
    assert_eq!(
        family(Some(&base(Family::Oci)), &both[..1], &none),
        Family::Oci
    );
    let annotations = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
    assert_eq!(family(Some(&list), &both[..1], &annotations), Family::Oci);
    assert_eq!(family(None, &[], &none), Family::Oci);
}

fn entries(family: Family) -> Vec<Entry> {
    [
        ("new amd64", 0, "linux/amd64"),
        ("new arm", 1, "linux/arm/v7"),
    ]
    .map(|(name, at, platform)| Entry {
        base_at: Some(at),
        manifest: Descriptor::new(family.manifest(), digest(name), 99),
        platform: p(platform),
    })
    .into()
}

#[test]
fn what_the_base_index_says_is_kept() {
    let mut object = base(Family::Oci).document().object().clone();
    object.insert(
        "annotations".to_owned(),
        json!({"z": "1", annotation::BASE_NAME: "older"}),
    );
    object.insert("subject".to_owned(), json!({}));
    object.insert("artifactType".to_owned(), json!("x"));
    let entry_fields = object["manifests"][0].as_object_mut().unwrap();
    entry_fields.insert("data".to_owned(), json!("e30="));
    entry_fields.insert(
        "annotations".to_owned(),
        json!({"arch": "amd64", annotation::BASE_DIGEST: "older"}),
    );
    let base = Manifest::parse(Document::from_object(object).bytes().clone(), None).unwrap();
    let of_name = digest("index");
    let built = build(&NewIndex {
        base: Some(&base),
        base_name: Some("registry.example/base:1"),
        base_digest: Some(&of_name),
        entries: &entries(Family::Oci),
        annotations: &BTreeMap::from([("mine".to_owned(), "yes".to_owned())]),
        family: Family::Oci,
    })
    .unwrap();
    let want = json!({
        "schemaVersion": 2, "mediaType": OCI_INDEX,
        "manifests": [
            {
                "mediaType": OCI_MANIFEST, "size": 99, "digest": digest("new amd64").to_string(),
                "platform": {"os": "linux", "architecture": "amd64"},
                "annotations": {"arch": "amd64", annotation::BASE_DIGEST: of_name.to_string()},
            },
            {
                "mediaType": OCI_MANIFEST, "size": 99, "digest": digest("new arm").to_string(),
                "platform": {"architecture": "arm", "os": "linux", "variant": "v7", "x": 1},
            },
        ],
        "x-index": [1.0],
        "annotations": {
            "z": "1", annotation::BASE_NAME: "registry.example/base:1",
            annotation::BASE_DIGEST: of_name.to_string(), "mine": "yes",
        },
    });
    // The text, since key order counts.
    assert_eq!(
        std::str::from_utf8(built.bytes()).unwrap(),
        want.to_string()
    );
    oci_spec::image::ImageIndex::from_reader(built.bytes().as_ref()).unwrap();
}

#[test]
fn docker_lists_stay_docker_and_plain() {
    let list = base(Family::Docker);
    let of_name = digest("index");
    let mut new = NewIndex {
        base: Some(&list),
        base_name: Some("registry.example/base:1"),
        base_digest: Some(&of_name),
        entries: &entries(Family::Docker),
        annotations: &BTreeMap::new(),
        family: Family::Docker,
    };
    let built = build(&new).unwrap();
    assert_eq!(built.media_type(), DOCKER_INDEX);
    assert!(!built.document().object().contains_key("annotations"));
    let oci = entries(Family::Oci);
    new.entries = &oci;
    assert!(matches!(build(&new), Err(IndexError::NotInDocker(_))));
    let annotations = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
    let docker = entries(Family::Docker);
    new.entries = &docker;
    new.annotations = &annotations;
    assert!(matches!(build(&new), Err(IndexError::NotInDocker(_))));
    new.family = Family::Oci;
    assert!(matches!(build(&new), Err(IndexError::NotInOci)));
    new.entries = &[];
    assert!(matches!(build(&new), Err(IndexError::Empty)));
}

#[test]
fn an_index_can_be_built_from_nothing() {
    let mut list = entries(Family::Oci);
    for entry in &mut list {
        entry.base_at = None;
    }
    let new = NewIndex {
        base: None,
        base_name: None,
        base_digest: None,
        entries: &list,
        annotations: &BTreeMap::new(),
        family: Family::Oci,
    };
    let built = build(&new).unwrap();
    assert_eq!(
        std::str::from_utf8(built.bytes()).unwrap(),
        json!({
            "schemaVersion": 2, "mediaType": OCI_INDEX,
            "manifests": [
                {"mediaType": OCI_MANIFEST, "digest": digest("new amd64").to_string(), "size": 99,
                 "platform": {"architecture": "amd64", "os": "linux"}},
                {"mediaType": OCI_MANIFEST, "digest": digest("new arm").to_string(), "size": 99,
                 "platform": {"architecture": "arm", "os": "linux", "variant": "v7"}},
            ],
        })
        .to_string()
    );
    let mut stray = list.clone();
    stray[0].base_at = Some(7);
    let new = NewIndex {
        entries: &stray,
        ..new
    };
    assert!(matches!(build(&new), Err(IndexError::NoEntry(7))));
}
