"""Where the ``ohoci`` command is."""

import os
import shutil
import sys
import sysconfig
from typing import Iterator

from .errors import OhociError

#: Names a program to run instead of the one that this package brings.
VARIABLE = "OHOCI_PROGRAM"


def _places() -> Iterator[str]:
    """Directories where installers put the programs of packages, likeliest first."""
    yield sysconfig.get_path("scripts")
    # `pip install --user`, and `--target` or `--prefix` beside this package.
    if os.name == "posix":
        yield sysconfig.get_path("scripts", "posix_user")
    packages = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    yield os.path.join(packages, "bin")
    yield os.path.normpath(os.path.join(packages, "..", "..", "..", "bin"))
    yield os.path.join(sys.prefix, "bin")


def find_ohoci() -> str:
    """The path of the ``ohoci`` command.

    ``OHOCI_PROGRAM`` names another one. Raises :class:`OhociError` if there is none.
    """
    named = os.environ.get(VARIABLE)
    if named:
        return named
    for place in _places():
        program = os.path.join(place, "ohoci")
        if os.path.isfile(program) and os.access(program, os.X_OK):
            return program
    found = shutil.which("ohoci")
    if found is None:
        raise OhociError(
            "cannot find the ohoci command",
            "it is neither where Python's programs are nor on the PATH",
            "install the package with pip, or name the program in OHOCI_PROGRAM",
        )
    return found
