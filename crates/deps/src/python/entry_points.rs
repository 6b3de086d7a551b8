//! `entry_points.txt`: the programs of a distribution (entry points specification).

use std::collections::BTreeMap;

/// A program that calls a function of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    module: String,
    function: String,
}

/// The programs of the groups `console_scripts` and `gui_scripts`, by name. On Linux the two do
/// not differ.
///
/// Lines are read as `importlib.metadata` reads them: blanks around them do not matter.
pub(super) fn programs(text: &str) -> Result<BTreeMap<String, Program>, String> {
    let mut programs = BTreeMap::new();
    let mut in_scripts = false;
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(group) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            in_scripts = matches!(group.trim(), "console_scripts" | "gui_scripts");
            continue;
        }
        if !in_scripts {
            continue;
        }
        let (name, value) = line
            .split_once('=')
            .ok_or_else(|| format!("{line:?} is no entry point"))?;
        let name = name.trim();
        if !is_program_name(name) {
            return Err(format!("{name:?} cannot be the name of a program"));
        }
        let program = Program::parse(value)
            .ok_or_else(|| format!("{name}: {:?} names no function", value.trim()))?;
        if let Some(known) = programs.insert(name.to_owned(), program.clone())
            && known != program
        {
            return Err(format!("{name} is there twice, and differs"));
        }
    }
    Ok(programs)
}

/// Whether a program can have this name in a directory of programs.
pub(super) fn is_program_name(name: &str) -> bool {
    let legal = |character: char| !character.is_control() && !matches!(character, '/' | '\\');
    (1..=255).contains(&name.len())
        && !matches!(name, "." | "..")
        && !name.starts_with(".wh.")
        && name.chars().all(legal)
}

impl Program {
    /// Reads `module:function`, with extras behind it that no longer mean anything.
    fn parse(value: &str) -> Option<Self> {
        let value = value.split('[').next().unwrap_or_default().trim();
        let (module, function) = value.split_once(':')?;
        let (module, function) = (module.trim(), function.trim());
        let identifier = |name: &str| {
            let mut characters = name.chars();
            characters
                .next()
                .is_some_and(|first| first == '_' || first.is_alphabetic())
                && characters.all(|character| character == '_' || character.is_alphanumeric())
        };
        let dotted = |text: &str| text.len() <= 500 && text.split('.').all(identifier);
        (dotted(module) && dotted(function)).then(|| Self {
            module: module.to_owned(),
            function: function.to_owned(),
        })
    }

    /// The program's file; `shebang` is what stands behind its `#!`.
    pub(super) fn script(&self, shebang: &str) -> String {
        let Self { module, function } = self;
        let imported = function.split('.').next().unwrap_or(function);
        // The guard is for multiprocessing, which imports this file in its workers.
        format!(
            "#!{shebang}\nimport sys\n\nfrom {module} import {imported}\n\n\
             if __name__ == \"__main__\":\n    sys.exit({function}())\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_both_groups_are_found() {
        let programs = programs(
            "[other]\nx = not a function\n[console_scripts]\n  a = m.n:f\nb.c = m : C.main [extra]\n\
             # comment\n\n[gui_scripts]\ng=m:f\n",
        )
        .unwrap();
        let names: Vec<_> = programs.keys().collect();
        assert_eq!(names, ["a", "b.c", "g"]);
        assert_eq!(
            programs["b.c"].script("/p/bin/python3 -E"),
            "#!/p/bin/python3 -E\nimport sys\n\nfrom m import C\n\nif __name__ == \"__main__\":\n    \
             sys.exit(C.main())\n"
        );
    }

    #[test]
    fn what_could_become_other_code_is_refused() {
        for bad in [
            "a = m",
            "a = m:",
            "a = m:f()",
            "a = m;import os:f",
            "a = m:f\\n",
            "a = 1m:f",
            "a = m..n:f",
            "../a = m:f",
            ".. = m:f",
            " = m:f",
            "a",
        ] {
            let text = format!("[console_scripts]\n{bad}\n");
            assert!(programs(&text).is_err(), "{bad}");
        }
        let twice = "[console_scripts]\na = m:f\n[gui_scripts]\na = m:g\n";
        assert!(programs(twice).unwrap_err().contains("twice"));
    }
}
