"""Starting the command, following its progress, and reading what it reports."""

import json
import os
import subprocess
import threading
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from ._binary import find_ohoci
from .errors import OhociError, from_stderr

#: What a line of progress begins with; everything else on standard error is for people.
_EVENT = '{"event":'


@dataclass(frozen=True)
class Event:
    """Something that a running command tells of.

    ``kind`` is ``step`` (with ``text``), ``expect`` or ``moved`` (with ``bytes``), ``image`` (an image of
    a batch ended; ``record`` is its line in the journal) or ``message`` (``text`` is a line for people).
    """

    kind: str
    text: Optional[str] = None
    bytes: int = 0
    record: Optional[Dict[str, Any]] = None


#: Called with each event, in the thread that waits for the command.
Progress = Callable[[Event], None]


def _event(line: str) -> Event:
    if line.startswith(_EVENT):
        try:
            value = json.loads(line)
        except ValueError:
            return Event("message", text=line)
        return Event(
            str(value["event"]),
            text=value.get("text"),
            bytes=int(value.get("bytes", 0)),
            record=value.get("record"),
        )
    return Event("message", text=line)


def call(
    arguments: Sequence[str],
    *,
    progress: Optional[Progress] = None,
    stdin: Optional[str] = None,
    cwd: Optional[str] = None,
    env: Optional[Dict[str, str]] = None,
) -> Tuple[int, str, str, List[str]]:
    """Run ``ohoci`` with these arguments: exit code, standard output, standard error, command line."""
    command = [find_ohoci(), *arguments]
    if progress is not None:
        command.append("--progress=json")
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            cwd=cwd,
            env=None if env is None else {**os.environ, **env},
        )
    except OSError as error:
        raise OhociError("cannot start ohoci", str(error), command=command) from error
    assert process.stdout is not None and process.stderr is not None
    out: List[str] = []
    reader = threading.Thread(target=lambda: out.append(process.stdout.read()))  # type: ignore[union-attr]
    reader.start()
    writer: Optional[threading.Thread] = None
    if stdin is not None:
        writer = threading.Thread(target=_write, args=(process, stdin))
        writer.start()
    messages: List[str] = []
    try:
        for line in process.stderr:
            event = _event(line.rstrip("\n"))
            if event.kind == "message":
                messages.append(line)
            if progress is not None:
                progress(event)
        code = process.wait()
    except BaseException:
        # Whoever watches wants no more of it: the command is not left running.
        process.terminate()
        process.wait()
        raise
    finally:
        reader.join()
        if writer is not None:
            writer.join()
        process.stdout.close()
        process.stderr.close()
    return code, "".join(out), "".join(messages), command


def _write(process: "subprocess.Popen[str]", text: str) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(text)
        process.stdin.close()
    except BrokenPipeError:
        # It ended before it read all of it, and says why itself.
        pass


def document(
    arguments: Sequence[str],
    *,
    accept: Sequence[int] = (0,),
    progress: Optional[Progress] = None,
    stdin: Optional[str] = None,
) -> Tuple[Any, int, str, List[str]]:
    """Run a command that prints one JSON document: that, the exit code, messages, the command line.

    Raises :class:`OhociError` for exit codes other than those that it accepts, and where there is no
    document.
    """
    code, out, messages, command = call(
        [*arguments, "--format=json"], progress=progress, stdin=stdin
    )
    if code not in accept or not out.strip():
        raise from_stderr(code, command, messages)
    try:
        return json.loads(out), code, messages, command
    except ValueError as error:
        raise OhociError(
            "cannot read what ohoci printed",
            str(error),
            exit_code=code,
            command=command,
            stderr=messages,
        ) from error
