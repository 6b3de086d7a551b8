//! Which builds of a version are meant.

use std::fmt;

/// Builds by their names, in which a `*` stands for anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BuildPattern(String);

impl BuildPattern {
    /// Reads a pattern; conda's regular expressions, `^…$`, are none.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with('^') || text.ends_with('$') {
            return Err(format!(
                "{text:?} is a regular expression: only `*` is understood in builds"
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether a build is meant.
    pub(crate) fn takes(&self, build: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut rest) = parts.next().and_then(|first| build.strip_prefix(first)) else {
            return false;
        };
        let parts: Vec<&str> = parts.collect();
        let Some((last, middle)) = parts.split_last() else {
            return rest.is_empty();
        };
        for part in middle {
            match rest.split_once(part) {
                Some((_, behind)) => rest = behind,
                None => return false,
            }
        }
        rest.ends_with(last)
    }
}

impl fmt::Display for BuildPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Builds by their numbers: `3`, `>=3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BuildNumbers {
    operator: &'static str,
    number: u64,
}

impl BuildNumbers {
    /// Reads a number with an operator in front.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        const OPERATORS: [&str; 7] = [">=", "<=", "==", "!=", "=", ">", "<"];
        let found = OPERATORS
            .iter()
            .find_map(|operator| Some((*operator, text.strip_prefix(operator)?)));
        let (operator, digits) = found.unwrap_or(("=", text));
        let number = digits.trim().parse();
        let number = number.map_err(|_| format!("{text:?} is no number of a build"))?;
        Ok(Self { operator, number })
    }

    /// Whether a build with that number is meant.
    pub(crate) fn takes(self, number: u64) -> bool {
        match self.operator {
            ">=" => number >= self.number,
            "<=" => number <= self.number,
            "!=" => number != self.number,
            ">" => number > self.number,
            "<" => number < self.number,
            _ => number == self.number,
        }
    }
}

impl fmt::Display for BuildNumbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.operator, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, build, expected) in [
            ("py36_0", "py36_0", true),
            ("py36_0", "py36_01", false),
            ("*", "", true),
            ("py*", "py36_0", true),
            ("*_0", "py36_0", true),
            ("py*_0", "py36_0", true),
            ("p*3*0", "py36_0", true),
            ("a*a", "a", false),
            ("*a*a*", "aba", true),
            ("*cuda*", "cpu_0", false),
            ("*_cp39", "0_cp39", true),
        ] {
            let found = BuildPattern::parse(pattern).unwrap().takes(build);
            assert_eq!(found, expected, "{pattern} {build}");
        }
    }

    #[test]
    fn numbers_are_compared() {
        for (text, expected) in [
            ("3", true),
            (">=3", true),
            ("<3", false),
            ("!=3", false),
            (">2", true),
            ("<=2", false),
        ] {
            assert_eq!(
                BuildNumbers::parse(text).unwrap().takes(3),
                expected,
                "{text}"
            );
        }
    }
}
