"""Installs both sides' projects with pip, at the same time and in the same way."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement

from flopline import FloplineError, git
from flopline.gate.sides.project import is_installable, read_pyproject, table
from flopline.gate.signals import held_back

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from flopline.gate.record import SideName

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
        variables: Environment variables to add for its build.
    """

    side: SideName
    folder: Path
    project: Path
    members: tuple[Path, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def to_install(self) -> list[str]:
        """The projects that pip can install, as its arguments."""
        own = ["."] if is_installable(self.project) else []
        return own + [str(member) for member in self.members]

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


def build(workspaces: Sequence[Workspace]) -> dict[SideName, Path]:
    """Installs the projects of both sides and returns the folders into which they were installed.

    If this environment has everything that both builds need, they use it and nothing is downloaded.
    Otherwise, and where that fails, pip makes environments for the builds (build isolation).
    A project that pip cannot install is left out.

    Args:
        workspaces: Where each side is built.

    Raises:
        BuildError: There is no pip, or it failed. The message names the side and ends with the
            last lines of pip's output.
    """
    workspaces = [workspace for workspace in workspaces if workspace.to_install]
    if not workspaces:
        return {}
    _require_pip()
    attempts: list[list[str]] = [[]]
    if all(_can_build(workspace) for workspace in workspaces):
        attempts = [["--no-build-isolation"], []]
    failures = []
    for options in attempts:
        commands = {}
        for workspace in workspaces:
            target = ["--no-deps", "--upgrade", "--target", str(workspace.packages)]
            commands[workspace] = [*PIP, *INSTALL, *target, *options, *workspace.to_install]
        failed = run_all(commands)
        if not failed:
            return {workspace.side: workspace.packages for workspace in workspaces}
        failures.append(failed)
    # What the second attempt printed may only be that pip could not download something.
    raise BuildError(message(failures[0]))


def _can_build(workspace: Workspace) -> bool:
    """Returns True if this environment has everything that building a side's projects requires."""
    projects = [workspace.project] if is_installable(workspace.project) else []
    return all(has_build_requirements(project) for project in (*projects, *workspace.members))


def has_build_requirements(project: Path) -> bool:
    """Returns True if this environment has everything that building a project requires."""
    build_system = table(read_pyproject(project), "build-system")
    try:
        for line in build_system.get("requires", ["setuptools"]):
            requirement = Requirement(line)
            if requirement.marker is not None and not requirement.marker.evaluate():
                continue
            version = metadata.version(requirement.name)
            if not requirement.specifier.contains(version, prereleases=True):
                return False
    except (InvalidRequirement, metadata.PackageNotFoundError):
        return False
    return True


def _require_pip() -> None:
    if importlib.util.find_spec("pip") is None:  # uv makes such environments
        raise BuildError(
            "both sides are built with pip, and the environment "
            f"{sys.prefix} has none; install it there: "
            "`uv pip install pip`, or `python -m ensurepip`"
        )


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


def message(failed: Mapping[SideName, str]) -> str:
    """Returns the message of a BuildError: which side failed, and its last lines."""
    paragraphs = []
    for side, output in failed.items():
        last_lines = "\n".join(output.rstrip().splitlines()[-LAST_LINES:])
        paragraphs.append(f"the {side} could not be built; the last lines are:\n{last_lines}")
    return "\n".join(paragraphs)
