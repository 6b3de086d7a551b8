"""Commands as functions: results as dataclasses, progress as events, failures as exceptions."""

import json
import os
import unittest
from typing import List

import ohoci
from ohoci._decode import decode
from ohoci.errors import from_stderr

from registry import WithRegistry


class Commands(WithRegistry):
    def test_compose_and_inspect(self) -> None:
        push = f"{self.host}/out:1"
        report = ohoci.compose(
            self.base,
            layers=["tools:/opt"],
            push=push,
            env={"GREETING": "hello world"},
            entrypoint=["/opt/bin/hello"],
            labels={"a.b": "c"},
        )
        self.assertEqual(report.status, "pushed")
        self.assertEqual(report.digest, ohoci.digest(push))
        self.assertEqual([layer.origin for layer in report.layers], ["base", "local"])
        self.assertGreater(report.bytes_up, 0)
        image = ohoci.inspect(push).images[0]
        self.assertIn("GREETING=hello world", image.runtime.env)
        self.assertEqual(image.runtime.entrypoint, ["/opt/bin/hello"])
        self.assertEqual(image.runtime.labels["a.b"], "c")
        self.assertIsNotNone(image.intent)
        self.assertEqual(ohoci.ls(f"{self.host}/out"), ["1"])
        again = ohoci.compose(
            self.base, layers=["tools:/opt"], push=push, env={"GREETING": "x"}, dry_run=True
        )
        self.assertEqual(again.status, "planned")

    def test_copy_tells_of_its_progress(self) -> None:
        events: List[ohoci.Event] = []
        report = ohoci.copy(self.base, "oci:layout:1", progress=events.append)
        self.assertEqual(report.references, ["oci:layout:1"])
        kinds = {event.kind for event in events}
        self.assertIn("step", kinds)
        self.assertIn("moved", kinds)
        moved = sum(event.bytes for event in events if event.kind == "moved")
        self.assertEqual(moved, sum(blob.size for blob in report.blobs))

    def test_a_batch_tells_of_each_image_and_of_those_that_failed(self) -> None:
        bases = [self.base, f"{self.host}/missing:1"]
        events: List[ohoci.Event] = []
        with self.assertRaises(ohoci.PartlyFailed) as caught:
            ohoci.batch(
                bases,
                layers=["tools:/opt"],
                push=f"{self.host}/batch/{{name}}:1",
                attempts=1,
                progress=events.append,
            )
        summary = caught.exception.result
        assert isinstance(summary, ohoci.BatchSummary)
        self.assertEqual((summary.built, summary.failed), (1, 1))
        self.assertEqual(summary.failures[0][0], bases[1])
        self.assertEqual(caught.exception.exit_code, 3)
        records = [event.record for event in events if event.kind == "image"]
        self.assertEqual({record["base_image"] for record in records if record}, set(bases))

    def test_a_plan_names_each_image(self) -> None:
        plan = [{"base": self.base, "layer": ["tools:/opt"], "push": [f"{self.host}/plan:{n}"]} for n in (1, 2)]
        summary = ohoci.batch(plan=plan, journal="plan.jsonl")
        self.assertEqual(summary.built, 2)
        self.assertEqual(len({result.digest for result in summary.results}), 1)
        with open("plan.jsonl") as file:
            self.assertEqual(len([json.loads(line) for line in file]), 2)

    def test_failures_say_what_and_why(self) -> None:
        with self.assertRaises(ohoci.OhociError) as caught:
            ohoci.inspect(f"{self.host}/missing:1")
        error = caught.exception
        self.assertEqual(error.exit_code, 1)
        self.assertIn("missing", error.what)
        self.assertTrue(error.why)
        self.assertEqual(error.command[1], "inspect")
        with self.assertRaises(ohoci.UsageError):
            ohoci.compose(self.base, layers=["not/there"], push=f"{self.host}/x:1", options=["--entrypoint=a b"])

    def test_check_says_whether_an_image_will_do(self) -> None:
        report = ohoci.check(self.base)
        self.assertIs(type(report.works), bool)
        self.assertTrue(report.images[0].points)

    def test_tags_are_those_of_the_scheme(self) -> None:
        tags = ohoci.tags(
            "v1",
            "python:3.13",
            image="registry.example/a",
            options=["--sha=abc1234567890", "--ref=main", "--custom-tag=python"],
        )
        self.assertEqual(tags[0], "registry.example/a:abc1234-python")
        self.assertTrue(all(tag.startswith("registry.example/a:") for tag in tags))

    def test_an_observer_that_fails_ends_the_command(self) -> None:
        def refuse(event: ohoci.Event) -> None:
            raise RuntimeError("enough")

        with self.assertRaisesRegex(RuntimeError, "enough"):
            ohoci.copy(self.base, "oci:other:1", progress=refuse)

    def test_the_version_is_told(self) -> None:
        self.assertTrue(ohoci.version().startswith("ohoci "))


class Parts(unittest.TestCase):
    def test_errors_are_read_as_they_are_written(self) -> None:
        text = "warning: x\nerror: cannot read a\n  it says\n  hint: this\nhint: log in\n  twice\n"
        error = from_stderr(1, ["ohoci"], text)
        self.assertEqual(error.what, "cannot read a")
        self.assertEqual(error.why, "it says\nhint: this")
        self.assertEqual(error.hint, "log in\ntwice")
        self.assertEqual(str(error).splitlines()[0], "cannot read a")
        self.assertEqual(from_stderr(137, ["ohoci"], "").why, "it said nothing")

    def test_what_is_missing_or_of_another_type_is_refused(self) -> None:
        value = {"reference": "a", "digest": "sha256:0", "more": 1}
        report = decode(ohoci.models.DigestReport, value)
        self.assertEqual(report.digest, "sha256:0")
        for wrong in ({"reference": "a"}, {"reference": 1, "digest": "b"}, []):
            with self.assertRaises(ValueError):
                decode(ohoci.models.DigestReport, wrong)

    def test_a_program_that_is_not_there_is_said(self) -> None:
        before = os.environ["OHOCI_PROGRAM"]
        os.environ["OHOCI_PROGRAM"] = "/nowhere/ohoci"
        try:
            with self.assertRaises(ohoci.OhociError) as caught:
                ohoci.version()
        finally:
            os.environ["OHOCI_PROGRAM"] = before
        self.assertEqual(caught.exception.what, "cannot start ohoci")


if __name__ == "__main__":
    unittest.main()
