"""Reads logs with the installed `swebench` package (version 5), for `cargo xtask parsers`.

One JSON document a line on standard input: parser, id, version, log. One a line on standard output:
what the parser found, as a list of pairs in its order, or null where it stops with an exception.
"""

import contextlib
import importlib
import importlib.metadata
import io
import json
import sys
import types

version = importlib.metadata.version("swebench")
root = importlib.metadata.distribution("swebench").locate_file("swebench")
for name, path in [("swebench", root), ("swebench.harness", root / "harness")]:
    module = types.ModuleType(name)
    module.__path__ = [str(path)]
    sys.modules[name] = module
registry = importlib.import_module("swebench.harness.log_parsers").PARSER_REGISTRY
print(json.dumps({"version": version, "names": sorted(registry)}), flush=True)
for line in sys.stdin:
    job = json.loads(line)
    spec = types.SimpleNamespace(instance_id=job["id"], version=job["version"])
    try:
        # Some of the parsers print.
        with contextlib.redirect_stdout(io.StringIO()):
            found = list(registry[job["parser"]](job["log"], spec).items())
    except Exception:
        found = None
    print(json.dumps(found), flush=True)
