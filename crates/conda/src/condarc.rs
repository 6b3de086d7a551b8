//! The settings of conda and its relatives that say which channels there are: `.condarc`, a file in YAML.
//!
//! Of YAML only what such files are made of is understood: scalars, lists of them in both ways of writing,
//! and maps of one level. All other keys are passed over.

use std::collections::BTreeMap;

/// What settings say of channels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condarc {
    /// The channels, the first one preferred.
    pub channels: Vec<String>,
    /// What names of channels are below.
    pub channel_alias: Option<String>,
    /// The channels that `defaults` stands for.
    pub default_channels: Vec<String>,
    /// What single channels are below, by their names.
    pub custom_channels: BTreeMap<String, String>,
    /// Whether a package is only taken from the first channel that has it.
    pub channel_priority: Option<String>,
}

impl Condarc {
    /// Reads a file. What cannot be understood counts as not said.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut found = Self::default();
        let mut key = String::new();
        for line in text.lines() {
            let line = without_comment(line);
            let content = line.trim_start();
            if content.is_empty() || content == "---" {
                continue;
            }
            let is_indented = content.len() < line.len();
            if let Some(item) = content.strip_prefix("- ") {
                found.item(&key, scalar(item));
            } else if let Some((name, value)) = split(content) {
                if is_indented {
                    if key == "custom_channels" {
                        found.custom_channels.insert(scalar(name), scalar(value));
                    }
                    continue;
                }
                name.clone_into(&mut key);
                let value = value.trim();
                match value
                    .strip_prefix('[')
                    .and_then(|list| list.strip_suffix(']'))
                {
                    Some(list) => {
                        let items = list.split(',').map(scalar).filter(|item| !item.is_empty());
                        items.for_each(|item| found.item(&key, item));
                    }
                    None if !value.is_empty() => found.value(&key, scalar(value)),
                    None => {}
                }
            }
        }
        found
    }

    fn item(&mut self, key: &str, item: String) {
        match key {
            "channels" => self.channels.push(item),
            "default_channels" => self.default_channels.push(item),
            _ => {}
        }
    }

    fn value(&mut self, key: &str, value: String) {
        match key {
            "channels" => self.channels.push(value),
            "channel_alias" => self.channel_alias = Some(value),
            "channel_priority" => self.channel_priority = Some(value),
            _ => {}
        }
    }

    /// These settings, and those of `other` where they say nothing. Lists are joined, these in front, as
    /// conda does.
    #[must_use]
    pub fn or(mut self, other: Self) -> Self {
        for channel in other.channels {
            if !self.channels.contains(&channel) {
                self.channels.push(channel);
            }
        }
        if self.default_channels.is_empty() {
            self.default_channels = other.default_channels;
        }
        self.channel_alias = self.channel_alias.or(other.channel_alias);
        self.channel_priority = self.channel_priority.or(other.channel_priority);
        for (name, place) in other.custom_channels {
            self.custom_channels.entry(name).or_insert(place);
        }
        self
    }

    /// Where the channels of a name are: URLs or directories, with the names that they go by. A name that is
    /// below nothing is in the error.
    ///
    /// # Errors
    /// The name, where it is no URL, no path, and nothing says what it is below.
    pub fn places(&self, channel: &str) -> Result<Vec<(String, String)>, String> {
        if is_place(channel) {
            return Ok(vec![(name_of(channel), channel.to_owned())]);
        }
        if channel == "defaults" && !self.default_channels.is_empty() {
            let all = self.default_channels.iter();
            let places = all.map(|channel| match is_place(channel) {
                true => Ok((channel.clone(), channel.clone())),
                false => self.place(channel).map(|place| (channel.clone(), place)),
            });
            let named = places.map(|found| found.map(|(_, place)| ("defaults".to_owned(), place)));
            return named.collect();
        }
        self.place(channel)
            .map(|place| vec![(channel.to_owned(), place)])
    }

    fn place(&self, channel: &str) -> Result<String, String> {
        let below = self.custom_channels.get(channel);
        let below = below.or(self.channel_alias.as_ref());
        below
            .map(|below| format!("{}/{channel}", below.trim_end_matches('/')))
            .ok_or_else(|| channel.to_owned())
    }
}

/// Whether a channel is written as where it is: a URL or a path.
#[must_use]
pub fn is_place(channel: &str) -> bool {
    channel.contains("://")
        || channel.starts_with(['/', '~'])
        || channel == "."
        || channel.starts_with("./")
        || channel.starts_with("../")
}

/// What a channel is called after its place: the last part of its path, and no host.
#[must_use]
pub fn name_of(place: &str) -> String {
    let path = match place.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
        None => place,
    };
    let mut parts = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".");
    parts.next_back().unwrap_or("channel").to_owned()
}

fn without_comment(line: &str) -> &str {
    if line.trim_start().starts_with('#') {
        return "";
    }
    line.split(" #").next().unwrap_or(line).trim_end()
}

/// `key: value`, of which the key may be quoted and a URL.
fn split(content: &str) -> Option<(&str, &str)> {
    match content.strip_suffix(':') {
        Some(name) if !name.contains(": ") => Some((name, "")),
        _ => content.split_once(": "),
    }
}

fn scalar(text: &str) -> String {
    text.trim().trim_matches(['"', '\'']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# mine\nchannels:\n  - conda-forge   # first\n  - defaults\nchannel_alias: https://mirror.example/conda/\n\
        default_channels:\n- https://mirror.example/pkgs/main\n- r\ncustom_channels:\n  own: file:///srv/conda\n\
        channel_priority: strict\nssl_verify: true\n";

    #[test]
    fn a_file_says_where_channels_are() {
        let file = Condarc::parse(FILE);
        assert_eq!(file.channels, ["conda-forge", "defaults"]);
        assert_eq!(file.channel_priority.as_deref(), Some("strict"));
        let place = |name: &str, place: &str| (name.to_owned(), place.to_owned());
        assert_eq!(
            file.places("conda-forge").unwrap(),
            [place(
                "conda-forge",
                "https://mirror.example/conda/conda-forge"
            )]
        );
        assert_eq!(
            file.places("defaults").unwrap(),
            [
                place("defaults", "https://mirror.example/pkgs/main"),
                place("defaults", "https://mirror.example/conda/r")
            ]
        );
        assert_eq!(
            file.places("own").unwrap(),
            [place("own", "file:///srv/conda/own")]
        );
        assert_eq!(
            file.places("https://x.example/a/b/").unwrap(),
            [place("b", "https://x.example/a/b/")]
        );
        assert_eq!(Condarc::default().places("a").unwrap_err(), "a");
        assert_eq!(
            Condarc::parse("channels: [a, 'b']\nchannel_alias: x\n").channels,
            ["a", "b"]
        );
    }

    #[test]
    fn nearer_files_go_first() {
        let near = Condarc::parse("channels: [a]\nchannel_alias: https://near.example\n");
        let joined = near.or(Condarc::parse(FILE));
        assert_eq!(joined.channels, ["a", "conda-forge", "defaults"]);
        assert_eq!(
            joined.channel_alias.as_deref(),
            Some("https://near.example")
        );
    }
}
