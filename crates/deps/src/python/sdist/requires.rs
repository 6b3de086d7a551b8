//! `requires.txt` of `*.egg-info`: requirements in the form that setuptools keeps them in.

use std::fmt::Write as _;

/// The headers `Requires-Dist` and `Provides-Extra` for the requirements in a `requires.txt`:
/// one to a line, below `[extra]`, `[extra:marker]` or `[:marker]`.
pub(super) fn headers(text: &str) -> Result<String, String> {
    let mut headers = String::new();
    let (mut extra, mut marker) = ("", "");
    let mut extras = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(group) = line.strip_prefix('[') {
            let group = group
                .strip_suffix(']')
                .ok_or_else(|| format!("requires.txt: {line:?} is no group"))?;
            (extra, marker) = group.split_once(':').unwrap_or((group, ""));
            (extra, marker) = (extra.trim(), marker.trim());
            if !extra.is_empty() && !extras.contains(&extra) {
                extras.push(extra);
                let _ = writeln!(headers, "Provides-Extra: {extra}");
            }
            continue;
        }
        let conditions: Vec<String> = [
            (!marker.is_empty()).then(|| match extra {
                "" => marker.to_owned(),
                _ => format!("({marker})"),
            }),
            (!extra.is_empty()).then(|| format!("extra == \"{extra}\"")),
        ]
        .into_iter()
        .flatten()
        .collect();
        let _ = match conditions.as_slice() {
            [] => writeln!(headers, "Requires-Dist: {line}"),
            conditions => writeln!(
                headers,
                "Requires-Dist: {line}; {}",
                conditions.join(" and ")
            ),
        };
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_become_extras_and_markers() {
        let text =
            "a>=1\n\n[:python_version < \"3\"]\nb\n\n[x]\nc\n\n[x:os_name == \"nt\" or d]\nd\n";
        assert_eq!(
            headers(text).unwrap(),
            "Requires-Dist: a>=1\n\
             Requires-Dist: b; python_version < \"3\"\n\
             Provides-Extra: x\n\
             Requires-Dist: c; extra == \"x\"\n\
             Requires-Dist: d; (os_name == \"nt\" or d) and extra == \"x\"\n"
        );
        assert!(headers("[x").is_err());
    }
}
