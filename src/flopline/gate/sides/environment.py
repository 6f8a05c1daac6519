"""A revision, a folder or an interpreter becomes a side that can be started.

Both versions are written below one temporary folder at paths of equal length, and started with their own code in front
of whatever the environment has.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib import metadata
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from flopline import FloplineError
from flopline.gate.sides.build import FOLDERS, BuildError, build, build_isolated
from flopline.gate.sides.versions import (
    PREFIX,
    UNWANTED,
    export,
    here,
    pyproject,
    repository,
    resolve,
    unlinked,
)
from flopline.gate.signals import undisturbed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from flopline.gate.record import SideName
    from flopline.gate.sides.versions import Version

SOURCES = ("src", "lib", "python")
"""Folders that hold packages and are none."""
SUITE = re.compile(r"_*(tests?|bench\w*)")
"""Names of folders that hold no subject."""
HIDDEN = """
import importlib.util, sys
for name in sys.argv[2:]:
    spec = importlib.util.find_spec(name)
    where = str(spec and (spec.origin or list(spec.submodule_search_locations)[0]))
    if not where.startswith(sys.argv[1]):
        sys.exit(name + " would come from " + where)
"""
"""A program that fails if one of the modules argv[2:] does not come from below argv[1]."""
EXAMINE = """
import json, sys
facts = {"python": ".".join(map(str, sys.version_info[:3])), "lacks": [], "site": "", "installed": "", "files": []}
if sys.version_info < (3, 11):
    facts["lacks"] = ["Python 3.11 or later"]
else:
    import sysconfig
    from importlib import metadata, util
    facts["site"] = sysconfig.get_path("purelib")
    facts["lacks"] = [name for name in ("pytest", "pytest_benchmark") if util.find_spec(name) is None]
    for found in metadata.distributions(name=sys.argv[1]) if sys.argv[1] else ():
        origin = json.loads(found.read_text("direct_url.json") or "{}")
        if found.read_text("RECORD") and not origin.get("dir_info", {}).get("editable"):
            facts["installed"] = sys.argv[1] + " " + found.version + " in it, "
            facts["files"] = [str(file) for file in found.files]
        break
print(json.dumps(facts))
"""
"""A program that prints what its interpreter is, lacks, and has of the distribution argv[1] unless that is editable."""


@dataclass(frozen=True)
class Side:
    """One side, ready to run.

    Attributes:
        version: What it is.
        python: The interpreter.
        tree: The folder to run in: the side's own copy of the project.
        environment: Variables to add.
        packages: The project's top-level import names.
        site: Where the interpreter has it installed; None where it is imported from the tree.
    """

    version: Version
    python: str
    tree: Path
    environment: dict[str, str]
    packages: frozenset[str]
    site: Path | None = None

    @property
    def name(self) -> SideName:
        """`baseline` or `candidate`."""
        return self.version.name

    @property
    def roots(self) -> tuple[Path, ...]:
        """The folders that its files are shown relative to."""
        folders = map(Path, self.environment["PYTHONPATH"].split(os.pathsep))
        return tuple(dict.fromkeys([*folders, self.tree, *([self.site] if self.site else [])]))


@contextmanager
def sides(
    start: Path, baseline: str, candidate: str | None = None, *, isolated: bool = False
) -> Iterator[tuple[Side, Side]]:
    """Both versions, built and ready to start for as long as the context lasts; nothing is left behind.

    Args:
        start: A folder of the project.
        baseline: As in `resolve`.
        candidate: As in `resolve`.
        isolated: Each side gets dependencies of its own instead of this environment's.

    Raises:
        VersionError: There is no such version.
        ExportError: A version could not be written.
        BuildError: A side could not be built, or something in this environment stands before it.
        GitError: Git failed.
    """
    versions = resolve(start, baseline, candidate)
    with _temporary() as root:
        projects = {
            version.name: export(version, root / FOLDERS[version.name] / "tree")
            for version in versions
        }
        sites = (build_isolated if isolated else build)(root, projects)
        before, after = (
            _installed(
                version,
                str(root / FOLDERS[version.name] / "venv/bin/python")
                if isolated
                else sys.executable,
                projects[version.name],
                sites.get(version.name),
            )
            for version in versions
        )
        yield before, after


@contextmanager
def _temporary() -> Iterator[Path]:
    with ExitStack() as stack:
        with undisturbed():
            folder = tempfile.TemporaryDirectory(prefix=PREFIX)
            stack.callback(undisturbed()(folder.cleanup))
        yield Path(folder.name).resolve()


def _installed(version: Version, python: str, project: Path, site: Path | None) -> Side:
    # Where pip installs from a folder, it says so in direct_url.json.
    found = [] if site is None else metadata.distributions(path=[str(site)])
    packages = _imports(
        str(file) for one in found if one.read_text("direct_url.json") for file in one.files or ()
    )
    if site is None or not packages:
        return _imported(version, python, project)
    for package, source in product(packages, ("", *SOURCES)):
        # Some import modes of pytest put the tree first: complete it with what only the build makes.
        if (project / source / package).is_dir() and (site / package).is_dir():
            copied = project / source / package
            shutil.copytree(
                site / package,
                copied,
                ignore=UNWANTED,
                copy_function=_copy_missing,
                dirs_exist_ok=True,
            )
    for stray in site.iterdir():
        # A wheel that carries its tests would hide the tree's, of which `overlay` makes both sides' equal.
        if (
            SUITE.fullmatch(stray.name)
            and stray.name not in packages
            and (project / stray.name).is_dir()
        ):
            remove(stray)
    environment = {"PYTHONPATH": f"{site}{os.pathsep}{project}"}
    command = [python, "-P", "-c", HIDDEN, f"{site}{os.sep}", *packages]
    done = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BuildError(
            f"the {version.name} would not run its own code: {done.stderr.strip()}. An editable installation can stand "
            "in the way: uninstall it, install without --editable, or use --isolated"
        )
    return Side(version, python, project, environment, packages, site)


def _copy_missing(source: str, target: str) -> None:
    if not os.path.lexists(target) and unlinked(Path(target)):
        shutil.copy2(source, target)


def remove(path: Path) -> None:
    """Removes a file, a link or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _imports(files: Iterable[str]) -> frozenset[str]:
    """The top-level import names among an installation's files."""
    tops = (file.partition("/") for file in files)
    names = {top if inside else inspect.getmodulename(top) for top, inside, _ in tops}
    imports = {name for name in names if name and name.isidentifier() and name != "__pycache__"}
    return frozenset({name for name in imports if not SUITE.fullmatch(name)} or imports)


def _imported(version: Version, python: str, project: Path) -> Side:
    """A side that is not installed but imported from its tree."""
    found = [
        file.parent.name
        for source in ("", *SOURCES)
        for file in (project / source).glob("*/__init__.py")
    ]
    path = [str(folder) for folder in (project / "src", project) if folder.is_dir()]
    packages = frozenset(name for name in found if not SUITE.fullmatch(name))
    return Side(version, python, project, {"PYTHONPATH": os.pathsep.join(path)}, packages)


class InterpreterError(FloplineError, ValueError):
    """An interpreter that cannot run a side."""


@contextmanager
def interpreters(start: Path, baseline: str, candidate: str) -> Iterator[tuple[Side, Side]]:
    """Two interpreters as they are, each with a copy of the working tree; nothing is built.

    A project that is installed in an interpreter, and not as editable, is taken from there; else from the copy.

    Args:
        start: A folder of the project.
        baseline: Path or name of the interpreter.
        candidate: The other one.

    Raises:
        InterpreterError: One is no Python of at least 3.11 with pytest and pytest-benchmark.
        ExportError: The working tree could not be copied.
        GitError: Git failed.
    """
    start = start.resolve()
    checkout = repository(start)
    with _temporary() as root:
        yield (
            _interpreted(here(start, checkout, "baseline"), baseline, root),
            _interpreted(here(start, checkout, "candidate"), candidate, root),
        )


def _interpreted(version: Version, asked: str, root: Path) -> Side:
    found = shutil.which(asked)
    if found is None:
        raise InterpreterError(
            f"the {version.name}'s interpreter {asked!r} is no executable; give the path of a Python"
        )
    python = str(Path(found).absolute())  # not resolved: in a virtual environment it is a link
    project = export(version, root / FOLDERS[version.name] / "tree")
    facts = pyproject(project)
    name = facts.get("project", facts.get("tool", {}).get("poetry", {})).get("name", "")
    command = [
        python,
        "-X",
        "utf8",
        "-c",
        EXAMINE,
        name,
    ]  # of -X a shell knows nothing: it must not run the program
    environment = os.environ | {"PYTHONPATH": ""}
    lines = ["it says nothing"]
    try:
        done = subprocess.run(
            command,
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            timeout=60,
        )
        lines += done.stdout.splitlines()
        known = dict(json.loads(lines[-1]))
    except (OSError, subprocess.TimeoutExpired, TypeError, ValueError) as error:
        reason = error if isinstance(error, (OSError, subprocess.TimeoutExpired)) else lines[-1]
        raise InterpreterError(
            f"the {version.name}'s interpreter {asked!r} is no Python that runs: {reason}"
        ) from error
    what = f"Python {known['python']}"
    if known["lacks"]:
        lacks = " and ".join(known["lacks"])
        raise InterpreterError(
            f"the {version.name}'s interpreter {asked!r} ({what}) lacks {lacks}; install it there"
        )
    packages = _imports(known["files"])
    for package, source, ending in product(packages, ("", *SOURCES), ("", ".py")):
        if unlinked(copied := project / source / f"{package}{ending}"):
            remove(copied)
    label = f"{asked} ({what}, {known['installed']}{version.label})"
    side = _imported(replace(version, label=label), python, project)
    return replace(side, packages=side.packages | packages, site=Path(known["site"]))
