"""Stands in for ``openhands.runtime.utils.runtime_build`` of OpenHands V0, as a module and as a command.

::

    python -m ohoci.openhands.runtime_build --build_deps_only
    python -m ohoci.openhands.runtime_build --base_image X --use_deps_image [--deps_image Y]

Tags are upstream's. The source is a checkout of OpenHands: ``--source``, ``OPENHANDS_SOURCE`` or the
working directory. Where nothing of it is there, as in a job that only composes, images are composed without
the code layer, and are named by the tags that need no source.
"""

import abc
import argparse
import contextlib
import os
import re
import sys
import tempfile
from enum import Enum
from pathlib import Path
from typing import Iterator, List, Optional, Sequence, Tuple

from .. import _process, commands
from ..errors import OhociError, UsageError, from_stderr
from ._settings import DEPS_IMAGE

#: Where a checkout of OpenHands is.
SOURCE = "OPENHANDS_SOURCE"
#: The recipe that ``--build_deps_only`` builds.
RECIPE = "OHOCI_RECIPE"
#: The repository of runtime images, as upstream reads it.
REPOSITORY = "OH_RUNTIME_RUNTIME_IMAGE_REPO"

DEFAULT_BASE_IMAGE = "nikolaik/python-nodejs:python3.12-nodejs22"


class BuildFromImageType(Enum):
    """What an image is made on."""

    SCRATCH = "scratch"
    VERSIONED = "versioned"
    LOCK = "lock"
    DEPS = "deps"


class RuntimeBuilder(abc.ABC):
    """What upstream hands to :func:`build_runtime_image`."""

    @abc.abstractmethod
    def build(
        self,
        path: str,
        tags: List[str],
        platform: Optional[str] = None,
        extra_build_args: Optional[List[str]] = None,
    ) -> str:
        """Make the image of a build folder; its name."""

    @abc.abstractmethod
    def image_exists(self, image_name: str, pull_from_repo: bool = True) -> bool:
        """Whether there is such an image."""


class OhociRuntimeBuilder(RuntimeBuilder):
    """Puts a deps image and the code of a build folder on its base, in the registry that the tags name.

    It serves this module and upstream's own ``build_runtime_image``, unchanged: of the Dockerfile in the
    folder it takes the base, and of what it would run nothing, since the deps image brings all that.
    """

    def __init__(self, deps_image: Optional[str] = None, options: Sequence[str] = ()) -> None:
        self.deps_image = deps_image or os.environ.get(DEPS_IMAGE)
        self.options = list(options)

    def image_exists(self, image_name: str, pull_from_repo: bool = True) -> bool:
        """Asks the registry. Only its word that the image is not there counts as that."""
        try:
            commands.digest(image_name, options=self.options)
        except OhociError as error:
            if _is_missing(error):
                return False
            raise
        return True

    def build(
        self,
        path: str,
        tags: List[str],
        platform: Optional[str] = None,
        extra_build_args: Optional[List[str]] = None,
    ) -> str:
        """Composes what the folder asks for."""
        if not tags:
            raise UsageError("no tag was given for the image")
        if extra_build_args:
            raise UsageError(
                "extra build arguments are for Docker", f"{' '.join(extra_build_args)}"
            )
        base, extra = _dockerfile(Path(path, "Dockerfile"))
        if extra:
            raise UsageError("extra dependencies need a build", extra, _EXTRA_HINT)
        code = Path(path, "code")
        layers = [f"{code}:/openhands/code"] if code.is_dir() else []
        # An earlier image of the runtime has the deps in it, and is a base as it is.
        is_runtime = "oh_v" in base.rpartition(":")[2]
        deps = () if is_runtime else (_deps(self.deps_image),)
        commands.compose(
            base,
            deps=deps,
            layers=layers,
            push=tags,
            platforms=() if platform is None else (platform,),
            contract=None if is_runtime else "v0",
            options=self.options,
        )
        return tags[0]


_EXTRA_HINT = "put them into a deps image of your own (docs/deps.md)"


def _deps(given: Optional[str]) -> str:
    from ._settings import deps_image

    return deps_image(given)


def _is_missing(error: OhociError) -> bool:
    text = f"{error.what} {error.why}".lower()
    return any(word in text for word in ("not there", "404", "not found", "unknown", "no such"))


def _dockerfile(file: Path) -> Tuple[str, Optional[str]]:
    """The base that a Dockerfile names, and upstream's extra dependencies, if it has some."""
    text = file.read_text(encoding="utf-8")
    found = re.search(r"^FROM\s+(?:--\S+\s+)*(\S+)", text, re.MULTILINE)
    if found is None:
        raise UsageError(f"{file} names no base image")
    extra = re.search(
        r"^# Install extra dependencies[^\n]*\n+USER \S+\nRUN (.+)", text, re.MULTILINE
    )
    return found.group(1), extra.group(1) if extra else None


def get_runtime_image_repo() -> str:
    """The repository of runtime images."""
    return os.getenv(REPOSITORY, "ghcr.io/openhands/runtime")


def _source(given: Optional[str] = None) -> Optional[Path]:
    """The checkout, if there is one."""
    named = given or os.environ.get(SOURCE)
    candidates = [Path(named)] if named else [Path.cwd()]
    for candidate in candidates:
        if (candidate / "openhands").is_dir() and (candidate / "pyproject.toml").is_file():
            return candidate
    if named:
        raise UsageError(f"{named} is no checkout of OpenHands", "it lacks openhands/ or pyproject.toml")
    return None


def get_version(source: Optional[Path] = None) -> str:
    """The version of OpenHands: that of the checkout, else that of the installed package."""
    source = source or _source()
    if source is not None:
        text = (source / "pyproject.toml").read_text(encoding="utf-8")
        found = re.search(r'^version\s*=\s*"([^"]+)"', text, re.MULTILINE)
        if found:
            return found.group(1)
    from importlib import metadata

    try:
        return metadata.version("openhands-ai")
    except metadata.PackageNotFoundError:
        raise UsageError(
            "the version of OpenHands is not known",
            "there is neither a checkout nor an installed package openhands-ai",
            f"name a checkout with --source or {SOURCE}",
        ) from None


def get_deps_image_name(source: Optional[Path] = None) -> str:
    """What the deps image is called where nothing else is said."""
    return f"{get_runtime_image_repo()}:oh_deps_v{get_version(source)}"


def get_runtime_image_repo_and_tag(base_image: str) -> Tuple[str, str]:
    """The repository and the tag that names only the base."""
    repository = get_runtime_image_repo()
    if repository in base_image:
        name, _, tag = base_image.rpartition(":")
        return (name, tag) if name and "/" not in tag else (base_image, "latest")
    source = _source()
    arguments = ["--image-tag", f"--version={get_version(source)}"]
    if source is not None:
        arguments.append(f"--source={source}")
    tags = commands.tags("v0", base_image, options=arguments)
    return repository, next(tag for tag in tags if "_image_" in tag)


def _tags(base_image: str, source: Path, enable_browser: bool) -> List[str]:
    """Source tag, lock tag and versioned tag."""
    options = [f"--source={source}"]
    if not enable_browser:
        options.append("--no-browser")
    return commands.tags("v0", base_image, options=options)


def build_runtime_image(
    base_image: str,
    runtime_builder: Optional[RuntimeBuilder] = None,
    platform: Optional[str] = None,
    extra_deps: Optional[str] = None,
    build_folder: Optional[str] = None,
    dry_run: bool = False,
    force_rebuild: bool = False,
    extra_build_args: Optional[List[str]] = None,
    enable_browser: bool = True,
    *,
    source: Optional[str] = None,
) -> str:
    """Make the runtime image of a base; its name, which is upstream's source tag.

    An image that is there is left as it is, and one under the lock tag or the versioned tag is used again.
    """
    if extra_deps:
        raise UsageError("extra dependencies need a build", extra_deps, _EXTRA_HINT)
    if extra_build_args:
        raise UsageError("extra build arguments are for Docker", " ".join(extra_build_args))
    if build_folder is not None:
        raise UsageError(
            "a build folder is for Docker", None, "leave it out: the image is composed at once"
        )
    checkout = _source(source)
    if checkout is None:
        raise UsageError(
            "there is no checkout of OpenHands here",
            "upstream's tags are hashes of its files",
            f"name one with --source or {SOURCE}",
        )
    repository = get_runtime_image_repo()
    tags = _tags(base_image, checkout, enable_browser)
    name = f"{repository}:{tags[0]}"
    if dry_run:
        return name
    builder = runtime_builder or OhociRuntimeBuilder()
    if not isinstance(builder, OhociRuntimeBuilder):
        raise UsageError(
            "this is for OhociRuntimeBuilder",
            f"{type(builder).__name__} builds with something else",
            "hand an OhociRuntimeBuilder to upstream's own build_runtime_image, or leave it out here",
        )
    inputs = [] if enable_browser else ["no-browser"]
    options = [*builder.options, f"--code={checkout}"]
    commands.compose(
        base_image,
        deps=_deps(builder.deps_image),
        push=repository,
        platforms=() if platform is None else (platform,),
        contract="v0",
        tag_scheme="v0",
        tag_input=inputs,
        if_exists="replace" if force_rebuild else "skip",
        options=options,
    )
    return name


def compose_without_source(
    base_image: str,
    deps_image: Optional[str] = None,
    platform: Optional[str] = None,
    options: Sequence[str] = (),
) -> str:
    """Make the image of a base and the deps image alone, under the tag that names only the base."""
    repository, tag = get_runtime_image_repo_and_tag(base_image)
    name = f"{repository}:{tag}"
    commands.compose(
        base_image,
        deps=_deps(deps_image),
        push=name,
        platforms=() if platform is None else (platform,),
        contract="v0",
        options=options,
    )
    return name


def build_deps_image(
    name: Optional[str] = None,
    recipe: Optional[str] = None,
    platform: Optional[str] = None,
    options: Sequence[str] = (),
) -> str:
    """Build the deps image from a recipe, and push it; its name."""
    name = name or get_deps_image_name()
    with _recipe(recipe or os.environ.get(RECIPE), "openhands-v0.toml") as path:
        arguments = ["deps", "build", path, f"--push={name}"]
        if platform:
            arguments.append(f"--platform={platform}")
        code, _, messages, command = _process.call([*arguments, *options])
    if code != 0:
        raise from_stderr(code, command, messages)
    return name


@contextlib.contextmanager
def _recipe(named: Optional[str], default: str) -> Iterator[str]:
    """The recipe that is named, or that of a checkout of ohoci where this is run, or the program's own."""
    here = Path("layers", default)
    if named or here.is_file():
        yield named or str(here)
        return
    with tempfile.TemporaryDirectory(prefix="ohoci-recipes-") as directory:
        code, _, messages, command = _process.call(["deps", "recipes", directory])
        if code != 0:
            raise from_stderr(code, command, messages)
        yield str(Path(directory, here))


def main(argv: Optional[Sequence[str]] = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m ohoci.openhands.runtime_build",
        description="Build runtime images of OpenHands V0 without Docker.",
    )
    parser.add_argument("--base_image", default=DEFAULT_BASE_IMAGE)
    parser.add_argument("--build_deps_only", action="store_true", help="build the deps image only")
    parser.add_argument(
        "--use_deps_image",
        action="store_true",
        help="put the deps image on the base; it is always so, and the flag is for upstream's callers",
    )
    parser.add_argument("--deps_image", help=f"the deps image [default: ${DEPS_IMAGE}, else oh_deps_vVERSION]")
    parser.add_argument(
        "--recipe",
        help=f"with --build_deps_only: the recipe [default: ${RECIPE}, else layers/openhands-v0.toml, here or ohoci's own]",
    )
    parser.add_argument("--source", help=f"a checkout of OpenHands [default: ${SOURCE}, else here]")
    parser.add_argument("--build_folder", help="refused: it is for Docker")
    parser.add_argument("--force_rebuild", action="store_true")
    parser.add_argument("--platform")
    parser.add_argument("--enable_browser", action="store_true", default=True)
    parser.add_argument("--no_enable_browser", dest="enable_browser", action="store_false")
    arguments = parser.parse_args(argv)
    try:
        if arguments.source:
            os.environ[SOURCE] = arguments.source
        if arguments.build_deps_only:
            print(build_deps_image(arguments.deps_image, arguments.recipe, arguments.platform))
            return 0
        deps = arguments.deps_image or os.environ.get(DEPS_IMAGE) or get_deps_image_name()
        if _source() is None:
            print(
                "note: no checkout of OpenHands is here, so that the image has no code of its own and the tag "
                "that names the base",
                file=sys.stderr,
            )
            print(compose_without_source(arguments.base_image, deps, arguments.platform))
            return 0
        name = build_runtime_image(
            arguments.base_image,
            OhociRuntimeBuilder(deps),
            platform=arguments.platform,
            build_folder=arguments.build_folder,
            force_rebuild=arguments.force_rebuild,
            enable_browser=arguments.enable_browser,
        )
    except OhociError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code or 1
    print(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
