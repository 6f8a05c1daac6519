"""A package of one function with a suite, which asv builds and measures offline."""

from __future__ import annotations

import json
import shutil
import sys
import zipfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from asv import util

from tests.history.support import toy

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[3]
SUITE = ROOT / "tests" / "suites" / "history"

NEEDED_BY_ASV = ("asv_runner", "build", "packaging", "pympler", "pyproject_hooks", "wheel")
"""The distributions that asv installs into an environment of its own."""


@dataclass
class Package(toy.Project):
    """A package with one commit for each version of its function, and no results.

    The versions are `plain`, `broken` (which does not compile), `slowed` (by a factor of 100, so
    that no noise can hide it) and `faulty` (with functions that fail or never return).
    """

    @property
    def environment(self) -> dict[str, str]:
        """The variables that keep a run away from the user's home and from the network."""
        parent = self.root.parent
        return {
            "HOME": str(parent),
            "FLOPLINE_DATA": "surrogate",
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(parent),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_COMPILE": "1",
        }


VERSIONS = ("plain.py", "broken.txt", "slowed.py", "faulty.py")


def create(root: Path) -> Package:
    """Makes the package, and beside it the wheels from which asv makes its environment."""
    root.mkdir()
    toy.git(root, "init", "-q")
    package = Package(root)
    shutil.copytree(SUITE / "benchmarks", root / "benchmarks")
    shutil.copy(ROOT / "benchmarks" / "__init__.py", root / "benchmarks")
    shutil.copy(SUITE / "backend.py", root)
    shutil.copy(SUITE / "pyproject.toml", root)
    (root / "asv.conf.json").write_text(json.dumps(_configuration()))
    toy.git(root, "add", ".")
    source = root / "src" / "toy"
    source.mkdir(parents=True)
    for version in VERSIONS:
        shutil.copy(SUITE / "versions" / version, source / "__init__.py")
        toy.git(root, "add", "src")
        package.commit(version)
    for name in NEEDED_BY_ASV:
        _write_wheel(name, root.parent)
    return package


def _configuration() -> dict[str, object]:
    """Returns the toy's configuration, with the commands by which flopline's own is built."""
    ours = util.load_json(str(ROOT / "asv.conf.json"), js_comments=True)
    configuration: dict[str, object] = dict(toy.CONFIGURATION)
    configuration["env_dir"] = ".asv/env"
    configuration["pythons"] = [f"{sys.version_info.major}.{sys.version_info.minor}"]
    for name in ("build_command", "install_command", "launch_method"):
        configuration[name] = ours[name]
    return configuration


def _write_wheel(name: str, folder: Path) -> None:
    """Makes a wheel of an installed distribution, so that asv's environment needs no index."""
    distribution = metadata.distribution(name)
    path = folder / f"{name}-{distribution.version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for file in _portable(distribution.files or []):
            wheel.write(str(file.locate()), str(file))


def _portable(files: Sequence[metadata.PackagePath]) -> list[metadata.PackagePath]:
    """Returns the files that belong into a wheel: no byte code and no scripts."""
    return [file for file in files if not {"__pycache__", ".."} & set(file.parts)]
