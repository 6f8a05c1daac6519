"""The interpreter in which sides run: which one it is, and whether it can run a side.

flopline may run in an environment of its own, as `uvx` and `pipx` make them. Then the project, what
it depends on and its plugins of pytest are in another one.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from flopline import FloplineError
from flopline.gate.sides.place import Place

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PROBE = Path(__file__).with_name("probe_interpreter.py")
NEEDED = ("pytest", "pytest_benchmark")
"""The modules that an interpreter needs to run a suite of pytest-benchmark."""
PROBE_SECONDS = 60
"""An interpreter that takes longer than this to describe itself is refused."""
MARKS_OF_TOOLS = ("uv-receipt.toml", "pipx_metadata.json")
"""Files that `uv tool install` and pipx leave in the environments that they make for programs."""
FOLDERS_OF_UVX = re.compile(r"(archive|environments)-v\d+")
"""The folders of uv's cache in which `uvx` makes environments."""


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
        prefix: The folder of its environment.
        binary: What compiled modules are built for, such as `cpython-312-x86_64-linux-gnu`.
        path: Its import path, without what PYTHONPATH adds.
        has_pip: Whether it has a pip of its own.
        markers: The variables in markers of requirements that depend on the interpreter.
        python: Its own path.
    """

    version: str
    lacks: list[str]
    site: str
    installed: str
    files: list[str]
    editable: str = ""
    prefix: str = ""
    binary: str = ""
    path: list[str] = field(default_factory=list)
    has_pip: bool = False
    markers: dict[str, str] = field(default_factory=dict)
    python: str = sys.executable

    @classmethod
    def this(cls) -> Interpreter:
        """Returns the interpreter that runs this program."""
        return examine("the interpreter", sys.executable, sys.executable, "", Path(sys.prefix))

    def demand_harness(self, whose: str, requested: str) -> None:
        """Refuses an interpreter that lacks what runs a suite of benchmarks.

        Args:
            whose: What it is to the user, such as `the interpreter`.
            requested: The path or name that the user gave.

        Raises:
            InterpreterError: It lacks something.
        """
        if self.lacks:
            install = f"uv pip install --python {self.python}"
            if self.has_pip:
                install = f"{self.python} -m pip install"
            distributions = " ".join(name.replace("_", "-") for name in self.lacks)
            raise InterpreterError(
                f"{whose} {requested!r} (Python {self.version}) lacks {' and '.join(self.lacks)}; "
                f"install it there: `{install} {distributions}`"
            )


class InterpreterError(FloplineError, ValueError):
    """An interpreter cannot run a side."""


def find_interpreter(whose: str, requested: str) -> str:
    """Returns the absolute path of an interpreter.

    A link is not followed, because in a virtual environment the interpreter is a link.

    Args:
        whose: What it is to the user, such as `the baseline's interpreter`.
        requested: Its path, its name, or the folder of its environment, as the user gave it.

    Raises:
        InterpreterError: There is no such executable, or no Python in the folder.
    """
    expanded = os.path.expanduser(requested)  # noqa: PTH111  # pathlib's raises errors
    is_folder = bool(requested) and Path(expanded).is_dir()
    python = _python_in(Path(expanded)) if is_folder else None
    if python is not None:
        return str(python.absolute())
    path = shutil.which(expanded)  # a folder may be called as a Python is, such as `python`
    if path is None and is_folder:
        raise InterpreterError(
            f"{whose} {requested!r} is a folder without a bin/python; give the folder of a "
            "virtual environment, or the path of a Python"
        )
    if path is None:
        raise InterpreterError(
            f"{whose} {requested!r} is not an executable; give the path of a Python, or the folder "
            "of an environment"
        )
    return str(Path(path).absolute())


def choose(requested: str | None, *, needed: Sequence[str] = NEEDED) -> tuple[Interpreter, str]:
    """Returns the interpreter in which both sides run, and what it is if the user named none.

    Args:
        requested: Its path, its name, or the folder of its environment, if the user named one.
        needed: The modules that it must have.

    Returns:
        It, and in words what it is; the latter is empty for the one that the user named, and for
        the one that runs this program.

    Raises:
        InterpreterError: There is no such interpreter, or it cannot run a side.
        PlaceError, ProjectError, NoWorkingTreeError, GitError: As `Place.here`.
    """
    place = Place.here()
    whose, what = "the interpreter", ""
    if requested is None:
        is_virtual = sys.prefix != sys.base_prefix
        requested, what = default_interpreter(
            place, os.environ, Path(sys.prefix), is_virtual=is_virtual
        )
        whose = f"the interpreter of {what}," if what else whose
    python = find_interpreter(whose, requested)
    interpreter = examine(whose, python, requested, "", place.start, needed=needed)
    if python == sys.executable:
        # The sides get what PYTHONPATH adds, which the interpreter was not asked for.
        lacks = [name for name in interpreter.lacks if find_spec(name) is None]
        interpreter = replace(interpreter, lacks=lacks)
    interpreter.demand_harness(whose, requested)
    return interpreter, what


def _python_in(environment: Path) -> Path | None:
    """Returns the interpreter of an environment; None if there is none."""
    python = environment / "bin" / "python"
    return python if os.access(python, os.X_OK) and python.is_file() else None


def is_of_a_tool(prefix: Path) -> bool:
    """Returns whether an environment was made for one program alone.

    `uvx`, `uv tool install` and pipx make such environments, in which no project is.

    Args:
        prefix: The folder of the environment.
    """
    is_of_uvx = FOLDERS_OF_UVX.fullmatch(prefix.parent.name) is not None
    return is_of_uvx or any((prefix / name).is_file() for name in MARKS_OF_TOOLS)


def default_interpreter(
    place: Place, variables: Mapping[str, str], prefix: Path, *, is_virtual: bool
) -> tuple[str, str]:
    """Returns the interpreter in which sides run if the user names none, and what it is.

    That is this one, unless this program runs in an environment of its own. Then it is that of the
    active environment, otherwise that of the project's `.venv`: so do other programs that uv and
    pipx run. A program that was installed for all of the user's work, in no virtual environment,
    leaves the choice to the active one, too.

    Args:
        place: Where the user stands.
        variables: The environment of this process.
        prefix: The folder of the environment in which this program runs.
        is_virtual: Whether that is a virtual environment.

    Returns:
        Its path, and in words what it is; the latter is empty for this one.
    """
    is_tool = is_of_a_tool(prefix)
    active = variables.get("VIRTUAL_ENV") or (variables.get("CONDA_PREFIX") if is_tool else "")
    folders = []
    if active and (is_tool or not is_virtual):
        folders.append((Path(active), "the active environment"))
    if is_tool:
        around = dict.fromkeys((place.start, place.project, place.root))
        folders += [(folder / ".venv", "the project's environment") for folder in around]
    for folder, what in folders:
        python = _python_in(folder)
        if python is not None and folder.resolve() != prefix.resolve():
            return str(python.absolute()), what
    return sys.executable, ""


def examine(
    whose: str,
    python: str,
    requested: str,
    distribution: str,
    folder: Path,
    *,
    needed: Sequence[str] = NEEDED,
) -> Interpreter:
    """Asks an interpreter what it is.

    Args:
        whose: What it is to the user, such as `the baseline's interpreter`.
        python: Its path.
        requested: The path or name that the user gave, for messages.
        distribution: The name under which the project would be installed in it, or empty.
        folder: Where it is run.
        needed: The modules that it must have.

    Raises:
        InterpreterError: It is not a Python of at least 3.11.
    """
    try:
        last_line = _probe(python, distribution, folder, needed)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InterpreterError(
            f"{whose} {requested!r} does not run: {error}; give the path of a Python"
        ) from error
    try:
        interpreter = _interpreter(json.loads(last_line), python)
    except (TypeError, ValueError, RecursionError) as error:
        raise InterpreterError(
            f"{whose} {requested!r} is not a Python that runs: "
            f"{last_line or 'it printed nothing'}; give the path of a Python"
        ) from error
    if not interpreter.site:
        raise InterpreterError(
            f"{whose} {requested!r} is Python {interpreter.version}; "
            "give one of at least Python 3.11"
        )
    return interpreter


def _interpreter(facts: object, python: str) -> Interpreter:
    """Returns what the probe has printed.

    Raises:
        TypeError: Another program has printed it.
    """
    if not isinstance(facts, dict):
        raise TypeError(f"a table was expected, not {facts!r}")
    for name in ("version", "site", "installed", "prefix", "binary"):
        if not isinstance(facts.get(name), str):
            raise TypeError(f"{name} is no text")
    for name in ("lacks", "files", "path"):
        listing = facts.get(name)
        if not isinstance(listing, list) or not all(isinstance(line, str) for line in listing):
            raise TypeError(f"{name} is no list of texts")
    return Interpreter(**facts, python=python)


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
