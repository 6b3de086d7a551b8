"""Stands in for ``openhands.agent_server.docker.build`` of the software-agent-sdk (V1), as a module and as a
command: ``python -m ohoci.openhands.agent_server_build --base-image X --push``.

Tags and outputs are upstream's. Nothing is built: the deps image that ``OHOCI_DEPS_IMAGE`` names is put on
the base. Neither Docker nor a checkout of the SDK is needed; without a checkout, ``SDK_SHA`` and ``SDK_REF``
(or GitHub's variables) say which commit the tags name.
"""

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

from .. import commands
from ..errors import OhociError, UsageError
from ._settings import DEPS_IMAGE, deps_image, is_ci

#: The place that images go to which are not pushed, such as ``docker-archive:FILE`` or ``oci:DIR``.
LOAD_TO = "OHOCI_LOAD_TO"

VALID_TARGETS = {
    "binary",
    "binary-minimal",
    "source",
    "source-minimal",
    "base-image-minimal",
    "base-image",
    "builder",
}

#: Targets that hold no server: stages of upstream's build, for which nothing stands in.
_STAGES = {"base-image-minimal", "base-image", "builder"}

DEFAULT_BASE_IMAGE = "nikolaik/python-nodejs:python3.12-nodejs22-slim"


def _run(cmd: List[str], cwd: Optional[str] = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(cmd, cwd=cwd, text=True, capture_output=True, check=True)


def _git_info() -> Tuple[str, str]:
    """Ref and commit of the SDK: ``SDK_REF`` and ``SDK_SHA``, GitHub's variables, git; else ``unknown``."""

    def ask(variables: Sequence[str], command: List[str]) -> str:
        for variable in variables:
            value = os.environ.get(variable)
            if value:
                return value
        try:
            return _run(command).stdout.strip() or "unknown"
        except (OSError, subprocess.CalledProcessError):
            return "unknown"

    sha = ask(("SDK_SHA", "GITHUB_SHA"), ["git", "rev-parse", "--verify", "HEAD"])
    ref = ask(("SDK_REF", "GITHUB_REF"), ["git", "symbolic-ref", "-q", "--short", "HEAD"])
    return ref, sha


def _package_version() -> str:
    """The version of the installed openhands-sdk, or ``unknown``."""
    from importlib import metadata

    try:
        return metadata.version("openhands-sdk")
    except metadata.PackageNotFoundError:
        return "unknown"


#: How long a base's name may be in a tag.
_SLUG = 64


def _base_slug(image: str, max_len: int = _SLUG) -> str:
    """A base's name as a part of tags."""
    if max_len != _SLUG:
        raise ValueError(f"tags have {_SLUG} characters for the base")
    # Without custom tags, the only tag is commit and base.
    (tag,) = commands.tags("v1", image, options=["--sha=0000000", "--ref=unknown"])
    return tag[len("0000000-") :]


@dataclass
class BuildOptions:
    """What image to make, and how it is tagged. The fields are upstream's, and three of ohoci's own."""

    base_image: str = DEFAULT_BASE_IMAGE
    custom_tags: str = ""
    image: str = "ghcr.io/openhands/agent-server"
    target: str = "binary"
    platforms: List[str] = field(default_factory=lambda: ["linux/amd64"])
    #: ``None``: push in a CI.
    push: Optional[bool] = None
    arch: Optional[str] = None
    include_base_tag: bool = True
    include_versioned_tag: bool = False
    git_sha: str = field(default_factory=lambda: _git_info()[1])
    git_ref: str = field(default_factory=lambda: _git_info()[0])
    #: Not needed; taken, so that callers need not change.
    sdk_project_root: Optional[Path] = None
    #: Likewise.
    prebuilt_sdist: Optional[Path] = None
    sdk_version: str = field(default_factory=_package_version)
    #: What is put on the base; by default what ``OHOCI_DEPS_IMAGE`` names.
    deps_image: Optional[str] = None
    #: Where it goes if it is not pushed, such as ``docker-archive:FILE``; by default what
    #: ``OHOCI_LOAD_TO`` names.
    load_to: Optional[str] = None
    #: Further flags of ``ohoci compose``.
    options: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.target not in VALID_TARGETS:
            raise ValueError(f"target must be one of {sorted(VALID_TARGETS)}")

    @property
    def short_sha(self) -> str:
        """The first seven digits of the commit."""
        return self.git_sha[:7] if self.git_sha != "unknown" else "unknown"

    @property
    def long_sha(self) -> str:
        """The commit."""
        return self.git_sha

    @property
    def custom_tag_list(self) -> List[str]:
        """The custom tags, each."""
        return [tag.strip() for tag in self.custom_tags.split(",") if tag.strip()]

    def _inputs(self) -> List[str]:
        """What the tags depend on, as flags of ``ohoci tags`` without their dashes."""
        inputs = [f"sha={self.git_sha}", f"ref={self.git_ref}", f"target={self.target}"]
        inputs += [f"custom-tag={tag}" for tag in self.custom_tag_list]
        if self.sdk_version != "unknown":
            inputs.append(f"sdk-version={self.sdk_version}")
        if self.arch:
            inputs.append(f"arch={self.arch}")
        if not self.include_base_tag:
            inputs.append("no-base-tag")
        if self.include_versioned_tag:
            inputs.append("versioned-tag")
        return inputs

    def _tags(self, inputs: Sequence[str], base: Optional[str], image: Optional[str]) -> List[str]:
        return commands.tags("v1", base, image=image, options=[f"--{item}" for item in inputs])

    @property
    def base_image_slug(self) -> str:
        """The base's name as a part of tags."""
        return _base_slug(self.base_image)

    @property
    def base_tag(self) -> str:
        """The tag that names commit and base."""
        return f"{self.short_sha}-{self.base_image_slug}"

    @property
    def versioned_tags(self) -> List[str]:
        """The tags of a release, whether or not they are among all tags."""
        common = [f"sha={self.git_sha}", f"ref={self.git_ref}", "no-base-tag"]
        common += [f"custom-tag={tag}" for tag in self.custom_tag_list]
        if self.sdk_version != "unknown":
            common.append(f"sdk-version={self.sdk_version}")
        if not self.custom_tag_list:
            return []
        without = self._tags(common, self.base_image, None)
        return [
            tag
            for tag in self._tags([*common, "versioned-tag"], self.base_image, None)
            if tag not in without
        ]

    @property
    def all_tags(self) -> List[str]:
        """Every reference of the image, in upstream's order."""
        return self._tags(self._inputs(), self.base_image, self.image)


@dataclass
class BuildTelemetry:
    """Where the time went, in upstream's words; what ohoci does not do took none."""

    build_context_seconds: float = 0.0
    buildx_wall_clock_seconds: float = 0.0
    cleanup_seconds: float = 0.0
    cache_import_seconds: float = 0.0
    cache_import_miss_count: int = 0
    cache_export_seconds: float = 0.0
    image_export_seconds: float = 0.0
    push_layers_seconds: float = 0.0
    export_manifest_seconds: float = 0.0
    cached_step_count: int = 0


@dataclass
class BuildResult:
    """What came of it."""

    tags: List[str]
    telemetry: BuildTelemetry = field(default_factory=BuildTelemetry)
    #: Digest of the image.
    digest: str = ""


class BuildCommandError(subprocess.CalledProcessError):
    """Composing failed; ``stderr`` says what, why and what may help."""

    def __init__(self, error: OhociError, telemetry: BuildTelemetry) -> None:
        super().__init__(error.exit_code or 1, error.command or ["ohoci"], output="", stderr=str(error))
        self.telemetry = telemetry

    def __str__(self) -> str:
        return f"{super().__str__()}\n{self.stderr}"


def _targets(opts: BuildOptions) -> Tuple[List[str], List[str]]:
    """The tags, and the places that the image goes to."""
    tags = opts.all_tags
    push = is_ci() if opts.push is None else opts.push
    if push:
        return tags, tags
    place = opts.load_to or os.environ.get(LOAD_TO)
    if not place:
        raise UsageError(
            "there is no daemon to load the image into",
            "ohoci pushes images, or writes them to files",
            f"push=True, or name a place in {LOAD_TO}, such as docker-archive:FILE for `docker load`",
        )
    return tags, [place if place.count(":") > 1 else f"{place}:{tags[0]}"]


def build_with_telemetry(opts: BuildOptions) -> BuildResult:
    """Make the image and push it under all its tags."""
    if opts.target in _STAGES:
        raise UsageError(
            f"nothing is built for the target {opts.target}",
            "it is a stage of upstream's build, without a server",
            "leave the stage out: the deps image goes on any base",
        )
    telemetry = BuildTelemetry()
    tags, places = _targets(opts)
    started = time.monotonic()
    try:
        report = commands.compose(
            opts.base_image,
            deps=deps_image(opts.deps_image),
            push=places,
            platforms=opts.platforms,
            contract="v1",
            env={
                "OPENHANDS_BUILD_GIT_SHA": opts.git_sha,
                "OPENHANDS_BUILD_GIT_REF": opts.git_ref,
            },
            options=opts.options,
        )
    except OhociError as error:
        telemetry.buildx_wall_clock_seconds = round(time.monotonic() - started, 3)
        raise BuildCommandError(error, telemetry) from error
    telemetry.buildx_wall_clock_seconds = round(time.monotonic() - started, 3)
    return BuildResult(tags=tags, telemetry=telemetry, digest=report.digest)


def build(opts: BuildOptions) -> List[str]:
    """Make the image; the references that name it."""
    return build_with_telemetry(opts).tags


def _write_github_outputs(opts: BuildOptions, tags: List[str]) -> None:
    """What upstream tells later steps of a job, where there is a file for it."""
    path = os.environ.get("GITHUB_OUTPUT")
    if not path:
        return
    versioned = opts.versioned_tags if opts.include_versioned_tag else []
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"image={opts.image}\n")
        file.write(f"short_sha={opts.short_sha}\n")
        file.write(f"versioned_tags_csv={','.join(versioned)}\n")
        file.write(f"tags_csv={','.join(tags)}\n")
        file.write("tags<<EOF\n" + "\n".join(tags) + "\nEOF\n")
        file.write(f"base_image_slug={opts.base_image_slug}\n")


def _env(name: str, default: str) -> str:
    return os.environ.get(name) or default


def main(argv: Sequence[str]) -> int:
    """The command line, with upstream's flags and variables."""
    parser = argparse.ArgumentParser(
        prog="python -m ohoci.openhands.agent_server_build",
        description="Make agent-server images without Docker.",
    )
    parser.add_argument("--base-image", default=_env("BASE_IMAGE", DEFAULT_BASE_IMAGE))
    parser.add_argument("--custom-tags", default=_env("CUSTOM_TAGS", ""))
    parser.add_argument("--image", default=_env("IMAGE", "ghcr.io/openhands/agent-server"))
    parser.add_argument("--target", default=_env("TARGET", "binary"), choices=sorted(VALID_TARGETS))
    parser.add_argument("--platforms", default=_env("PLATFORMS", "linux/amd64,linux/arm64"))
    parser.add_argument("--arch", default=_env("ARCH", ""))
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--push", action="store_true")
    group.add_argument("--load", action="store_true", help=f"write the image to the place that {LOAD_TO} names")
    parser.add_argument("--sdk-project-root", type=Path, help="not needed")
    parser.add_argument("--prebuilt-sdist", type=Path, help="not needed")
    parser.add_argument("--build-ctx-only", action="store_true", help="refused: there is no build context")
    parser.add_argument("--versioned-tag", action="store_true")
    parser.add_argument("--deps-image", help=f"the deps image [default: ${DEPS_IMAGE}]")
    arguments = parser.parse_args(argv)
    if arguments.build_ctx_only:
        print("error: there is no build context: nothing is built", file=sys.stderr)
        return 2
    push: Optional[bool] = None
    if arguments.push or (not arguments.load and os.environ.get("PUSH") == "1"):
        push = True
    elif arguments.load or os.environ.get("LOAD") == "1":
        push = False
    opts = BuildOptions(
        base_image=arguments.base_image,
        custom_tags=arguments.custom_tags,
        image=arguments.image,
        target=arguments.target,
        platforms=[name.strip() for name in arguments.platforms.split(",") if name.strip()],
        push=push,
        arch=arguments.arch or None,
        include_versioned_tag=arguments.versioned_tag,
        deps_image=arguments.deps_image,
    )
    try:
        tags = build(opts)
        _write_github_outputs(opts, tags)
    except (OhociError, BuildCommandError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for tag in tags:
        print(tag)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
