"""What is raised when something fails."""

from typing import List, Optional, Sequence

#: Exit codes of the command, as docs/guide.md lists them.
FAILED = 1
USAGE = 2
PARTLY = 3
WANTING = 4


class OhociError(Exception):
    """A command failed.

    ``what`` failed, ``why`` in the words of whoever refused, and a ``hint`` where something may help.
    ``exit_code`` is the command's, and ``None`` where it did not run. ``stderr`` is all that it said.
    """

    def __init__(
        self,
        what: str,
        why: Optional[str] = None,
        hint: Optional[str] = None,
        *,
        exit_code: Optional[int] = None,
        command: Sequence[str] = (),
        stderr: str = "",
    ) -> None:
        self.what = what
        self.why = why
        self.hint = hint
        self.exit_code = exit_code
        self.command = list(command)
        self.stderr = stderr
        text = what
        if why:
            text += f"\n  {why}"
        if hint:
            text += f"\nhint: {hint}"
        super().__init__(text)


class UsageError(OhociError):
    """The arguments ask for something that cannot be; nothing was tried."""


class PartlyFailed(OhociError):
    """Some of it was done and some failed; ``result`` is the report, of the command's own type."""

    def __init__(self, what: str, result: object, *, command: Sequence[str], stderr: str) -> None:
        super().__init__(what, exit_code=PARTLY, command=command, stderr=stderr)
        self.result = result


def from_stderr(code: int, command: Sequence[str], stderr: str) -> OhociError:
    """The error that a command ended with, read from what it said.

    The command indents every further line of foreign words, so that none passes for one of its own.
    """
    what: Optional[str] = None
    why: List[str] = []
    hint: List[str] = []
    part: List[str] = []
    for line in stderr.splitlines():
        if line.startswith("error: "):
            what, why, hint = line[len("error: ") :], [], []
            part = why
        elif what is not None and line.startswith("hint: "):
            hint.append(line[len("hint: ") :])
            part = hint
        elif what is not None and line.startswith("  "):
            part.append(line.strip())
    if what is None:
        last = stderr.strip().splitlines()[-1:] or ["it said nothing"]
        what, why = f"ohoci ended with exit code {code}", last
    kind = UsageError if code == USAGE else OhociError
    return kind(
        what,
        "\n".join(why) or None,
        "\n".join(hint) or None,
        exit_code=code,
        command=command,
        stderr=stderr,
    )
