//! Upstream's names of parsers, and what each of them reads.
//!
//! Source: SWE-bench 5.0.2, `PARSER_REGISTRY` and the maps of repositories in each language's file.

use super::javascript::{indented, jest, karma, mocha, mocha_json, p5js, plotly, quarto, tap};
use super::{
    Instance, LogError, StatusMap, c, django, go, java, matplotlib, php, pytest, pytest_options,
    pytest_v2, ruby, rust, seaborn, sympy,
};

/// What a log looks like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Format {
    /// Finds the tests in a log.
    pub(super) read: fn(&str) -> Result<StatusMap, LogError>,
    /// Tells formats apart.
    name: &'static str,
}

impl PartialEq for Format {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Format {}

/// How a parser finds the format of a log.
#[derive(Clone, Copy)]
pub(super) enum Choice {
    /// All have one.
    One(Format),
    /// By what is known of the instance, else what is missing.
    Of(fn(Instance<'_>) -> Result<Format, String>),
}

impl Choice {
    pub(super) fn format(self, instance: Instance<'_>) -> Result<Format, String> {
        match self {
            Self::One(format) => Ok(format),
            Self::Of(choose) => choose(instance),
        }
    }
}

/// A format that is read by a function of a log, which may fail or not.
macro_rules! format {
    ($name:literal, $read:expr) => {
        Format {
            name: $name,
            read: $read,
        }
    };
    ($name:literal, sure $read:expr) => {
        Format {
            name: $name,
            read: |log| Ok($read(log)),
        }
    };
}

const PYTEST: Format = format!("pytest", sure pytest::parse);
const PYTEST_OPTIONS: Format = format!("pytest with options", sure pytest_options::parse);
const PYTEST_V2: Format = format!("pytest, second version", sure pytest_v2::parse);
const JEST: Format = format!("jest", sure jest::jest);
const JEST_JSON: Format = format!("jest as JSON", sure jest::jest_json);
const FILES: Format = format!("files", sure jest::files);
const MINITEST: Format = format!("minitest", sure ruby::minitest);
const CUCUMBER: Format = format!("cucumber", sure ruby::cucumber);

/// Upstream's names, each with what it reads.
const PARSERS: [(&str, Choice); 57] = [
    ("parse_log_pytest", Choice::One(PYTEST)),
    ("parse_log_pytest_options", Choice::One(PYTEST_OPTIONS)),
    (
        "parse_log_django",
        Choice::One(format!("django", django::parse)),
    ),
    ("parse_log_pytest_v2", Choice::One(PYTEST_V2)),
    (
        "parse_log_seaborn",
        Choice::One(format!("seaborn", sure seaborn::parse)),
    ),
    (
        "parse_log_sympy",
        Choice::One(format!("sympy", sure sympy::parse)),
    ),
    (
        "parse_log_matplotlib",
        Choice::One(format!("matplotlib", sure matplotlib::parse)),
    ),
    ("parse_log_astroid", Choice::One(PYTEST)),
    ("parse_log_flask", Choice::One(PYTEST)),
    ("parse_log_marshmallow", Choice::One(PYTEST)),
    ("parse_log_pvlib", Choice::One(PYTEST)),
    ("parse_log_pyvista", Choice::One(PYTEST)),
    ("parse_log_sqlfluff", Choice::One(PYTEST)),
    ("parse_log_xarray", Choice::One(PYTEST)),
    ("parse_log_pydicom", Choice::One(PYTEST_OPTIONS)),
    ("parse_log_requests", Choice::One(PYTEST_OPTIONS)),
    ("parse_log_pylint", Choice::One(PYTEST_OPTIONS)),
    ("parse_log_astropy", Choice::One(PYTEST_V2)),
    ("parse_log_scikit", Choice::One(PYTEST_V2)),
    ("parse_log_sphinx", Choice::One(PYTEST_V2)),
    (
        "parse_log_calypso",
        Choice::One(format!("calypso", indented::calypso)),
    ),
    (
        "parse_log_bpmn_js",
        Choice::One(format!("bpmn-js", sure karma::bpmn_js)),
    ),
    ("parse_log_carbon", Choice::One(FILES)),
    (
        "parse_log_eslint",
        Choice::One(format!("eslint", sure mocha::eslint)),
    ),
    (
        "parse_log_grommet",
        Choice::One(format!("grommet", sure jest::grommet)),
    ),
    (
        "parse_log_highlightjs",
        Choice::One(format!("highlight.js", mocha::highlightjs)),
    ),
    ("parse_log_lighthouse", Choice::Of(lighthouse)),
    ("parse_log_next", Choice::Of(next)),
    (
        "parse_log_openlayers",
        Choice::One(format!("openlayers", sure karma::openlayers)),
    ),
    (
        "parse_log_prismjs",
        Choice::One(format!("prism", mocha_json::prismjs)),
    ),
    (
        "parse_log_quarto_cli",
        Choice::One(format!("quarto", sure quarto::quarto)),
    ),
    (
        "parse_log_chart_js",
        Choice::One(format!("chart.js", sure karma::chart_js)),
    ),
    (
        "parse_log_marked",
        Choice::One(format!("marked", sure mocha::marked)),
    ),
    ("parse_log_p5js", Choice::One(format!("p5.js", p5js::p5js))),
    ("parse_log_react_pdf", Choice::One(FILES)),
    ("parse_log_jest", Choice::One(JEST)),
    ("parse_log_jest_json", Choice::One(JEST_JSON)),
    (
        "parse_log_vitest",
        Choice::One(format!("vitest", sure jest::vitest)),
    ),
    (
        "parse_log_karma",
        Choice::One(format!("karma", karma::tree)),
    ),
    ("parse_log_tap", Choice::One(format!("tap", sure tap::tap))),
    ("parse_log_immutable_js", Choice::Of(immutable_js)),
    (
        "parse_log_redis",
        Choice::One(format!("redis", sure c::redis)),
    ),
    ("parse_log_jq", Choice::One(format!("jq", sure c::jq))),
    (
        "parse_log_doctest",
        Choice::One(format!("doctest", c::doctest)),
    ),
    (
        "parse_log_micropython_test",
        Choice::One(format!("micropython", sure c::micropython)),
    ),
    (
        "parse_log_googletest",
        Choice::One(format!("googletest", sure c::googletest)),
    ),
    (
        "parse_log_gotest",
        Choice::One(format!("go", sure go::gotest)),
    ),
    (
        "parse_log_maven",
        Choice::One(format!("maven", sure java::maven)),
    ),
    ("parse_log_ant", Choice::One(format!("ant", sure java::ant))),
    (
        "parse_log_gradle_custom",
        Choice::One(format!("gradle", sure java::gradle)),
    ),
    (
        "parse_log_phpunit",
        Choice::One(format!("phpunit", php::phpunit)),
    ),
    ("parse_log_minitest", Choice::One(MINITEST)),
    ("parse_log_cucumber", Choice::One(CUCUMBER)),
    (
        "parse_log_ruby_unit",
        Choice::One(format!("test-unit", sure ruby::unit)),
    ),
    (
        "parse_log_rspec_transformed_json",
        Choice::One(format!("rspec", sure ruby::rspec)),
    ),
    ("parse_log_jekyll", Choice::Of(jekyll)),
    (
        "parse_log_cargo",
        Choice::One(format!("cargo", sure rust::cargo)),
    ),
];

/// Functions of upstream's that its registry lacks, and that repositories of older rows are read by;
/// and SWE-Gym's for Pydantic.
const UNREGISTERED: [(&str, Choice); 4] = [
    (
        "parse_log_pytest_pydantic",
        Choice::One(format!("pytest of Pydantic", sure pytest_v2::pydantic)),
    ),
    (
        "parse_log_cypress",
        Choice::One(format!("cypress", sure mocha_json::cypress)),
    ),
    (
        "parse_log_emotion",
        Choice::One(format!("emotion", sure jest::emotion)),
    ),
    (
        "parse_plotly_js",
        Choice::One(format!("plotly", plotly::plotly)),
    ),
];

/// The names of upstream's registry.
pub fn names() -> impl Iterator<Item = &'static str> {
    PARSERS.iter().map(|(name, _)| *name)
}

pub(super) fn find(name: &str) -> Option<(&'static str, Choice)> {
    let mut all = PARSERS.iter().chain(&UNREGISTERED);
    all.find(|(known, _)| *known == name).copied()
}

fn lighthouse(instance: Instance<'_>) -> Result<Format, String> {
    let version = instance.version;
    match version {
        "9.5" | "10.0" | "10.2" => Ok(format!("lighthouse in mocha", indented::lighthouse)),
        _ => match version.trim().parse::<f64>() {
            Ok(number) if number >= 3.0 => Ok(FILES),
            Ok(_) => Ok(format!("lighthouse as JSON", sure mocha_json::lighthouse)),
            Err(_) => Err(std::format!("version {version:?}")),
        },
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "one of several choices, some of which may fail"
)]
fn next(instance: Instance<'_>) -> Result<Format, String> {
    Ok(match instance.version {
        "1.27" => format!("next in cypress", indented::next_cypress),
        _ => format!("next", indented::next),
    })
}

fn immutable_js(instance: Instance<'_>) -> Result<Format, String> {
    match instance.id.rsplit('-').next() {
        Some("2006") => Ok(JEST),
        Some("2005") => Ok(JEST_JSON),
        _ => Err(std::format!("instance {:?}", instance.id)),
    }
}

fn jekyll(instance: Instance<'_>) -> Result<Format, String> {
    match instance.id.split('-').nth(1) {
        Some("9141" | "8047" | "8167") => Ok(MINITEST),
        Some("8761" | "8771") => Ok(CUCUMBER),
        _ => Err(std::format!("instance {:?}", instance.id)),
    }
}

/// The name of the parser for a repository.
pub(super) fn of_repository(repository: &str) -> Option<&'static str> {
    Some(match repository {
        "marshmallow-code/marshmallow"
        | "pallets/flask"
        | "pvlib/pvlib-python"
        | "pydata/xarray"
        | "pylint-dev/astroid"
        | "pytest-dev/pytest"
        | "pyvista/pyvista"
        | "sqlfluff/sqlfluff" => "parse_log_pytest",
        "psf/requests" | "pydicom/pydicom" | "pylint-dev/pylint" => "parse_log_pytest_options",
        "astropy/astropy" | "scikit-learn/scikit-learn" | "sphinx-doc/sphinx" => {
            "parse_log_pytest_v2"
        }
        "django/django" => "parse_log_django",
        "mwaskom/seaborn" => "parse_log_seaborn",
        "sympy/sympy" => "parse_log_sympy",
        "matplotlib/matplotlib" => "parse_log_matplotlib",
        "Automattic/wp-calypso" => "parse_log_calypso",
        "chartjs/Chart.js" => "parse_log_chart_js",
        "markedjs/marked" => "parse_log_marked",
        "processing/p5.js" => "parse_log_p5js",
        "diegomura/react-pdf" => "parse_log_react_pdf",
        "babel/babel" | "facebook/docusaurus" => "parse_log_jest",
        "vuejs/core" => "parse_log_vitest",
        "immutable-js/immutable-js" => "parse_log_immutable_js",
        "mrdoob/three.js" | "axios/axios" => "parse_log_tap",
        "preactjs/preact" => "parse_log_karma",
        "alibaba-fusion/next" => "parse_log_next",
        "bpmn-io/bpmn-js" => "parse_log_bpmn_js",
        "carbon-design-system/carbon" | "prettier/prettier" | "scratchfoundation/scratch-gui" => {
            "parse_log_carbon"
        }
        "cypress-io/cypress" => "parse_log_cypress",
        "emotion-js/emotion" => "parse_log_emotion",
        "eslint/eslint" => "parse_log_eslint",
        "GoogleChrome/lighthouse" => "parse_log_lighthouse",
        "grommet/grommet" => "parse_log_grommet",
        "highlightjs/highlight.js" => "parse_log_highlightjs",
        "openlayers/openlayers" => "parse_log_openlayers",
        "plotly/plotly.js" => "parse_plotly_js",
        "PrismJS/prism" => "parse_log_prismjs",
        "quarto-dev/quarto-cli" => "parse_log_quarto_cli",
        "redis/redis" | "valkey-io/valkey" => "parse_log_redis",
        "jqlang/jq" => "parse_log_jq",
        "nlohmann/json" => "parse_log_doctest",
        "micropython/micropython" => "parse_log_micropython_test",
        "fmtlib/fmt" => "parse_log_googletest",
        "caddyserver/caddy"
        | "hashicorp/terraform"
        | "prometheus/prometheus"
        | "gohugoio/hugo"
        | "gin-gonic/gin" => "parse_log_gotest",
        "google/gson" | "apache/druid" | "javaparser/javaparser" => "parse_log_maven",
        "projectlombok/lombok" => "parse_log_ant",
        "apache/lucene" | "reactivex/rxjava" => "parse_log_gradle_custom",
        "phpoffice/phpspreadsheet"
        | "laravel/framework"
        | "php-cs-fixer/php-cs-fixer"
        | "briannesbitt/carbon" => "parse_log_phpunit",
        "jekyll/jekyll" => "parse_log_jekyll",
        "fluent/fluentd" | "faker-ruby/faker" => "parse_log_ruby_unit",
        "fastlane/fastlane" | "jordansissel/fpm" | "rubocop/rubocop" => {
            "parse_log_rspec_transformed_json"
        }
        "burntsushi/ripgrep" | "sharkdp/bat" | "astral-sh/ruff" | "tokio-rs/tokio"
        | "uutils/coreutils" | "nushell/nushell" | "tokio-rs/axum" => "parse_log_cargo",
        _ => return None,
    })
}
