"""Grades logs of SWE-bench with the installed `swebench` package (version 5).

Reads one JSON document a line on standard input: the fields of an instance that grading needs, the
model's patch, and the path of the log. Writes one JSON document a line: the report, or an error.

Only the package's grading is imported. What its own `__init__` files bring along (Docker, Modal,
Hugging Face's datasets) is not needed for that and need not be installed.
"""

import importlib.metadata
import importlib.util
import json
import sys
import types


def package(name, path):
    module = types.ModuleType(name)
    module.__path__ = [path]
    sys.modules[name] = module


def load():
    version = importlib.metadata.version("swebench")
    if not version.startswith("5."):
        raise RuntimeError(f"version 5 of the package is needed, installed is {version}")
    root = importlib.metadata.distribution("swebench").locate_file("swebench")
    package("swebench", str(root))
    package("swebench.harness", f"{root}/harness")
    from swebench.harness.grading import get_eval_report

    return version, get_eval_report


def main():
    try:
        version, get_eval_report = load()
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
        return
    print(json.dumps({"version": version}), flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        try:
            spec = types.SimpleNamespace(**job["row"])
            report = get_eval_report(
                test_spec=spec,
                prediction=job["prediction"],
                test_log_path=job["log"],
                include_tests_status=True,
            )
            answer = {"report": json.dumps(report, indent=4)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


main()
