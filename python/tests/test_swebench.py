"""The stand-ins for SWE-bench's harness: upstream's arguments, files and return values."""

import io
import json
import os
import tempfile
import unittest
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import ohoci
from ohoci.swebench import run_evaluation
from ohoci.swebench.harness import prepare_images
from ohoci.swebench.harness.run_evaluation import main

ROW = {
    "instance_id": "example__example-1",
    "repo": "example/example",
    "version": "1.0",
    "base_commit": "0" * 40,
    "problem_statement": "It fails.",
    "hints_text": "",
    "created_at": "2024-01-01T00:00:00Z",
    "patch": "",
    "test_patch": "",
    "FAIL_TO_PASS": ["tests/test_a.py::test_a"],
    "PASS_TO_PASS": [],
    "image": "registry.example/swebench/sweb.eval.x86_64.example_1776_example-1:latest",
    "eval_script": "#!/bin/bash\ntrue\n",
    "log_parser": "pytest",
    "eval_type": "pass_and_fail",
}


class Harness(unittest.TestCase):
    """An empty patch is never run, by upstream and here: the whole way but the sandbox."""

    def setUp(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.before = os.getcwd()
        os.chdir(self.directory.name)
        Path("rows.jsonl").write_text(json.dumps(ROW) + "\n")
        prediction = {"instance_id": ROW["instance_id"], "model_name_or_path": "m/1", "model_patch": ""}
        Path("predictions.json").write_text(json.dumps([prediction]))

    def tearDown(self) -> None:
        os.chdir(self.before)
        self.directory.cleanup()

    def test_both_versions_arguments_give_the_summarys_path(self) -> None:
        common = dict(
            dataset_name="rows.jsonl",
            split="test",
            instance_ids=[ROW["instance_id"]],
            predictions_path="predictions.json",
            max_workers=1,
            open_file_limit=4096,
            timeout=60,
            rewrite_reports=False,
            modal=False,
            report_dir="reports",
        )
        version_4 = dict(force_rebuild=False, cache_level="env", clean=False, namespace="swebench")
        for run_id, more in (("four", version_4), ("five", {"task_repo": None})):
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                summary = main(run_id=run_id, **common, **more)
            self.assertEqual(summary, Path(f"reports/m__1.{run_id}.json"))
            report = json.loads(summary.read_text())
            self.assertEqual(report["schema_version"], 2)
            self.assertEqual(report["empty_patch_ids"], [ROW["instance_id"]])
            self.assertEqual(report["resolved_instances"], 0)

    def test_outcomes_are_dataclasses(self) -> None:
        (outcome,) = run_evaluation("rows.jsonl", "predictions.json", "typed")
        self.assertEqual((outcome.status, outcome.model), ("empty_patch", "m/1"))

    def test_what_cannot_be_is_refused(self) -> None:
        arguments = ("rows.jsonl", "test", None, "predictions.json", 1)
        with self.assertRaises(ValueError):
            main(*arguments, run_id="a", force_rebuild=True)
        with self.assertRaises(ValueError):
            main(*arguments, run_id="a", modal=True)
        with self.assertRaises(AssertionError):
            main(*arguments, run_id="")
        with self.assertRaises(TypeError):
            main(*arguments, run_id="a", more=1)
        with redirect_stderr(io.StringIO()), self.assertRaises(ohoci.OhociError) as caught:
            main("missing.jsonl", "test", None, "predictions.json", 1, run_id="a")
        self.assertIn("missing.jsonl", str(caught.exception))

    def test_images_that_cannot_be_built_say_why(self) -> None:
        with redirect_stderr(io.StringIO()), self.assertRaises(ohoci.OhociError) as caught:
            prepare_images.main("rows.jsonl", "test", None, 1)
        self.assertTrue(caught.exception.what)
