//! Which files a patch touches.

/// The files that a patch touches, in its order: by their new names, removed ones by their old.
#[must_use]
pub fn touched_files(patch: &str) -> Vec<String> {
    let mut files: Vec<Touched<'_>> = Vec::new();
    let mut left = (0, 0);
    for line in patch.split('\n') {
        // Within a hunk a removed line may look like a header.
        if left != (0, 0) {
            let (old, new): (usize, usize) = left;
            left = match line.as_bytes().first() {
                Some(b'-') => (old.saturating_sub(1), new),
                Some(b'+') => (old, new.saturating_sub(1)),
                Some(b'\\') => left,
                _ => (old.saturating_sub(1), new.saturating_sub(1)),
            };
        } else if let Some(names) = line.strip_prefix("diff --git ") {
            let (old, new) = names.rsplit_once(' ').unwrap_or((names, names));
            files.push(Touched {
                old,
                new,
                has_names: false,
            });
        } else if let Some(name) = line.strip_prefix("--- ") {
            match files.last_mut() {
                Some(file) if !file.has_names => {
                    file.old = undated(name);
                    file.has_names = true;
                }
                // A patch that is not git's has no other header.
                _ => files.push(Touched {
                    old: undated(name),
                    new: undated(name),
                    has_names: true,
                }),
            }
        } else if let Some(file) = files.last_mut() {
            if let Some(name) = line.strip_prefix("+++ ") {
                file.new = undated(name);
            } else if line.starts_with("deleted file mode ") {
                file.new = NOTHING;
            } else if let Some(lengths) = hunk(line) {
                left = lengths;
            }
        }
    }
    files
        .iter()
        .map(|file| {
            let name = if file.new == NOTHING {
                file.old
            } else {
                file.new
            };
            let inside = name.strip_prefix("a/").or_else(|| name.strip_prefix("b/"));
            inside.unwrap_or(name).to_owned()
        })
        .collect()
}

/// One file of a patch, by its names in it.
struct Touched<'a> {
    old: &'a str,
    new: &'a str,
    /// Whether these are the names before the first hunk and not those of git's header.
    has_names: bool,
}

/// The name of no file: of what is added before, and of what is removed after.
const NOTHING: &str = "/dev/null";

/// A name without the time that may stand behind it.
fn undated(name: &str) -> &str {
    let name = name.split_once('\t').map_or(name, |(name, _)| name);
    name.trim_end()
}

/// The numbers of old and new lines of a hunk, from its heading.
fn hunk(line: &str) -> Option<(usize, usize)> {
    let (ranges, _) = line.strip_prefix("@@ -")?.split_once(" @@")?;
    let (old, new) = ranges.split_once(" +")?;
    let length = |range: &str| match range.split_once(',') {
        Some((_, length)) => length.parse().ok(),
        None => Some(1),
    };
    Some((length(old)?, length(new)?))
}
