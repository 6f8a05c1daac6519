"""A revision, a folder or an interpreter becomes a side that can be started.

Both versions are written below one temporary folder, at paths of equal length, and are started with
their own code before everything that the environment has.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from packaging.utils import parse_wheel_filename

from flopline import FloplineError, git
from flopline.gate.sides.asv_suite import RUNNER, VARIABLE
from flopline.gate.sides.build import BuildError, Workspace, build
from flopline.gate.sides.carry import carry, find_loads
from flopline.gate.sides.export import export
from flopline.gate.sides.interpreter import (
    NEEDED,
    Interpreter,
    InterpreterError,
    examine,
    find_interpreter,
)
from flopline.gate.sides.isolation import Installation, Isolation, install_isolated
from flopline.gate.sides.members import installed_from, members
from flopline.gate.sides.place import Place
from flopline.gate.sides.project import (
    SOURCE_FOLDERS,
    SUITE_NAME,
    distribution_name,
    import_names,
    is_installable,
    packages_in,
)
from flopline.gate.sides.surroundings import bounds
from flopline.gate.sides.tree import NOT_COPIED, TEMPORARY_PREFIX, is_behind_link, remove
from flopline.gate.sides.versions import current, resolve
from flopline.gate.temporary import remove_dead, temporary_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flopline.gate.record import SideName
    from flopline.gate.sides.build import Build
    from flopline.gate.sides.cache import BuildCache
    from flopline.gate.sides.carry import Load
    from flopline.gate.sides.versions import Version

FOLDERS: dict[SideName, str] = {"baseline": "base", "candidate": "cand"}
"""The folder of each side inside the temporary folder.

The names are equally long, because the length of a path is part of a process's memory layout.
"""
PROBE_IMPORTS = Path(__file__).with_name("probe_imports.py")
FINDERS = Path(__file__).parents[1] / "measure" / "worker" / "flopline_worker" / "finders.py"
"""The worker's file with the import hooks that it leaves out, which the probe leaves out, too."""


@dataclass(frozen=True)
class Side:
    """One side, ready to be started.

    Attributes:
        version: The version that it runs.
        python: The path of its interpreter.
        tree: The side's own copy of the project.
        environment: Variables to add.
        packages: The names under which the project's packages are imported.
        site: The folder in which the project is installed; None if it is imported from the tree.
        home: The folder of the gate's own in which everything of the side lies; None if there is
            none, because nothing was exported.
        checkouts: Folders of the user's from which the side must not load code, without links.
        place: Where the user stands; None stands for the root of the project.
        notes: What a reader of the result must know about it, in words.
    """

    version: Version
    python: str
    tree: Path
    environment: dict[str, str]
    packages: frozenset[str]
    site: Path | None = None
    home: Path | None = None
    checkouts: tuple[Path, ...] = ()
    place: Place | None = None
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> SideName:
        """`baseline` or `candidate`."""
        return self.version.name

    @property
    def folder(self) -> Path:
        """The folder to run in: where the user stands, in the side's copy."""
        return self.tree / self.place.standing if self.place else self.tree

    @property
    def copy(self) -> Path:
        """The side's copy of the whole checkout, in which `tree` lies."""
        depth = len(self.version.project.parts)
        return (self.tree, *self.tree.parents)[depth]

    @property
    def roots(self) -> tuple[Path, ...]:
        """The folders of the side relative to which its files are reported."""
        entries = [Path(entry) for entry in self.environment["PYTHONPATH"].split(os.pathsep)]
        # What lies elsewhere is the same for both sides, and is reported as it is.
        own = (self.copy, self.site or self.copy)
        folders = [entry for entry in entries if any(map(entry.is_relative_to, own))]
        folders.append(self.tree)
        if self.site is not None:
            folders.append(self.site)
        return tuple(dict.fromkeys(folders))

    @property
    def runner(self) -> str:
        """What collects and runs the suite: `pytest` or `asv_runner`."""
        return RUNNER if VARIABLE in self.environment else "pytest"

    @property
    def built(self) -> frozenset[str]:
        """The names of the distributions that were built for this side."""
        if self.site is None or self.home is None or not self.site.is_relative_to(self.home):
            return frozenset()
        return frozenset(each.metadata["Name"] or "" for each in _from_folders(self.site))

    def arguments(self, given: Sequence[str]) -> list[str]:
        """Returns arguments for pytest in which the paths are those of the side's copy.

        What selects benchmarks of an asv suite has no paths.
        """
        if self.place is None or self.runner != "pytest":
            return list(given)
        arguments = self.place.arguments(given, self.tree)
        return [*arguments, *bounds(self.folder, self.copy, arguments)]


@contextmanager
def sides(
    start: Path | None,
    baseline: str,
    candidate: str | None = None,
    *,
    interpreter: Interpreter | None = None,
    isolation: Isolation | None = None,
    carried: Sequence[str] = (),
    cache: BuildCache | None = None,
) -> Iterator[tuple[Side, Side]]:
    """Builds both versions and yields them, ready to be started.

    When the context is left, nothing of them remains on the disk.

    Args:
        start: A folder of the project; None stands for the current one.
        baseline: A revision, a folder or a wheel, as in `versions.resolve`.
        candidate: The same, or None, as in `versions.resolve`.
        interpreter: What runs both sides; by default what runs this program.
        isolation: Gives each side dependencies of its own instead of the environment's.
        carried: Files and folders that are brought into both sides, as in `carry.find_loads`.
        cache: Where builds of earlier runs are found; by default everything is built. What is
            carried may become a part of a build, so that none is kept then.

    Raises:
        VersionError: There is no such version.
        ExportError: A version could not be written.
        BuildError: A side could not be built, or would not run its own code.
        IsolationError: What is to be installed is not known.
        CarryError: What is to be brought into both sides cannot be.
        ProjectError: A pyproject.toml cannot be understood.
        PlaceError: The current folder was removed.
        VanishedError: Something removed the temporary folder meanwhile.
        NoWorkingTreeError: `start` lies in a bare repository or inside a `.git` folder.
        GitError: Git failed.
    """
    place = Place.here() if start is None else Place.around(start)
    versions = resolve(place.start, baseline, candidate)
    loads = find_loads(place, carried)
    interpreter = interpreter or Interpreter.this()
    checkouts = _checkouts(versions)
    present = installed_from(checkouts, interpreter)
    remove_dead()
    with _folder_of_sides() as root:
        workspaces = []
        notes = {}
        for version in versions:
            folder = root / FOLDERS[version.name]
            project = export(version, folder / "tree")
            notes[version.name] = carry(version.name, loads, folder / "tree")
            further = tuple(members(folder / "tree", project, present))
            _make_standing(place, project)
            environment = _environment(place, project, root, [])
            workspace = Workspace(
                version.name, folder, project, further, version.wheel, environment
            )
            notes[version.name] += _of_another_project(workspace)
            workspaces.append(workspace)
        installed = _install(workspaces, interpreter, isolation, None if loads else cache)
        ready = []
        for version, workspace in zip(versions, workspaces, strict=True):
            python = interpreter.python if isolation is None else str(workspace.python)
            there = installed[version.name]
            labelled = replace(version, label=version.label + there.source)
            side = _built_side(labelled, python, workspace.project, there.packages, place, root)
            side = replace(
                side,
                home=workspace.folder,
                checkouts=checkouts,
                notes=(*notes[version.name], *there.notes),
            )
            ready.append(_with_path(side, present.path))
        yield _without_finders(ready[0], ready[1])


def _install(
    workspaces: Sequence[Workspace],
    interpreter: Interpreter,
    isolation: Isolation | None,
    cache: BuildCache | None,
) -> dict[SideName, Installation]:
    """Installs both sides' projects, into the environment's reach or into one of their own."""
    if isolation is not None:
        return install_isolated(workspaces, isolation, interpreter.python)
    built = build(workspaces, interpreter, cache)
    installed = {}
    for workspace in workspaces:
        made = built.get(workspace.side)
        notes = (_reused(workspace.side, made),) if made is not None and made.made else ()
        packages = None if made is None else made.packages
        installed[workspace.side] = Installation(packages, notes=notes)
    return installed


def _of_another_project(workspace: Workspace) -> list[str]:
    """Returns what a reader must know where a wheel is not of the project at which the gate stands.

    Then the project is built beside it, and a mistaken wheel would compare it with itself.
    """
    if workspace.wheel is None or workspace.project not in workspace.projects:
        return []
    name, _, _, _ = parse_wheel_filename(workspace.wheel.name)
    own = distribution_name(workspace.project)
    note = f"the {workspace.side} is a wheel of {name}; {own} is of the same files on both sides"
    return [note]


def _reused(side: SideName, made: Build) -> str:
    return (
        f"the {side} was not built again: its build of {made.made} is of the same files, "
        "interpreter and environment"
    )


def _checkouts(versions: Sequence[Version]) -> tuple[Path, ...]:
    """Returns the folders from which the versions come, with all worktrees of a repository."""
    folders: dict[Path, None] = {}
    for version in versions:
        folders[version.source.resolve()] = None
        if version.kind != "folder":
            for line in git.ask(version.source, "worktree", "list", "--porcelain").splitlines():
                if line.startswith("worktree "):
                    folders[Path(line.removeprefix("worktree ")).resolve()] = None
    return tuple(folders)


def _with_path(side: Side, entries: Sequence[Path]) -> Side:
    """Returns a side that finds in its own tree what the environment finds in the checkout.

    Its workers do not look into the checkout.

    Args:
        side: The side.
        entries: Folders on the environment's import path, relative to the checkout.
    """
    if side.home is None:
        return side
    path = side.environment["PYTHONPATH"].split(os.pathsep)
    path += [os.path.normpath(side.home / "tree" / entry) for entry in entries]
    environment = {**side.environment, "PYTHONPATH": os.pathsep.join(dict.fromkeys(path))}
    if entries:
        # What a version does not have must be missing, and not come from the checkout.
        left_out = [os.path.normpath(root / entry) for root in side.checkouts for entry in entries]
        environment["FLOPLINE_LEFT_OUT"] = os.pathsep.join(left_out)
    return replace(side, environment=environment)


def _without_finders(baseline: Side, candidate: Side) -> tuple[Side, Side]:
    """Returns sides whose workers ask no import hook of the user's for the packages of either."""
    names = os.pathsep.join(sorted(baseline.packages | candidate.packages))
    ours, theirs = (
        replace(side, environment={**side.environment, "FLOPLINE_BUILT": names})
        for side in (baseline, candidate)
    )
    return ours, theirs


@contextmanager
def interpreters(
    start: Path | None,
    baseline: str,
    candidate: str,
    *,
    carried: Sequence[str] = (),
    needed: Sequence[str] = NEEDED,
) -> Iterator[tuple[Side, Side]]:
    """Yields two interpreters as they are, each with a copy of the working tree.

    Nothing is built. If the project is installed in an interpreter, and not as editable, it is
    imported from that installation, otherwise from the copy.

    Args:
        start: A folder of the project; None stands for the current one.
        baseline: Path or name of the baseline's interpreter.
        candidate: Path or name of the candidate's interpreter.
        carried: As for `sides`.
        needed: The modules that each must have.

    Raises:
        CarryError: As `sides`.
        InterpreterError: One is not a Python of at least 3.11 with what is needed.
        ExportError: The working tree could not be copied.
        ProjectError, PlaceError, VanishedError, NoWorkingTreeError, GitError: As `sides`.
    """
    place = Place.here() if start is None else Place.around(start)
    loads = find_loads(place, carried)
    remove_dead()
    with _folder_of_sides() as root:
        yield (
            _interpreter_side(current(place, "baseline"), baseline, root, place, loads, needed),
            _interpreter_side(current(place, "candidate"), candidate, root, place, loads, needed),
        )


class VanishedError(FloplineError, FileNotFoundError):
    """The temporary folder of the sides was removed while they were in use."""


@contextmanager
def _folder_of_sides() -> Iterator[Path]:
    """Makes the temporary folder of both sides.

    Raises:
        VanishedError: It was removed by something else meanwhile.
    """
    with temporary_folder(TEMPORARY_PREFIX) as folder:
        try:
            yield folder
        except (OSError, FloplineError) as error:
            gone = [name for name in FOLDERS.values() if not (folder / name).exists()]
            if folder.exists() and (not isinstance(error, FileNotFoundError) or not gone):
                raise
            raise VanishedError(
                f"the temporary folder {folder} was removed while both sides were in it; let "
                "TMPDIR name a folder that nothing cleans up, and run again"
            ) from error


def _make_standing(place: Place, project: Path) -> None:
    """Makes the folder in which the user stands, if a side's copy of the project lacks it.

    The suite in it may be new, and is only given to the side later.
    """
    folder = project / place.standing
    if not is_behind_link(folder):
        folder.mkdir(parents=True, exist_ok=True)


def _environment(place: Place, project: Path, root: Path, own: Sequence[Path]) -> dict[str, str]:
    """Returns the variables of a side: its own folders come before the user's on the import path.

    Args:
        place: Where the user stands.
        project: The side's copy of the project.
        root: The temporary folder. Git does not look above it, where TMPDIR may lie in a checkout.
        own: The folders from which the side's code is imported.
    """
    users = place.python_path(os.environ.get("PYTHONPATH", ""), project)
    path = list(dict.fromkeys([*map(str, own), *users]))
    ceilings = [os.environ.get("GIT_CEILING_DIRECTORIES", ""), str(root)]
    return {
        "PYTHONPATH": os.pathsep.join(path),
        "GIT_CEILING_DIRECTORIES": os.pathsep.join(filter(None, ceilings)),
    }


def _imported_side(version: Version, python: str, project: Path, place: Place, root: Path) -> Side:
    """Returns a side whose project is imported from its tree."""
    folders = [*_beside_user(project, place), project / "src", project]
    own = [folder for folder in folders if folder.is_dir()]
    environment = _environment(place, project, root, own)
    return Side(version, python, project, environment, packages_in(project), place=place)


def _beside_user(project: Path, place: Place) -> list[Path]:
    """Returns the folder that is first on the import path because the user stands there, if any.

    So does `python -m pytest`. Inside of a package it is left out, because the package's modules
    would hide those of the standard library.
    """
    folder = project / place.standing
    if folder == project or (folder / "__init__.py").exists():
        return []
    return [folder]


def _built_side(
    version: Version, python: str, project: Path, site: Path | None, place: Place, root: Path
) -> Side:
    """Returns a side whose project was installed into the folder `site`.

    If pip could not install it, or has installed no module, it is imported from its tree.
    """
    packages = frozenset() if site is None else _installed_packages(site)
    if site is None or not packages:
        return _imported_side(version, python, project, place, root)
    if version.wheel is not None:
        _remove_code(project, packages)
        version = replace(version, commit="")
    _complete_tree(project, site, packages)
    _remove_installed_suites(project, site, packages)
    own = [site, *_beside_user(project, place), project]
    names = packages
    if not is_installable(project):  # only other projects of the repository were installed
        beside = _imported_side(version, python, project, place, root)
        names = packages | beside.packages
        own = [site, *_beside_user(project, place), project / "src", project]
    environment = _environment(place, project, root, [folder for folder in own if folder.is_dir()])
    side = Side(version, python, project, environment, packages, site, place=place)
    _check_imports(side, site)
    return replace(side, packages=names)


def _installed_packages(site: Path) -> frozenset[str]:
    """Returns the import names of what pip has installed from a project's folder."""
    names: set[str] = set()
    for distribution in _from_folders(site):
        files = [str(file) for file in distribution.files or ()]
        names |= import_names(files, distribution.metadata["Name"] or "")
    return frozenset(names)


def _from_folders(site: Path) -> Iterator[metadata.Distribution]:
    """Yields what pip has installed from folders, for which it writes a file, and no dependency."""
    for distribution in metadata.distributions(path=[str(site)]):
        if distribution.read_text("direct_url.json"):
            yield distribution


def _remove_code(project: Path, packages: frozenset[str]) -> None:
    """Removes the code of packages from the tree, which is of another version, but no suite."""
    for package in packages:
        for folder in ("", *SOURCE_FOLDERS):
            root = project / folder / package
            if is_behind_link(root):
                continue
            remove(root.with_name(f"{package}.py"))
            if root.is_symlink():
                root.unlink()
            for place, _, names in os.walk(root):
                is_suite = any(map(SUITE_NAME.fullmatch, Path(place).relative_to(root).parts))
                for name in names:
                    if not is_suite and name != "conftest.py":
                        Path(place, name).unlink()


def _complete_tree(project: Path, site: Path, packages: frozenset[str]) -> None:
    """Copies to the packages of the tree what only the build makes, such as compiled modules.

    Some of pytest's import modes put the tree first on the import path.
    """
    for package in packages:
        for folder in ("", *SOURCE_FOLDERS):
            in_tree = project / folder / package
            if in_tree.is_dir() and (site / package).is_dir():
                shutil.copytree(
                    site / package,
                    in_tree,
                    ignore=NOT_COPIED,
                    copy_function=_copy_missing,
                    dirs_exist_ok=True,
                )


def _copy_missing(source: str, target: str) -> None:
    if not os.path.lexists(target) and not is_behind_link(Path(target)):
        shutil.copy2(source, target)


def _remove_installed_suites(project: Path, site: Path, packages: frozenset[str]) -> None:
    """Removes tests from an installation if the tree has them too.

    They would hide those of the tree, which `overlay` makes equal on both sides.
    """
    for path in site.iterdir():
        is_suite = SUITE_NAME.fullmatch(path.name) and path.name not in packages
        if is_suite and (project / path.name).is_dir():
            remove(path)


def _check_imports(side: Side, site: Path) -> None:
    """Raises BuildError if the side would import its packages from anywhere but `site`."""
    done = subprocess.run(
        [side.python, "-P", str(PROBE_IMPORTS), str(FINDERS), f"{site}{os.sep}", *side.packages],
        env=git.variables() | side.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BuildError(
            f"the {side.name} would not run its own code: {done.stderr.strip()}. "
            "An editable installation can be the cause: uninstall it, install without --editable, "
            "or use --isolated"
        )


def _interpreter_side(
    version: Version,
    requested: str,
    root: Path,
    place: Place,
    loads: Sequence[Load],
    needed: Sequence[str],
) -> Side:
    """Returns a side that an interpreter of the user's runs, with a copy of the working tree."""
    whose = f"the {version.name}'s interpreter"
    python = find_interpreter(whose, requested)
    copy = root / FOLDERS[version.name] / "tree"
    project = export(version, copy)
    notes = carry(version.name, loads, copy)
    _make_standing(place, project)
    distribution = distribution_name(project)
    interpreter = examine(whose, python, requested, distribution, root, needed=needed)
    interpreter.demand_harness(whose, requested)
    _refuse_other_checkout(version, requested, interpreter.editable)
    packages = import_names(interpreter.files, distribution)
    _remove_from_tree(project, packages)
    origin = version.label
    if interpreter.installed:
        origin = f"{interpreter.installed} in it, {version.label}"
    label = f"{requested} (Python {interpreter.version}, {origin})"
    side = _imported_side(replace(version, label=label), python, project, place, root)
    packages |= side.packages
    home = root / FOLDERS[version.name]
    return replace(
        side, packages=packages, site=Path(interpreter.site), home=home, notes=tuple(notes)
    )


def _refuse_other_checkout(version: Version, requested: str, editable: str) -> None:
    """Raises InterpreterError if the project is installed as editable from another checkout.

    Both sides run copies of this checkout, so that other code would not be run at all.
    """
    address = urlsplit(editable)
    folder = Path(url2pathname(address.path)).resolve()
    if address.scheme == "file" and not folder.is_relative_to(version.source.resolve()):
        raise InterpreterError(
            f"the {version.name}'s interpreter {requested!r} has the project installed as editable "
            f"from {folder}, but with two interpreters both sides run {version.source}; install it "
            f"there without --editable, or compare folders: --{version.name} {folder}"
        )


def _remove_from_tree(project: Path, packages: frozenset[str]) -> None:
    """Removes packages and modules from the tree, so that those of the interpreter are imported."""
    for package in packages:
        for folder in ("", *SOURCE_FOLDERS):
            for name in (package, f"{package}.py"):
                path = project / folder / name
                if not is_behind_link(path):
                    remove(path)
