"""The stand-ins for OpenHands' scripts: upstream's calls, names and files, against a registry."""

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import List

import ohoci
from ohoci.openhands import agent_server_build, benchmarks, runtime_build

from registry import WithRegistry


class OpenHands(WithRegistry):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        # What the contracts of both versions look for in a deps image.
        for program in (
            "bin/oh-agent-server",
            "bin/oh-python",
            "micromamba/bin/micromamba",
            "poetry/openhands-ai/bin/python",
            "poetry/oh/bin/python",
        ):
            path = os.path.join("prefix", program)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as file:
                file.write("#!/bin/sh\n")
            os.chmod(path, 0o755)
        cls.deps = f"{cls.host}/deps:1"
        ohoci.compose("scratch", layers=["prefix:/openhands"], push=cls.deps)
        os.makedirs("checkout/openhands")
        for name, text in (
            ("pyproject.toml", '[tool.poetry]\nname = "openhands-ai"\nversion = "0.62.0"\n'),
            ("poetry.lock", "locked = 1\n"),
            ("openhands/server.py", "print('one')\n"),
        ):
            with open(os.path.join("checkout", name), "w") as file:
                file.write(text)
        cls._variables = dict(os.environ)
        os.environ.update(
            OHOCI_DEPS_IMAGE=cls.deps,
            OH_RUNTIME_RUNTIME_IMAGE_REPO=f"{cls.host}/runtime",
            SDK_SHA="abc1234567890fedcba",
            SDK_REF="refs/heads/main",
        )
        os.environ.pop("GITHUB_OUTPUT", None)

    @classmethod
    def tearDownClass(cls) -> None:
        os.environ.clear()
        os.environ.update(cls._variables)
        super().tearDownClass()

    def test_without_a_recipe_here_the_deps_image_is_made_of_the_programs_own(self) -> None:
        # Stands in for the build alone, which would download everything.
        with open("recording", "w") as file:
            file.write('#!/bin/sh\ncase "$*" in *"deps build"*) ls "$3" && echo "error: $*" >&2 && exit 3 ;; esac\nexec "$REAL" "$@"\n')
        os.chmod("recording", 0o755)
        before = os.environ["OHOCI_PROGRAM"]
        os.environ.update(REAL=before, OHOCI_PROGRAM=os.path.abspath("recording"))
        try:
            with self.assertRaises(ohoci.OhociError) as raised:
                runtime_build.build_deps_image("registry.example/deps:1")
            with self.assertRaises(ohoci.OhociError) as named:
                runtime_build.build_deps_image("registry.example/deps:1", "absent.toml")
        finally:
            os.environ["OHOCI_PROGRAM"] = before
        self.assertIn("/layers/openhands-v0.toml --push=registry.example/deps:1", str(raised.exception))
        self.assertNotIn("absent.toml --push", str(named.exception))

    def test_a_runtime_image_has_upstreams_three_tags(self) -> None:
        builder = runtime_build.OhociRuntimeBuilder()
        name = runtime_build.build_runtime_image(self.base, builder, source="checkout")
        tags = ohoci.tags("v0", self.base, options=["--source=checkout"])
        self.assertEqual(name, f"{self.host}/runtime:{tags[0]}")
        self.assertTrue(builder.image_exists(name, False))
        self.assertLessEqual(set(tags), set(ohoci.ls(f"{self.host}/runtime")))
        origins = [layer.origin for layer in ohoci.inspect(name).images[0].layers]
        self.assertIn("deps", origins)
        self.assertFalse(builder.image_exists(f"{self.host}/runtime:missing"))
        again = runtime_build.build_runtime_image(self.base, builder, source="checkout")
        self.assertEqual(again, name)

    def test_the_builder_serves_upstreams_own_function(self) -> None:
        folder = Path("build-folder")
        (folder / "code" / "openhands").mkdir(parents=True)
        (folder / "code" / "openhands" / "server.py").write_text("print(1)\n")
        (folder / "Dockerfile").write_text(f"FROM {self.base}\n\nRUN apt-get update\n")
        tag = f"{self.host}/upstream:oh_v0.62.0_x_y"
        builder = runtime_build.OhociRuntimeBuilder()
        self.assertEqual(builder.build(str(folder), [tag], "linux/amd64"), tag)
        self.assertEqual(len(ohoci.ls(f"{self.host}/upstream")), 1)
        extra = "# Install extra dependencies if specified (as openhands user)\n\nUSER openhands\nRUN pip install x\n"
        (folder / "Dockerfile").write_text(f"FROM {self.base}\n{extra}")
        with self.assertRaisesRegex(ohoci.UsageError, "pip install x"):
            builder.build(str(folder), [tag])

    def test_the_command_of_v0_prints_the_image(self) -> None:
        line = [sys.executable, "-m", "ohoci.openhands.runtime_build", f"--base_image={self.base}"]
        line += ["--use_deps_image", f"--deps_image={self.deps}", "--source=checkout"]
        done = subprocess.run(line, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        tags = ohoci.tags("v0", self.base, options=["--source=checkout"])
        self.assertEqual(done.stdout.strip(), f"{self.host}/runtime:{tags[0]}")
        refused = subprocess.run([*line, "--build_folder=x"], capture_output=True, text=True)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("hint: leave it out", refused.stderr)

    def test_build_options_have_upstreams_tags(self) -> None:
        opts = agent_server_build.BuildOptions(
            base_image=self.base,
            custom_tags="python,py",
            image=f"{self.host}/server",
            target="source-minimal",
            push=True,
            git_ref="refs/heads/Feature/One",
        )
        slug = self.base.replace("/", "_s_").replace(":", "_tag_")
        self.assertEqual(opts.base_image_slug, slug)
        self.assertEqual(
            opts.all_tags,
            [
                f"{self.host}/server:{tag}-source-minimal"
                for tag in (
                    "abc1234-python",
                    "abc1234567890fedcba-python",
                    "feature-one-python",
                    "abc1234-py",
                    "abc1234567890fedcba-py",
                    "feature-one-py",
                    f"abc1234-{slug}",
                )
            ],
        )
        result = agent_server_build.build_with_telemetry(opts)
        self.assertEqual(result.tags, opts.all_tags)
        self.assertEqual({ohoci.digest(tag) for tag in result.tags}, {result.digest})
        env = ohoci.inspect(result.tags[0]).images[0].runtime.env
        self.assertIn("OPENHANDS_BUILD_GIT_SHA=abc1234567890fedcba", env)

    def test_releases_have_versioned_tags(self) -> None:
        opts = agent_server_build.BuildOptions(
            custom_tags="python", git_ref="refs/tags/v1.2.3", sdk_version="1.2.3"
        )
        self.assertEqual(opts.versioned_tags, ["1-python", "1.2-python", "1.2.3-python"])
        self.assertFalse(set(opts.versioned_tags) & {tag.partition(":")[2] for tag in opts.all_tags})
        self.assertEqual(agent_server_build.BuildOptions(sdk_version="1.2.3").versioned_tags, [])
        with self.assertRaises(ValueError):
            agent_server_build.BuildOptions(target="all")

    def test_what_cannot_be_loaded_is_said_and_where_it_can_go(self) -> None:
        opts = agent_server_build.BuildOptions(base_image=self.base, push=False)
        with self.assertRaisesRegex(ohoci.UsageError, "no daemon"):
            agent_server_build.build(opts)
        opts.load_to = "docker-archive:image.tar"
        opts.image = "registry.example/server"
        tags = agent_server_build.build(opts)
        self.assertTrue(os.path.getsize("image.tar"))
        self.assertTrue(tags[0].startswith("registry.example/server:abc1234-"))

    def test_a_failure_is_upstreams_exception_with_why(self) -> None:
        opts = agent_server_build.BuildOptions(base_image=f"{self.host}/no:1", image=f"{self.host}/x", push=True)
        with self.assertRaises(agent_server_build.BuildCommandError) as caught:
            agent_server_build.build(opts)
        self.assertIn(f"{self.host}/no:1", str(caught.exception))

    def test_outputs_of_a_job_are_upstreams(self) -> None:
        os.environ["GITHUB_OUTPUT"] = os.path.abspath("outputs")
        try:
            with redirect_stdout(io.StringIO()) as out:
                code = agent_server_build.main(
                    [f"--base-image={self.base}", f"--image={self.host}/job", "--custom-tags=python"]
                    + ["--platforms=linux/amd64", "--push"]
                )
        finally:
            del os.environ["GITHUB_OUTPUT"]
        self.assertEqual(code, 0)
        tags = out.getvalue().split()
        outputs = dict(
            line.split("=", 1) for line in Path("outputs").read_text().splitlines() if "=" in line
        )
        self.assertEqual(outputs["tags_csv"].split(","), tags)
        self.assertEqual(outputs["short_sha"], "abc1234")
        self.assertEqual(outputs["image"], f"{self.host}/job")
        self.assertEqual(outputs["versioned_tags_csv"], "")

    def test_a_batch_writes_upstreams_manifest_and_summary(self) -> None:
        bases = []
        for number in range(3):
            base = f"{self.host}/sweb.eval.x86_64.a_1776_a-{number}:latest"
            ohoci.compose(self.base, env={"NUMBER": str(number)}, push=base)
            bases.append(base)
        missing = f"{self.host}/sweb.eval.x86_64.a_1776_a-9:latest"
        seen: List[str] = []

        def after(output: benchmarks.BuildOutput, push: bool) -> benchmarks.BuildOutput:
            seen.append(output.base_image)
            return output

        def build(images: List[str]) -> int:
            with redirect_stderr(io.StringIO()):
                return benchmarks.build_all_images(
                    images,
                    "source-minimal",
                    Path("builds"),
                    image=f"{self.host}/eval",
                    push=True,
                    base_image_to_custom_tag_fn=lambda base: base.rsplit("/", 1)[-1].split(":")[0],
                    max_retries=1,
                    post_build_fn=after,
                )

        self.assertEqual(build([*bases, missing]), 1)
        self.assertEqual(sorted(seen), bases)
        lines = [json.loads(line) for line in Path("builds/manifest.jsonl").read_text().splitlines()]
        self.assertEqual(sorted(line["base_image"] for line in lines), sorted([*bases, missing]))
        for line in lines:
            if line["base_image"] == missing:
                self.assertEqual((line["status"], line["tags"]), ("failed", []))
                self.assertTrue(line["error"])
            else:
                tag = line["base_image"].rsplit("/", 1)[-1].split(":")[0]
                self.assertIn(f"{self.host}/eval:abc1234-{tag}-source-minimal", line["tags"])
                self.assertEqual(line["status"], "built")
        summary = json.loads(Path("builds/build-summary.json").read_text())
        self.assertEqual((summary["built"], summary["failed"], summary["total"]), (3, 1, 4))
        self.assertEqual(summary["failed_builds"][0]["base_image"], missing)
        self.assertEqual(build(bases), 0)
        again = json.loads(Path("builds/build-summary.json").read_text())
        self.assertEqual((again["built"], again["skipped"]), (0, 3))
        self.assertEqual(again["skip_reasons"], {"remote_image_exists": 3})

    def test_one_image_of_the_benchmarks(self) -> None:
        output = benchmarks.build_image(self.base, f"{self.host}/one", "custom", push=True)
        self.assertIsNone(output.error)
        self.assertIn(f"{self.host}/one:abc1234-custom-source-minimal", output.tags)
        refused = benchmarks.build_image(self.base, f"{self.host}/one", "custom")
        self.assertEqual(refused.status, "failed")
        self.assertIn("daemon", refused.error or "")
