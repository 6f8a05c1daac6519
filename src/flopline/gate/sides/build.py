"""pip builds both sides, side by side in the same way."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement

from flopline import FloplineError
from flopline.gate.sides.versions import installable, pyproject
from flopline.gate.signals import undisturbed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flopline.gate.record import SideName

FOLDERS: dict[SideName, str] = {"baseline": "base", "candidate": "cand"}
"""Of equal length, because a path's length is part of a process's memory layout."""
PIP = (sys.executable, "-P", "-m", "pip")
INSTALL = (
    "install",
    "--no-input",
    "--disable-pip-version-check",
    "--no-warn-script-location",
    "--progress-bar=off",
)
BUILDING = {
    # an export has no history to take a version from
    "SETUPTOOLS_SCM_PRETEND_VERSION": "0.0.0",
    "PDM_BUILD_SCM_VERSION": "0.0.0",
    "PBR_VERSION": "0.0.0",
    "POETRY_DYNAMIC_VERSIONING_BYPASS": "0.0.0",
    "UV_DYNAMIC_VERSIONING_BYPASS": "0.0.0",
}


class BuildError(FloplineError, RuntimeError):
    """A side could not be built."""


def _demand_pip() -> None:
    if importlib.util.find_spec("pip") is None:  # as uv makes environments
        raise BuildError(
            f"both sides are built with pip, and the environment {sys.prefix} has none; install it there: "
            "`uv pip install pip`, or `python -m ensurepip`"
        )


def build(root: Path, projects: Mapping[SideName, Path]) -> dict[SideName, Path]:
    """Installs the sides' projects with pip, in the same way and at the same time; gives where their packages are.

    Without build isolation where this environment has what both builds need: then nothing is downloaded. With it
    otherwise, and where that fails. A project that pip cannot install is left out.

    Args:
        root: Each side has its folder of FOLDERS here.
        projects: The exported projects.

    Raises:
        BuildError: There is no pip, or it failed; names the side and shows the end of its output.
    """
    projects = {name: project for name, project in projects.items() if installable(project)}
    if projects:
        _demand_pip()
    sites = {name: root / FOLDERS[name] / "site" for name in projects}
    ways = [["--no-build-isolation"], []] if all(map(_buildable, projects.values())) else [[]]
    failures = []
    for way in ways:
        commands = {
            name: [*PIP, *INSTALL, "--no-deps", "--upgrade", "--target", str(site), *way, "."]
            for name, site in sites.items()
        }
        failures.append(_run(root, projects, commands))
        if not failures[-1]:
            return sites
    raise BuildError(_told(failures[0]))


def build_isolated(root: Path, projects: Mapping[SideName, Path]) -> dict[SideName, Path]:
    """As `build`, but into a virtual environment per side, `venv`, with the project's own dependencies.

    pytest and pytest-benchmark are this environment's versions: they are the harness, not the subject.
    """
    _demand_pip()
    venvs = {name: str(root / FOLDERS[name] / "venv") for name in projects}
    harness = [f"{name}=={metadata.version(name)}" for name in ("pytest", "pytest-benchmark")]
    create = {
        name: [sys.executable, "-m", "venv", "--without-pip", venv] for name, venv in venvs.items()
    }
    fill = {
        name: [
            *PIP,
            "--python",
            f"{venv}/bin/python",
            *INSTALL,
            *["."] * installable(projects[name]),
            *harness,
        ]
        for name, venv in venvs.items()
    }
    if failed := _run(root, projects, create) or _run(root, projects, fill):
        raise BuildError(_told(failed))
    return {
        name: Path(sysconfig.get_path("purelib", "venv", {"base": venv}))
        for name, venv in venvs.items()
    }


def _run(
    root: Path, folders: Mapping[SideName, Path], commands: Mapping[SideName, list[str]]
) -> dict[SideName, str]:
    """Runs the sides' commands at the same time; gives what those that fail print."""
    children: dict[SideName, subprocess.Popen[bytes]] = {}
    try:
        for name, command in commands.items():
            place = root / FOLDERS[name]
            (place / "tmp").mkdir(parents=True, exist_ok=True)
            settings = {
                "PIP_USER": "0",
                "PIP_REQUIRE_VIRTUALENV": "0",
                "TMPDIR": str(place / "tmp"),
            }
            with (place / "log").open("wb") as log, undisturbed():
                children[name] = subprocess.Popen(
                    command,
                    cwd=folders[name],
                    env=BUILDING | os.environ | settings,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        failed = [name for name, child in children.items() if child.wait()]
    finally:
        with undisturbed():
            for child in children.values():
                if child.poll() is None:  # interrupted: it goes, with the compilers it started
                    os.killpg(child.pid, signal.SIGKILL)
                    child.wait()
    return {name: (root / FOLDERS[name] / "log").read_text("utf-8", "replace") for name in failed}


def _told(failed: Mapping[SideName, str]) -> str:
    ends = {name: "\n".join(text.rstrip().splitlines()[-20:]) for name, text in failed.items()}
    return "\n".join(
        f"the {name} could not be built; pip's last lines:\n{end}" for name, end in ends.items()
    )


def _buildable(folder: Path) -> bool:
    """Whether this environment has what the project's build requires."""
    try:
        needs = map(
            Requirement, pyproject(folder).get("build-system", {}).get("requires", ["setuptools"])
        )
        return all(
            need.specifier.contains(metadata.version(need.name), prereleases=True)
            for need in needs
            if need.marker is None or need.marker.evaluate()
        )
    except (InvalidRequirement, metadata.PackageNotFoundError):
        return False
