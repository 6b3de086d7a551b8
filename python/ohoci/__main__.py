"""``python -m ohoci``: the command itself."""

import os
import sys

from ._binary import find_ohoci


def main() -> None:
    """Become the command, with the same arguments."""
    program = find_ohoci()
    os.execv(program, [program, *sys.argv[1:]])


if __name__ == "__main__":
    main()
