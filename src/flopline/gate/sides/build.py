"""Installs both sides' projects with pip or uv, at the same time and in the same way."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from flopline import FloplineError, git
from flopline.gate.sides.cache import KeptBuilds
from flopline.gate.sides.project import distribution_name, is_installable, read_pyproject, table
from flopline.gate.signals import held_back

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from flopline.gate.record import SideName
    from flopline.gate.sides.cache import BuildCache
    from flopline.gate.sides.interpreter import Interpreter

PIP = (sys.executable, "-P", "-m", "pip")
"""The command that starts this environment's pip."""
INSTALL = (
    "install",
    "--no-input",
    "--disable-pip-version-check",
    "--no-warn-script-location",
    "--progress-bar=off",
)
"""Arguments of pip that install without questions and with short output."""
UV_INSTALL = ("--no-progress", "--color=never", "--compile-bytecode", "--link-mode=copy")
"""Arguments of uv that install as pip does.

Without the last one files would be shared with uv's cache, and a suite that writes into one would
change what others install.
"""
VERSIONS_WITHOUT_GIT = {
    "SETUPTOOLS_SCM_PRETEND_VERSION": "0.0.0",
    "PDM_BUILD_SCM_VERSION": "0.0.0",
    "PBR_VERSION": "0.0.0",
    "POETRY_DYNAMIC_VERSIONING_BYPASS": "0.0.0",
    "UV_DYNAMIC_VERSIONING_BYPASS": "0.0.0",
}
"""Variables that give a version to build tools, which would otherwise look for one in git.

They are set for a folder that lies in no checkout. In all others git answers.
"""
LAST_LINES = 20
"""How many lines of pip's output an error message shows per side."""


@dataclass(frozen=True)
class Workspace:
    """The folder in which one side is built.

    Attributes:
        side: `baseline` or `candidate`.
        folder: The folder. The build's log, temporary files and result lie in it.
        project: The project at which the gate stands.
        members: Further projects that are built with it.
        wheel: A wheel that is installed instead of the project of its name; None if there is none.
        variables: Environment variables to add for its build.
    """

    side: SideName
    folder: Path
    project: Path
    members: tuple[Path, ...] = ()
    wheel: Path | None = None
    variables: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def projects(self) -> list[Path]:
        """The projects that are built: none that the wheel has built already."""
        own = [self.project] if is_installable(self.project) else []
        projects = [*own, *self.members]
        if self.wheel is None:
            return projects
        name, _, _, _ = parse_wheel_filename(self.wheel.name)
        # Where only the build knows the name of the project, the wheel is taken for its own.
        names = {project: canonicalize_name(distribution_name(project)) for project in projects}
        left_out = {name, canonicalize_name("")} if own else {name}
        return [project for project in projects if names[project] not in left_out]

    @property
    def to_install(self) -> list[str]:
        """What is installed, as arguments of pip or uv."""
        wheels = [] if self.wheel is None else [str(self.wheel)]
        return wheels + ["." if each == self.project else str(each) for each in self.projects]

    @property
    def packages(self) -> Path:
        """The folder into which `build` installs."""
        return self.folder / "site"

    @property
    def environment(self) -> Path:
        """The virtual environment that `install_isolated` makes."""
        return self.folder / "venv"

    @property
    def python(self) -> Path:
        """The interpreter of the virtual environment."""
        return self.environment / "bin" / "python"

    @property
    def log(self) -> Path:
        """What the last command of the build printed."""
        return self.folder / "log"


class BuildError(FloplineError, RuntimeError):
    """A side could not be built."""


@dataclass(frozen=True)
class Installer:
    """A program that installs into a folder.

    Attributes:
        name: `pip` or `uv`, for messages.
        command: The command, up to where the folder is named.
    """

    name: str
    command: tuple[str, ...]

    def into(self, folder: Path) -> list[str]:
        """Returns the command that installs into a folder what is named after it."""
        return [*self.command, "--no-deps", "--target", str(folder)]


def find_installer(interpreter: Interpreter) -> Installer:
    """Returns what installs for an interpreter.

    That is its own pip, otherwise uv, otherwise the pip of the environment of this program.

    Raises:
        BuildError: There is none of them.
    """
    if interpreter.has_pip:
        return Installer("pip", (interpreter.python, "-P", "-m", "pip", *INSTALL, "--upgrade"))
    chosen = ("--python", interpreter.python)
    if uv := find_uv():
        return Installer("uv", (uv, "pip", "install", *UV_INSTALL, *chosen))
    if importlib.util.find_spec("pip") is not None:
        return Installer("pip", (*PIP, *chosen, *INSTALL, "--upgrade"))
    raise BuildError(
        f"both sides are built with pip or uv, the environment {interpreter.prefix} has no pip, "
        f"and there is no uv on PATH; install uv, or pip there: `{interpreter.python} -m ensurepip`"
    )


def find_uv() -> str | None:
    """Returns the path of uv; None if there is none."""
    started_by = os.environ.get("UV", "")  # uv names itself to what it starts
    for name in (started_by, "uv"):
        if name and (found := shutil.which(name)):
            return found
    try:
        from uv import find_uv_bin  # noqa: PLC0415  # it need not be there
    except ImportError:
        return None
    try:
        return str(find_uv_bin())
    except FileNotFoundError:
        return None


@dataclass(frozen=True)
class Build:
    """What was installed for a side.

    Attributes:
        packages: The folder into which it was installed.
        made: When an earlier run made it, in words; empty if it was made now.
    """

    packages: Path
    made: str = ""


def build(
    workspaces: Sequence[Workspace], interpreter: Interpreter, cache: BuildCache | None = None
) -> dict[SideName, Build]:
    """Installs the projects of both sides and returns where they are.

    If the environment has everything that both builds need, they use it and nothing is downloaded.
    Otherwise, and where that fails, environments are made for the builds (build isolation).
    A project that cannot be installed is left out.

    Args:
        workspaces: Where each side is built.
        interpreter: The interpreter that is to run them.
        cache: Where builds of earlier runs are found; by default everything is built.

    Raises:
        BuildError: There is neither pip nor uv, or it failed. The message names the side and ends
            with the last lines of output.
    """
    workspaces = [workspace for workspace in workspaces if workspace.to_install]
    if not workspaces:
        return {}
    installer = find_installer(interpreter)
    attempts = [True]
    if all(_can_build(workspace, interpreter) for workspace in workspaces):
        attempts = [False, True]
    builds = KeptBuilds(cache, workspaces, interpreter, installer.name)
    failures = []
    for isolated in attempts:
        kept = builds.restore(isolated=isolated)
        commands = {}
        for workspace in workspaces:
            if workspace not in kept:
                options = [] if isolated else ["--no-build-isolation"]
                install = installer.into(workspace.packages)
                commands[workspace] = [*install, *options, *workspace.to_install]
        failed = run_all(commands)
        if not failed:
            builds.store(commands, isolated=isolated)
            return {each.side: Build(each.packages, kept.get(each, "")) for each in workspaces}
        failures.append(failed)
    # What the second attempt printed may only be that something could not be downloaded.
    raise BuildError(message(failures[0], installer.name))


def _can_build(workspace: Workspace, interpreter: Interpreter) -> bool:
    """Returns True if the environment has everything that building a side's projects requires."""
    return all(has_build_requirements(project, interpreter) for project in workspace.projects)


def has_build_requirements(project: Path, interpreter: Interpreter) -> bool:
    """Returns True if an environment has everything that building a project requires."""
    build_system = table(read_pyproject(project), "build-system")
    try:
        for line in build_system.get("requires", ["setuptools"]):
            requirement = Requirement(line)
            marker = requirement.marker
            if marker is not None and not marker.evaluate(dict(interpreter.markers)):
                continue
            found = metadata.distributions(name=requirement.name, path=interpreter.path)
            distribution = next(iter(found), None)
            if distribution is None:
                return False
            if not requirement.specifier.contains(distribution.version, prereleases=True):
                return False
    except InvalidRequirement:
        return False
    return True


def run_all(commands: Mapping[Workspace, Sequence[str]]) -> dict[SideName, str]:
    """Runs one command per side, all at the same time.

    Returns:
        What was printed by each command that failed.
    """
    children: dict[Workspace, subprocess.Popen[bytes]] = {}
    try:
        for workspace, command in commands.items():
            with held_back():
                children[workspace] = _start(workspace, command)
        failed = [workspace for workspace, child in children.items() if child.wait()]
    finally:
        with held_back():
            for child in children.values():
                # After an interruption the compilers that a build has started are ended with it.
                if child.poll() is None:
                    os.killpg(child.pid, signal.SIGKILL)
                    child.wait()
    return {workspace.side: workspace.log.read_text("utf-8", "replace") for workspace in failed}


def _start(workspace: Workspace, command: Sequence[str]) -> subprocess.Popen[bytes]:
    temporary = workspace.folder / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    settings = {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "TMPDIR": str(temporary)}
    environment = git.variables() | dict(workspace.variables) | settings
    if not any((folder / ".git").exists() for folder in _up_to(workspace)):
        environment = VERSIONS_WITHOUT_GIT | environment
    with workspace.log.open("wb") as log:
        return subprocess.Popen(
            command,
            cwd=workspace.project,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _up_to(workspace: Workspace) -> list[Path]:
    """Returns the folders from the project up to that of its workspace."""
    folders = (workspace.project, *workspace.project.parents)
    return [folder for folder in folders if folder.is_relative_to(workspace.folder)]


def message(failed: Mapping[SideName, str], installer: str) -> str:
    """Returns the text of a BuildError: the sides that failed, with the last lines of output."""
    paragraphs = []
    for side, output in failed.items():
        last_lines = "\n".join(output.rstrip().splitlines()[-LAST_LINES:])
        paragraphs.append(f"the {side} could not be built; {installer}'s last lines:\n{last_lines}")
    return "\n".join(paragraphs)
