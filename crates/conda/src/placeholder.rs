//! The prefix that a package was built in, replaced by the one that it is linked into (conda's
//! `file_mode`s `text` and `binary`).

use std::borrow::Cow;

use memchr::memmem;

/// The longest first line that Linux takes for an interpreter's, without its end (`BINPRM_BUF_SIZE`).
const LONGEST_SHEBANG: usize = 127;

/// How a file holds the placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileMode {
    /// In a text, which may become shorter.
    Text,
    /// In strings that end in a NUL, at places that stay where they are.
    Binary,
}

/// The new prefix does not fit where the placeholder was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "its placeholder for a prefix has {placeholder} bytes, the prefix {prefix}: it does not fit into a binary"
)]
pub struct TooLong {
    placeholder: usize,
    prefix: usize,
}

/// How characters are written: how many bytes each has, and at which of them an ASCII one stands.
const ENCODINGS: [(usize, usize); 5] = [(1, 0), (2, 0), (2, 1), (4, 0), (4, 3)];

/// Replaces a placeholder in a file's content. Both are looked for as UTF-8, and as far as they are ASCII as
/// UTF-16 and UTF-32 at places where a compiler puts such characters.
///
/// # Errors
/// A prefix that is longer than a placeholder which a binary holds.
pub(crate) fn replace(
    content: Vec<u8>,
    mode: FileMode,
    placeholder: &str,
    prefix: &str,
) -> Result<Vec<u8>, TooLong> {
    if placeholder.is_empty() {
        return Ok(content);
    }
    let is_ascii = placeholder.is_ascii() && prefix.is_ascii();
    let mut content = match mode {
        FileMode::Text => with_shebang(content, placeholder, prefix),
        FileMode::Binary => content,
    };
    for (unit, at) in ENCODINGS {
        if unit > 1 && !is_ascii {
            continue;
        }
        let (from, to) = (encoded(placeholder, unit, at), encoded(prefix, unit, at));
        content = match mode {
            FileMode::Text => in_text(content, &from, &to, unit),
            FileMode::Binary => in_binary(content, &from, &to, unit).map_err(|()| TooLong {
                placeholder: placeholder.len(),
                prefix: prefix.len(),
            })?,
        };
    }
    Ok(content)
}

fn encoded(text: &str, unit: usize, at: usize) -> Cow<'_, [u8]> {
    if unit == 1 {
        return Cow::Borrowed(text.as_bytes());
    }
    let characters = text.bytes().flat_map(|byte| {
        let place = move |index| if index == at { byte } else { 0 };
        (0..unit).map(place)
    });
    Cow::Owned(characters.collect())
}

/// Occurrences at places that characters of this size stand at.
fn occurrences<'a>(
    content: &'a [u8],
    from: &'a [u8],
    unit: usize,
) -> impl Iterator<Item = usize> + 'a {
    memmem::find_iter(content, from).filter(move |at| at % unit == 0)
}

fn in_text(content: Vec<u8>, from: &[u8], to: &[u8], unit: usize) -> Vec<u8> {
    let mut result = Vec::new();
    let mut done = 0;
    for at in occurrences(&content, from, unit) {
        result.extend_from_slice(content.get(done..at).unwrap_or_default());
        result.extend_from_slice(to);
        done = at + from.len();
    }
    if done == 0 {
        return content;
    }
    result.extend_from_slice(content.get(done..).unwrap_or_default());
    result
}

/// In each string that holds it, and as many NULs at its end as it became shorter by.
fn in_binary(content: Vec<u8>, from: &[u8], to: &[u8], unit: usize) -> Result<Vec<u8>, ()> {
    let mut result: Vec<u8> = Vec::new();
    let mut done = 0;
    let mut places = occurrences(&content, from, unit).peekable();
    while let Some(first) = places.next() {
        if to.len() > from.len() {
            return Err(());
        }
        let end = end_of_string(&content, first + from.len(), unit);
        let mut copy = |until: usize| {
            result.extend_from_slice(content.get(done..until).unwrap_or_default());
            done = until;
        };
        copy(first);
        let mut saved = 0;
        let mut next = Some(first);
        while let Some(at) = next {
            result.extend_from_slice(content.get(done..at).unwrap_or_default());
            result.extend_from_slice(to);
            done = at + from.len();
            saved += from.len() - to.len();
            next = places.next_if(|at| *at < end);
        }
        result.extend_from_slice(content.get(done..end).unwrap_or_default());
        result.resize(result.len() + saved, 0);
        done = end;
    }
    drop(places);
    if done == 0 {
        return Ok(content);
    }
    result.extend_from_slice(content.get(done..).unwrap_or_default());
    Ok(result)
}

/// Where a string ends: at the next character that is zero, or with the file.
fn end_of_string(content: &[u8], from: usize, unit: usize) -> usize {
    let rest = content.get(from..).unwrap_or_default();
    let end = match unit {
        1 => memchr::memchr(0, rest),
        _ => rest
            .chunks_exact(unit)
            .position(|character| character.iter().all(|byte| *byte == 0))
            .map(|index| index * unit),
    };
    end.map_or(content.len(), |end| from + end)
}

/// With a first line that Linux still reads, where it names an interpreter in the prefix.
fn with_shebang(content: Vec<u8>, placeholder: &str, prefix: &str) -> Vec<u8> {
    if !content.starts_with(b"#!") {
        return content;
    }
    let end = memchr::memchr(b'\n', &content).unwrap_or(content.len());
    let line = content
        .get(..end)
        .and_then(|line| std::str::from_utf8(line).ok());
    let Some(line) = line.filter(|line| line.contains(placeholder)) else {
        return content;
    };
    let replaced = line.replace(placeholder, prefix);
    let has_space = prefix.contains(' ');
    if replaced.len() <= LONGEST_SHEBANG && !has_space {
        return content;
    }
    // The words are told apart before a space may come in with the prefix.
    let words = line.strip_prefix("#!").unwrap_or(line).trim_start();
    let (program, arguments) = words.split_at(words.find(' ').unwrap_or(words.len()));
    let short = interpreter_line(&program.replace(placeholder, prefix), arguments);
    let rest = content.get(end..).unwrap_or_default();
    [short.as_bytes(), rest].concat()
}

/// A first line that starts a program at a path which is too long for one, or has spaces: a shell starts
/// Python, for which the line is a text; anything else is looked for in `PATH`.
fn interpreter_line(program: &str, arguments: &str) -> String {
    let name = program.rsplit('/').next().unwrap_or(program);
    let is_python = name
        .strip_prefix("python")
        .or_else(|| name.strip_prefix("pypy"))
        .is_some_and(|rest| {
            rest.bytes()
                .all(|byte| byte == b'.' || byte.is_ascii_digit())
        });
    match is_python {
        true => format!("#!/bin/sh\n'''exec' \"{program}\"{arguments} \"$0\" \"$@\" #'''"),
        false => format!("#!/usr/bin/env {name}{arguments}"),
    }
}

/// The first lines of a script for a Python at a path.
pub(crate) fn python_shebang(python: &str) -> String {
    let line = format!("#!{python}");
    match line.len() > LONGEST_SHEBANG || python.contains(' ') {
        true => interpreter_line(python, ""),
        false => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACEHOLDER: &str = "/build/placehold_placehold";

    fn text(content: &str, prefix: &str) -> String {
        let content = replace(content.into(), FileMode::Text, PLACEHOLDER, prefix).unwrap();
        String::from_utf8(content).unwrap()
    }

    fn binary(content: &[u8], prefix: &str) -> Result<Vec<u8>, TooLong> {
        replace(content.to_vec(), FileMode::Binary, PLACEHOLDER, prefix)
    }

    #[test]
    fn texts_change_their_length() {
        let before = format!("a={PLACEHOLDER}/lib\nb={PLACEHOLDER}:{PLACEHOLDER}\n");
        assert_eq!(text(&before, "/p"), "a=/p/lib\nb=/p:/p\n");
        assert_eq!(text("nothing", "/p"), "nothing");
    }

    #[test]
    fn binaries_keep_theirs() {
        let before = format!("\x7fELF\0{PLACEHOLDER}/lib:{PLACEHOLDER}/x\0next\0{PLACEHOLDER}");
        let after = binary(before.as_bytes(), "/p").unwrap();
        assert_eq!(after.len(), before.len());
        let saved = PLACEHOLDER.len() - 2;
        let expected = format!(
            "\x7fELF\0/p/lib:/p/x{}\0next\0/p{}",
            "\0".repeat(2 * saved),
            "\0".repeat(saved)
        );
        assert_eq!(after, expected.as_bytes());
        let long = "/a/prefix/that/is/longer/than/the/placeholder";
        let error = binary(before.as_bytes(), long).unwrap_err();
        assert!(error.to_string().contains("26 bytes"), "{error}");
        assert_eq!(binary(b"nothing", long).unwrap(), b"nothing");
    }

    #[test]
    fn wide_characters_are_replaced_where_they_stand_as_such() {
        let wide = |text: &str, at: usize| encoded(text, 2, at).into_owned();
        for at in [0, 1] {
            let before = [b"\0\x01".to_vec(), wide(PLACEHOLDER, at), wide("/x\0y", at)].concat();
            let after = binary(&before, "/p").unwrap();
            let padding = vec![0; 2 * (PLACEHOLDER.len() - 2)];
            let expected = [
                b"\0\x01".to_vec(),
                wide("/p/x", at),
                padding,
                wide("\0y", at),
            ];
            assert_eq!(after, expected.concat(), "{at}");
        }
    }

    #[test]
    fn interpreters_with_long_paths_are_still_found() {
        let long = format!("/{}", "p".repeat(200));
        let python = format!("#!{PLACEHOLDER}/bin/python3.9 -s\nx\n");
        assert_eq!(
            text(&python, &long),
            format!("#!/bin/sh\n'''exec' \"{long}/bin/python3.9\" -s \"$0\" \"$@\" #'''\nx\n")
        );
        let perl = format!("#!{PLACEHOLDER}/bin/perl -w\n");
        assert_eq!(text(&perl, &long), "#!/usr/bin/env perl -w\n");
        assert_eq!(text(&python, "/p"), "#!/p/bin/python3.9 -s\nx\n");
    }
}
