"""An environment for each side, with the dependencies that the side itself asks for.

Where a side has a lock file that can be read here, its dependencies are those of the lock file.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dependency_groups
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from flopline import FloplineError
from flopline.gate.sides.build import (
    INSTALL,
    PIP,
    BuildError,
    find_uv,
    message,
    run_all,
)
from flopline.gate.sides.members import named_in
from flopline.gate.sides.project import is_installable, read_pyproject, table

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from flopline.gate.record import SideName
    from flopline.gate.sides.build import Workspace

HARNESS = ("pytest", "pytest-benchmark")
"""What every environment needs, whatever its project asks for."""
LOCKS = ("uv.lock", "pylock.toml", "poetry.lock", "pdm.lock")
"""The lock files that can be used, the first of them first."""
READERS = {
    "uv.lock": "uv",
    "pylock.toml": "uv",
    "poetry.lock": "poetry with its plugin poetry-plugin-export",
    "pdm.lock": "pdm",
}
"""What must be installed for a lock file to be used."""
READER_SECONDS = 60
"""A program that takes longer than this to show its help is not used."""
OF_PIP = (
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_NO_INDEX",
    "PIP_CONSTRAINT",
)
OF_UV = ("UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS")
"""Variables that say where packages come from; neither program reads those of the other."""

AS_PIP = {"UV_NO_PROGRESS": "1", "UV_COMPILE_BYTECODE": "1", "UV_LINK_MODE": "copy"}
"""Variables with which uv installs as pip does, and shares no file with its cache."""


class IsolationError(FloplineError, ValueError):
    """What is to be installed beside the projects is not known, or is no requirement."""


@dataclass(frozen=True)
class Isolation:
    """What is installed for a side that has dependencies of its own, beside the project.

    Attributes:
        extras: The names of optional dependencies of the project.
        groups: The names of its dependency groups.
        requirements: Further requirements, the same for both sides.
    """

    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()


@dataclass(frozen=True)
class Installation:
    """What was installed for a side.

    Attributes:
        packages: The folder that has the packages; None if nothing was installed.
        source: Where its dependencies come from, as an end of a version's label.
        notes: What a reader must know about it.
    """

    packages: Path | None
    source: str = ""
    notes: tuple[str, ...] = ()


@dataclass
class _Plan:
    """How the environment of a side is filled.

    Attributes:
        workspace: Where the side is built.
        extras: The extras that are installed.
        groups: The groups.
        lock: The lock file that is used; None if none is.
        commands: The commands, in their order.
        notes: What a reader must know.
    """

    workspace: Workspace
    extras: list[str]
    groups: list[str]
    lock: Path | None = None
    commands: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def install_isolated(
    workspaces: Sequence[Workspace], isolation: Isolation, python: str = sys.executable
) -> dict[SideName, Installation]:
    """Makes an environment for each side, and installs the side's projects with what they need.

    What the projects themselves do not bring of pytest and pytest-benchmark gets the version that
    it has here, on both sides the same.

    Args:
        workspaces: Where each side is built.
        isolation: What is installed beside the projects.
        python: The interpreter of the environments.

    Raises:
        IsolationError: A requirement cannot be understood, no version has an extra or a group, or
            the build of one has no such extra.
        BuildError: There is neither uv nor pip, or an environment could not be made or filled.
    """
    _check_requirements(isolation.requirements)
    plans = []
    for workspace in workspaces:
        folder = str(workspace.environment)
        own = {"UV_PROJECT_ENVIRONMENT": folder, "VIRTUAL_ENV": folder}
        variables = {**workspace.variables, **AS_PIP, **own}
        plans.append(_Plan(replace(workspace, variables=variables), [], []))
    for plan in plans:
        plan.lock = _usable_lock(plan)
        plan.notes += _not_locked(plan)
    _choose(plans, "extra", isolation.extras, _extras)
    _choose(plans, "group", isolation.groups, _groups)
    for plan in plans:
        make = [python, "-m", "venv", "--without-pip", str(plan.workspace.environment)]
        plan.commands = [make, *_fill(plan, isolation.requirements)]
    _run_in_step(plans)
    for plan in plans:
        _refuse_missing_extras(plan)
        plan.commands = _complete(plan)
    _run_in_step(plans)
    installed: dict[SideName, Installation] = {}
    for plan in plans:
        source = f", with its {plan.lock.name}" if plan.lock else ""
        packages = _packages(plan.workspace)
        installed[plan.workspace.side] = Installation(packages, source, tuple(plan.notes))
    return installed


def _run_in_step(plans: Sequence[_Plan]) -> None:
    """Runs the commands of both sides, the first ones at the same time, and so on.

    Raises:
        BuildError: A command has failed.
    """
    for step in range(max(len(plan.commands) for plan in plans)):
        commands = {p.workspace: p.commands[step] for p in plans if step < len(p.commands)}
        failed = run_all(commands)
        if failed:
            side = next(iter(failed))
            command = next(each for plan, each in commands.items() if plan.side == side)
            is_module = "-m" in command
            program = command[command.index("-m") + 1] if is_module else Path(command[0]).name
            raise BuildError(message(failed, program))


def _packages(workspace: Workspace) -> Path:
    """Returns the folder of an environment that has its packages."""
    return next(workspace.environment.glob("lib/*/site-packages"))


# What is asked for


def _check_requirements(requirements: Sequence[str]) -> None:
    for text in requirements:
        try:
            Requirement(text)
        except InvalidRequirement as error:
            reason = str(error).splitlines()[0]
            raise IsolationError(
                f"--with {text!r} is no requirement ({reason}); give one as in pyproject.toml, for "
                'example "hypothesis>=6"'
            ) from error


def _choose(
    plans: Sequence[_Plan],
    kind: str,
    names: Sequence[str],
    known: Callable[[_Plan], Collection[str] | None],
) -> None:
    """Gives each side those of the requested extras or groups that it has.

    Args:
        plans: The plans of both sides.
        kind: `extra` or `group`.
        names: What was requested.
        known: Returns what a side has, in normal form; None if that is not known before a build.

    Raises:
        IsolationError: No side has one of them.
    """
    has = [(plan, known(plan)) for plan in plans]
    for name in names:
        normal = canonicalize_name(name)
        lacking = [plan for plan, those in has if those is not None and normal not in those]
        if len(lacking) == len(plans):
            candidate, those = has[-1]
            there = ", ".join(sorted(those or ())) or "none"
            raise IsolationError(
                f"--{kind} {name}: neither version has {_called(kind)} of this name; the "
                f"{'; '.join([f'{candidate.workspace.side} has {there}', *candidate.notes])}"
            )
        for plan, _ in has:
            if plan in lacking:
                plan.notes.append(
                    f"the {plan.workspace.side} has no {kind} {name}, and was installed without it"
                )
            elif kind == "extra":
                plan.extras.append(name)
            else:
                plan.groups.append(name)


def _refuse_missing_extras(plan: _Plan) -> None:
    """Raises IsolationError if a side was built without an extra, which pip only warns of."""
    own = []
    for distribution in metadata.distributions(path=[str(_packages(plan.workspace))]):
        if distribution.read_text("direct_url.json"):
            own += distribution.metadata.get_all("Provides-Extra", [])
    there = {canonicalize_name(name) for name in own}
    is_built = plan.workspace.wheel is not None or is_installable(plan.workspace.project)
    for extra in plan.extras if is_built else ():
        if canonicalize_name(extra) not in there:
            raise IsolationError(
                f"--extra {extra}: the {plan.workspace.side} has no extra of this name; it has "
                f"{', '.join(sorted(there)) or 'none'}"
            )


def _called(kind: str) -> str:
    return "an extra" if kind == "extra" else "a dependency group"


def _extras(plan: _Plan) -> Collection[str] | None:
    """Returns the names of a project's extras; None if only its build knows them."""
    content = read_pyproject(plan.workspace.project)
    project = table(content, "project")
    if "optional-dependencies" in _lines(project.get("dynamic")):
        return None
    if project:
        return {canonicalize_name(name) for name in table(project, "optional-dependencies")}
    if poetry := table(content, "tool", "poetry"):
        return {canonicalize_name(name) for name in table(poetry, "extras")}
    return None


def _groups(plan: _Plan) -> Collection[str]:
    """Returns the names of a project's dependency groups, in each form that can be installed."""
    content = read_pyproject(plan.workspace.project)
    names = set(table(content, "dependency-groups"))
    lock = plan.lock.name if plan.lock else ""
    if lock == "uv.lock" and "dev-dependencies" in table(content, "tool", "uv"):
        names.add("dev")
    elif lock == "poetry.lock":
        names |= set(table(content, "tool", "poetry", "group"))
    elif lock == "pdm.lock":
        names |= set(table(content, "tool", "pdm", "dev-dependencies"))
    return {canonicalize_name(name) for name in names}


# Which programs install


def _installer(plan: _Plan) -> list[str]:
    """Returns the start of a command that installs into an environment.

    It is uv's where there is a uv. But where variables tell only pip where packages come from, uv
    would take others.

    Raises:
        BuildError: There is neither uv nor pip.
    """
    python = ["--python", str(plan.workspace.python)]
    uv = find_uv()
    has_pip = importlib.util.find_spec("pip") is not None
    is_for_pip = bool(OF_PIP & os.environ.keys()) and not OF_UV & os.environ.keys()
    is_needed = plan.lock is not None and READERS[plan.lock.name] == "uv"
    if uv and (is_needed or not has_pip or not is_for_pip):
        return [uv, "pip", "install", *python]
    if not has_pip:
        raise BuildError(
            f"--isolated installs with uv or with pip, and {sys.prefix} has no pip and PATH no uv; "
            "install one of them"
        )
    return [*PIP, *python, *INSTALL]


def _usable_lock(plan: _Plan) -> Path | None:
    """Returns the lock file that is used for a side; notes which one is there but cannot be."""
    unused = []
    # A wheel comes without the lock file of its version.
    for name in LOCKS if plan.workspace.wheel is None else ():
        lock = _lock(plan.workspace, name)
        if lock is None:
            continue
        if _has_reader(name, lock.parent):
            return lock
        unused.append(name)
    if unused:
        plan.notes.append(
            f"the {unused[0]} of the {plan.workspace.side} was not used, because that needs "
            f"{READERS[unused[0]]}: the newest versions that it allows were installed"
        )
    return None


def _lock(workspace: Workspace, name: str) -> Path | None:
    """Returns the lock file of a project, or of the workspace of uv that it is a member of."""
    own = workspace.project / name
    if own.is_file():
        return own
    for folder in workspace.project.parents if name == "uv.lock" else ():
        if not folder.is_relative_to(workspace.folder):
            break
        if (folder / name).is_file() and workspace.project in named_in(folder):
            return folder / name
    return None


def _not_locked(plan: _Plan) -> list[str]:
    """Returns a note if a uv.lock was made for other dependencies than the project has now.

    It is used as it is, because uv would have to look for versions to renew it.
    """
    if plan.lock is None or plan.lock.name != "uv.lock":
        return []
    project = table(read_pyproject(plan.workspace.project), "project")
    try:
        packages = tomllib.loads(plan.lock.read_text("utf-8")).get("package")
        wanted = [Requirement(line) for line in _lines(project.get("dependencies"))]
    except (OSError, ValueError):  # uv reports it
        return []
    own = canonicalize_name(str(project.get("name", "")))
    locked: dict[str, list[SpecifierSet | None]] = {}
    for package in packages if isinstance(packages, list) else []:
        if isinstance(package, dict) and package.get("name") == own:
            try:
                locked = _locked(package)
            except (AttributeError, KeyError, TypeError, ValueError):  # a format of tomorrow's
                return []
    differing = []
    for each in wanted:
        specifiers = locked.get(canonicalize_name(each.name), [])
        # What comes from a folder or a repository has no specifier in the lock file.
        if None not in specifiers and each.specifier not in specifiers:
            differing.append(each.name)
    if not locked or not differing:
        return []
    return [
        f"the uv.lock of the {plan.workspace.side} does not agree with its pyproject.toml about "
        + ", ".join(differing)
        + ", and was used as it is"
    ]


def _locked(package: dict[str, Any]) -> dict[str, list[SpecifierSet | None]]:
    """Returns what a package of a uv.lock required when it was locked; None stands for anything."""
    locked: dict[str, list[SpecifierSet | None]] = {}
    for entry in package["metadata"]["requires-dist"]:
        text = entry.get("specifier")
        specifier = None if text is None else SpecifierSet(text)
        locked.setdefault(canonicalize_name(entry["name"]), []).append(specifier)
    return locked


def _has_reader(name: str, folder: Path) -> bool:
    """Returns whether the program that a lock file needs is there."""
    program = READERS[name].split()[0]
    if program == "uv":
        return find_uv() is not None
    if shutil.which(program) is None:
        return False
    help_of_export = [program, "export", "--help"]  # fails without Poetry's plugin
    try:
        done = subprocess.run(
            help_of_export,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=READER_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


# What they are told


def _fill(plan: _Plan, requirements: Sequence[str]) -> list[list[str]]:
    """Returns the commands that fill a side's environment."""
    workspace = plan.workspace
    install = _installer(plan)
    lock = plan.lock.name if plan.lock else ""
    commands = []
    members = [str(each) for each in workspace.projects if each != workspace.project]
    further = [*members, *requirements]
    if lock == "uv.lock":
        commands.append(_sync(plan))
        return [*commands, [*install, *further]] if further else commands
    if lock == "pylock.toml":
        commands.append([*install, "-r", lock])
    elif lock:
        exported = workspace.folder / "requirements.txt"
        export = _export_from_poetry if lock == "poetry.lock" else _export_from_pdm
        commands.append(export(plan, exported))
        commands.append([*install, "--no-deps", "-r", str(exported)])
    groups = _group_arguments(plan, install) if lock not in {"poetry.lock", "pdm.lock"} else []
    arguments = [*_project_arguments(plan), *groups, *further]
    return [*commands, [*install, *arguments]] if arguments else commands


def _sync(plan: _Plan) -> list[str]:
    command = [find_uv() or "uv", "sync", "--frozen", "--no-default-groups", "--no-editable"]
    for extra in plan.extras:
        command += ["--extra", extra]
    for group in plan.groups:
        command += ["--group", group]
    return [*command, "--python", str(plan.workspace.python)]


def _export_from_poetry(plan: _Plan, file: Path) -> list[str]:
    command = ["poetry", "export", "--no-interaction", "--without-hashes", "--output", str(file)]
    for extra in plan.extras:
        command += ["--extras", extra]
    for group in plan.groups:
        command += ["--with", group]
    return command


def _export_from_pdm(plan: _Plan, file: Path) -> list[str]:
    command = ["pdm", "export", "--without-hashes", "--format", "requirements"]
    # Without names of groups, --dev stands for all of them.
    command.append("--dev" if plan.groups else "--prod")
    for name in (*plan.extras, *plan.groups):
        command += ["--group", name]
    return [*command, "--output", str(file)]


def _project_arguments(plan: _Plan) -> list[str]:
    """Returns what is installed of the project itself: it, or what it needs if it is no package."""
    extras = f"[{','.join(plan.extras)}]" if plan.extras else ""
    if plan.workspace.wheel is not None:
        return [f"{plan.workspace.wheel}{extras}"]
    if is_installable(plan.workspace.project):
        return [f".{extras}"]
    project = table(read_pyproject(plan.workspace.project), "project")
    optional = {}
    for name, those in table(project, "optional-dependencies").items():
        optional[canonicalize_name(name)] = those
    lines = _lines(project.get("dependencies"))
    for extra in plan.extras:
        lines += _lines(optional.get(canonicalize_name(extra)))
    return lines


def _lines(value: object) -> list[str]:
    """Returns the texts of a list in a pyproject.toml; none if it is no list."""
    return [str(each) for each in value] if isinstance(value, list) else []


def _group_arguments(plan: _Plan, install: Sequence[str]) -> list[str]:
    """Returns the requirements of the groups; uv reads them itself, with its own tables.

    Raises:
        IsolationError: A group cannot be understood.
    """
    if install[0] != sys.executable:
        return [argument for group in plan.groups for argument in ("--group", group)]
    groups = table(read_pyproject(plan.workspace.project), "dependency-groups")
    try:
        return list(dependency_groups.resolve(groups, *plan.groups))
    except (LookupError, TypeError, ValueError) as error:
        reason = str(error.args[0] if error.args else error)
        raise IsolationError(
            f"a dependency group of the {plan.workspace.side} cannot be understood: {reason}; see "
            "[dependency-groups] in its pyproject.toml"
        ) from error


def _complete(plan: _Plan) -> list[list[str]]:
    """Returns the command that installs what an environment lacks of pytest and pytest-benchmark.

    A version that the gate does not work with is replaced, which is noted.
    """
    there: dict[str, str] = {}
    for distribution in metadata.distributions(path=[str(_packages(plan.workspace))]):
        there[canonicalize_name(distribution.metadata["Name"] or "")] = distribution.version
    missing = []
    for name in HARNESS:
        version = metadata.version(name)
        if name not in there:
            missing.append(f"{name}=={version}")
        elif not _is_supported(name, there[name]):
            missing.append(f"{name}=={version}")
            plan.notes.append(
                f"the {plan.workspace.side} asks for {name} {there[name]}, which is too old for "
                f"the gate, and was given {version}"
            )
    return [[*_installer(plan), *missing]] if missing else []


def _is_supported(name: str, version: str) -> bool:
    """Returns whether flopline itself could be installed with a version of a package."""
    for line in metadata.requires("flopline") or ():
        requirement = Requirement(line)
        if canonicalize_name(requirement.name) == name and requirement.marker is None:
            return requirement.specifier.contains(version, prereleases=True)
    return True
