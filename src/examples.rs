//! Command lines for help texts and man pages: the ones that people come for.

/// Examples of a command, named by its path below `ohoci` with blanks between.
pub(crate) fn of(command: &str) -> &'static [&'static str] {
    EXAMPLES
        .iter()
        .find(|(name, _)| *name == command)
        .map_or(&[], |(_, lines)| lines)
}

const EXAMPLES: &[(&str, &[&str])] = &[
    (
        "compose",
        &[
            "ohoci compose --base debian:12 --deps registry.example/deps:1 --push registry.example/runtime:1",
            "ohoci compose --base scratch --layer tools:/opt/tools --push oci:out:latest",
        ],
    ),
    (
        "batch",
        &[
            "ohoci batch --bases bases.txt --deps registry.example/deps:1 --push 'registry.example/runtime:{name}'",
            "ohoci batch --bases bases.txt --deps registry.example/deps:1 --push 'registry.example/runtime:{name}' --resume",
        ],
    ),
    (
        "inspect",
        &[
            "ohoci inspect registry.example/runtime:1",
            "ohoci inspect --config --platform linux/arm64 debian:12",
        ],
    ),
    (
        "outdated",
        &["ohoci outdated --repo registry.example/runtime"],
    ),
    (
        "k8s",
        &[
            "ohoci k8s deployment.yaml --deps registry.example/deps:1 | kubectl apply -f -",
            "ohoci k8s - --deps registry.example/deps:1 --check < deployment.yaml",
        ],
    ),
    ("rebase", &["ohoci rebase registry.example/runtime:1"]),
    (
        "verify",
        &[
            "ohoci verify registry.example/runtime:1",
            "ohoci verify --key ohoci.pub registry.example/runtime:1",
        ],
    ),
    (
        "sign",
        &["ohoci sign --key ohoci.key registry.example/runtime:1"],
    ),
    ("key generate", &["ohoci key generate --out release"]),
    (
        "check",
        &[
            "ohoci check alpine:3 --deps registry.example/deps:1",
            "ohoci check registry.example/image:1 --contract v1",
        ],
    ),
    ("doctor", &["ohoci doctor registry.example"]),
    (
        "copy",
        &[
            "ohoci copy debian:12 registry.example/debian:12",
            "ohoci copy --platform linux/amd64 debian:12 docker-archive:debian.tar",
            "ohoci copy --tag 'v1.*' registry.example/app registry.example/mirror/app",
        ],
    ),
    (
        "index",
        &[
            "ohoci index registry.example/app:amd64 registry.example/app:arm64 --push registry.example/app:1",
            "ohoci index debian:12 --platform linux/amd64 --platform linux/arm64 --push registry.example/debian:12",
        ],
    ),
    ("export", &["ohoci export debian:12 - | tar -t"]),
    (
        "run",
        &[
            "ohoci run debian:12 cat /etc/os-release",
            "ohoci run --mount .:/src:ro --workdir /src oci:out:latest make",
            "ohoci run -it debian:12 bash",
        ],
    ),
    ("sandboxes", &["ohoci sandboxes --jobs 8 --memory 2G"]),
    (
        "tags",
        &[
            "ohoci tags --scheme v1 --base debian:12 --custom-tag python --sha abc1234567 --arch amd64",
        ],
    ),
    (
        "deps build",
        &["ohoci deps build layers/minimal.toml --push registry.example/deps:1"],
    ),
    ("deps recipes", &["ohoci deps recipes ."]),
    (
        "registry serve",
        &[
            "ohoci registry serve --dir registry",
            "ohoci registry serve --listen localhost:0 > address &",
        ],
    ),
    ("reset", &["ohoci reset attempt-1"]),
    (
        "store prune",
        &[
            "ohoci store prune --keep 50GB",
            "ohoci store prune --unused-for 7d",
        ],
    ),
    (
        "login",
        &["ohoci login registry.example --username NAME --password-stdin < password"],
    ),
    (
        "completions",
        &["ohoci completions bash > ~/.local/share/bash-completion/completions/ohoci"],
    ),
    (
        "man",
        &[
            "ohoci man compose | man -l -",
            "ohoci man --dir ~/.local/share/man/man1",
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_command_lines_that_are_understood() {
        for (command, lines) in EXAMPLES {
            assert!(!lines.is_empty());
            for line in *lines {
                let words = line.split([' ', '|', '<', '>']).next().unwrap();
                assert_eq!(words, "ohoci");
                let own = line.split(['|', '>', '<']).next().unwrap();
                let words: Vec<String> = own
                    .split_whitespace()
                    .map(|word| word.trim_matches('\'').to_owned())
                    .collect();
                assert_eq!(words[1..=command.split(' ').count()].join(" "), *command);
                if let Err(error) = crate::command().try_get_matches_from(words) {
                    panic!("{line}: {error}");
                }
            }
        }
    }
}
