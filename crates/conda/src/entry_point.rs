//! Programs that call a function of a Python package (entry points of noarch packages, conda's CEP 20).

use std::str::FromStr;

use crate::placeholder::python_shebang;

/// A program and the function that it calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryPoint {
    /// The program's name.
    pub command: String,
    /// The module.
    module: String,
    /// The function in it, behind dots where it belongs to something.
    function: String,
}

/// A text that names no program and function.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no entry point such as `name = package.module:function`")]
pub struct EntryPointError(String);

impl FromStr for EntryPoint {
    type Err = EntryPointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = || {
            let (command, rest) = text.split_once('=')?;
            let (module, function) = rest.split_once(':')?;
            let (command, module, function) = (command.trim(), module.trim(), function.trim());
            let is_dotted = |text: &str| {
                let is_part = |part: &str| {
                    !part.is_empty() && part.chars().all(|c| c == '_' || c.is_alphanumeric())
                };
                text.split('.').all(is_part)
            };
            let is_command = !command.is_empty()
                && !command.starts_with('.')
                && command.chars().all(|c| !c.is_control() && c != '/');
            (is_command && is_dotted(module) && is_dotted(function)).then(|| Self {
                command: command.to_owned(),
                module: module.to_owned(),
                function: function.to_owned(),
            })
        };
        parts().ok_or_else(|| EntryPointError(text.chars().take(200).collect()))
    }
}

impl EntryPoint {
    /// The program, for a Python at a path: byte by byte what conda's installers write.
    #[must_use]
    pub(crate) fn script(&self, python: &str) -> String {
        let Self {
            module, function, ..
        } = self;
        let import = function.split('.').next().unwrap_or(function);
        let shebang = python_shebang(python);
        format!(
            "{shebang}\n# -*- coding: utf-8 -*-\nimport re\nimport sys\n\nfrom {module} import {import}\n\n\
             if __name__ == '__main__':\n\tsys.argv[0] = re.sub(r'(-script\\.pyw?|\\.exe)?$', '', sys.argv[0])\n\
             \tsys.exit({function}())\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_calls_its_function() {
        let entry: EntryPoint = "jupyter-lab = jupyterlab.labapp:Main.run".parse().unwrap();
        let script = entry.script("/opt/env/bin/python3.9");
        assert!(script.starts_with("#!/opt/env/bin/python3.9\n# -*- coding"));
        assert!(script.contains("\nfrom jupyterlab.labapp import Main\n"));
        assert!(script.ends_with("\tsys.exit(Main.run())\n"));
        for bad in [
            "a",
            "a = b",
            "../a = b:c",
            "a = b:c()",
            "a = b\nimport os:c",
            " = b:c",
            ".a = b:c",
        ] {
            assert!(bad.parse::<EntryPoint>().is_err(), "{bad}");
        }
    }
}
