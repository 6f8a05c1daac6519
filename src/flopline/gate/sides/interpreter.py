"""An interpreter that the user names: where it is, and whether it can run a side."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flopline import FloplineError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flopline.gate.record import SideName

PROBE = Path(__file__).with_name("probe_interpreter.py")
NEEDED = ("pytest", "pytest_benchmark")
"""The modules that an interpreter needs to run a suite of pytest-benchmark."""
PROBE_SECONDS = 60
"""An interpreter that takes longer than this to describe itself is refused."""


@dataclass(frozen=True)
class Interpreter:
    """What an interpreter reports about itself; `probe_interpreter.py` prints these fields.

    Attributes:
        version: Its version, such as `3.12.1`.
        lacks: What a side needs and the interpreter does not have.
        site: The folder into which packages are installed.
        installed: Name and version of the project, if it is installed and not as editable;
            otherwise empty.
        files: The files of that installation, relative to `site`.
        editable: The address of the folder from which it is installed as editable; otherwise empty.
    """

    version: str
    lacks: list[str]
    site: str
    installed: str
    files: list[str]
    editable: str = ""


class InterpreterError(FloplineError, ValueError):
    """An interpreter cannot run a side."""


def find_interpreter(side: SideName, requested: str) -> str:
    """Returns the absolute path of an interpreter that is given by its path or its name.

    A link is not followed, because in a virtual environment the interpreter is a link.

    Raises:
        InterpreterError: There is no such executable.
    """
    path = shutil.which(requested)
    if path is None:
        raise InterpreterError(
            f"the {side}'s interpreter {requested!r} is not an executable; "
            "give the path of a Python"
        )
    return str(Path(path).absolute())


def examine(
    side: SideName,
    python: str,
    requested: str,
    distribution: str,
    folder: Path,
    *,
    needed: Sequence[str] = NEEDED,
) -> Interpreter:
    """Asks an interpreter what it is.

    Args:
        side: The side that it is to run.
        python: Its path.
        requested: The path or name that the user gave, for messages.
        distribution: The name under which the project would be installed in it, or empty.
        folder: Where it is run.
        needed: The modules that it must have.

    Raises:
        InterpreterError: It is not a Python of at least 3.11 with what is needed.
    """
    try:
        last_line = _probe(python, distribution, folder, needed)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InterpreterError(
            f"the {side}'s interpreter {requested!r} does not run: {error}; "
            "give the path of a Python"
        ) from error
    try:
        interpreter = _interpreter(json.loads(last_line))
    except (TypeError, ValueError, RecursionError) as error:
        raise InterpreterError(
            f"the {side}'s interpreter {requested!r} is not a Python that runs: "
            f"{last_line or 'it printed nothing'}; give the path of a Python"
        ) from error
    if interpreter.lacks:
        raise InterpreterError(
            f"the {side}'s interpreter {requested!r} (Python {interpreter.version}) "
            f"lacks {' and '.join(interpreter.lacks)}; install it there"
        )
    return interpreter


def _interpreter(facts: object) -> Interpreter:
    """Returns what the probe has printed.

    Raises:
        TypeError: Another program has printed it.
    """
    if not isinstance(facts, dict):
        raise TypeError(f"a table was expected, not {facts!r}")
    for name in ("version", "site", "installed"):
        if not isinstance(facts.get(name), str):
            raise TypeError(f"{name} is no text")
    for name in ("lacks", "files"):
        listing = facts.get(name)
        if not isinstance(listing, list) or not all(isinstance(line, str) for line in listing):
            raise TypeError(f"{name} is no list of texts")
    return Interpreter(**facts)


def _probe(python: str, distribution: str, folder: Path, needed: Sequence[str]) -> str:
    """Runs the probe and returns the last line that was printed; empty if there was none."""
    # A shell does not know the option -X with a value, so it would refuse to run the program.
    command = [python, "-X", "utf8", str(PROBE), distribution, *needed]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": ""},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        timeout=PROBE_SECONDS,
    )
    lines = done.stdout.splitlines()
    return lines[-1] if lines else ""
