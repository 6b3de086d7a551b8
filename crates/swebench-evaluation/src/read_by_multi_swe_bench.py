"""Reads a log of Multi-SWE-bench with the installed package `multi_swe_bench`.

Reads one JSON document on standard input: a pull request and the log of its tests; without one it only
says that the package is there. Writes one line of JSON: the tests, or an error.
"""

import dataclasses
import json
import sys


def read(text):
    from multi_swe_bench.harness.image import Config
    from multi_swe_bench.harness.instance import Instance
    from multi_swe_bench.harness.pull_request import Base, PullRequest
    import multi_swe_bench.harness.repos  # noqa: F401, registers the repositories

    if not text:
        return {}
    job = json.loads(text)
    fields = {
        "org": job["org"],
        "repo": job["repo"],
        "number": job["number"],
        "state": "",
        "title": "",
        "body": "",
        "base": Base(label="", ref="", sha=""),
        "resolved_issues": [],
        "fix_patch": "",
        "test_patch": "",
        "tag": job["tag"],
        "number_interval": job["number_interval"],
    }
    known = {field.name for field in dataclasses.fields(PullRequest)}
    request = PullRequest(**{name: value for name, value in fields.items() if name in known})
    config = Config(need_clone=False, global_env=None, clear_env=False)
    result = Instance.create(request, config).parse_log(job["log"])
    tests = []
    for word, names in (
        ("PASSED", result.passed_tests),
        ("FAILED", result.failed_tests),
        ("SKIPPED", result.skipped_tests),
    ):
        tests += [[test, word] for test in sorted(names)]
    return {"tests": tests}


def main():
    try:
        answer = read(sys.stdin.read())
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)


main()
