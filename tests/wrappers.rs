//! What the wrappers of the deps do before the program that they are named after.

use std::path::Path;
use std::process::Command;

use crate::support::command::Ohoci;

/// Stands for the server's modules: they take a while, and say what they see.
const API: &str = "import gc, time\ntime.sleep(0.3)\nprint('importing', gc.isenabled())\n";
const MAIN: &str = "\
import gc, sys, time
print(__name__, sys.argv[0].endswith('openhands/agent_server/__main__.py'), sys.argv[1:])
import openhands.agent_server.api
end = time.monotonic() + 30
while not gc.isenabled() and time.monotonic() < end:
    time.sleep(0.05)
print('serving', gc.isenabled(), gc.get_freeze_count() > 100)
";

#[test]
fn the_agent_server_looks_for_garbage_once_its_modules_are_imported() {
    let wrapper = Path::new(env!("CARGO_MANIFEST_DIR")).join("wrappers/oh-agent-server");
    let wrapper = fs_err::read_to_string(wrapper).unwrap();
    let (_, code) = wrapper.split_once("python -E -c '").unwrap();
    let (code, arguments) = code.split_once('\'').unwrap();
    assert_eq!(arguments.trim(), "\"$@\"");
    let ohoci = Ohoci::new();
    ohoci.write("work/openhands/agent_server/api.py", API);
    ohoci.write("work/openhands/agent_server/__main__.py", MAIN);
    let output = Command::new("python3")
        .args(["-c", code, "--port", "8000"])
        .current_dir(ohoci.work())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        told,
        "__main__ True ['--port', '8000']\nimporting False\nserving True True\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn places_that_only_the_base_had_and_shells_that_let_nobody_in_are_not_believed() {
    let places = Path::new(env!("CARGO_MANIFEST_DIR")).join("wrappers/lib/places");
    let places = fs_err::read_to_string(places).unwrap();
    let script = places.replace("/openhands/tools/bin/", "")
        + "\nenv | sed -n 's/^SHELL=/shell /p'\necho \"${TMPDIR:-unset} ${TMUX_TMPDIR:-unset} ${HOME:-unset}\"\n";
    let ohoci = Ohoci::new();
    let own = ohoci.work().display().to_string();
    let nowhere = ohoci.work().join("nowhere").display().to_string();
    let said = |values: [Option<&str>; 3]| {
        let mut command = Command::new("sh");
        command.args(["-c", &script]).env("SHELL", "/bin/false");
        for (name, value) in ["TMPDIR", "TMUX_TMPDIR", "HOME"].into_iter().zip(values) {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let output = command.output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let (own, nowhere) = (Some(own.as_str()), Some(nowhere.as_str()));
    let kept = own.unwrap();
    assert_eq!(said([nowhere, nowhere, nowhere]), "/tmp /tmp /tmp");
    assert_eq!(said([own, nowhere, None]), format!("{kept} {kept} {kept}"));
    assert_eq!(said([own, own, own]), format!("{kept} {kept} {kept}"));
    assert_eq!(said([None, None, own]), format!("unset unset {kept}"));
    let mut command = Command::new("sh");
    command.args(["-c", &script]).env("SHELL", "/bin/dash");
    let output = command.output().unwrap();
    assert!(output.stdout.starts_with(b"shell /bin/dash\n"));
}
