//! Lists of strings as Python's `repr` writes them, which some datasets have in the place of JSON.

/// Reads a list of strings; `None` for anything else. What is no string in it is none of ours.
pub(super) fn list(text: &str) -> Option<Vec<String>> {
    let mut rest = text.trim().strip_prefix('[')?.trim_start();
    let mut list = Vec::new();
    loop {
        if let Some(behind) = rest.strip_prefix(']') {
            return behind.trim().is_empty().then_some(list);
        }
        let (item, behind) = string(rest)?;
        list.push(item);
        rest = behind.trim_start();
        match rest.strip_prefix(',') {
            Some(behind) => rest = behind.trim_start(),
            None if rest.starts_with(']') => {}
            None => return None,
        }
    }
}

/// A string literal and what stands behind it.
fn string(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|c| ['\'', '"'].contains(c))?;
    let mut characters = text.char_indices().skip(1);
    let mut value = String::new();
    while let Some((at, c)) = characters.next() {
        if c == quote {
            return Some((value, text.get(at + 1..)?));
        }
        if c != '\\' {
            value.push(c);
            continue;
        }
        let (_, escape) = characters.next()?;
        let digits = match escape {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => {
                match escape {
                    'n' => value.push('\n'),
                    't' => value.push('\t'),
                    'r' => value.push('\r'),
                    '\\' | '\'' | '"' => value.push(escape),
                    other => value.extend(['\\', other]),
                }
                continue;
            }
        };
        let mut number = 0_u32;
        for _ in 0..digits {
            let (_, digit) = characters.next()?;
            number = number.checked_mul(16)?.checked_add(digit.to_digit(16)?)?;
        }
        // Half a character names nothing that a log could hold.
        value.push(char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::list;

    /// What Python's `repr` gives for such lists.
    #[test]
    fn lists_are_read_as_python_writes_them() {
        for (text, expected) in [
            ("[]", Some(vec![])),
            (
                r#"['a | b', "it's", 'x\'"y', 'back\\slash']"#,
                Some(vec!["a | b", "it's", "x'\"y", "back\\slash"]),
            ),
            (
                r"[ 'a\n\t\x1b[0m', 'ü\u200b\U0001f600', ]",
                Some(vec!["a\n\t\u{1b}[0m", "ü\u{200b}😀"]),
            ),
            ("['a'", None),
            ("['a' 'b']", None),
            ("[1]", None),
            ("['a'] + ['b']", None),
            (r"['\x4']", None),
            ("", None),
        ] {
            let expected = expected
                .map(|list: Vec<&str>| list.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(list(text), expected, "{text}");
        }
    }
}
