"""Projects that are built in a moment, wheels made by hand, and programs that show the result."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.gate.support.processes import SUITES
from tests.support.checkouts import write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flopline.gate.sides.environment import Side

OWN_BACKEND = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
SHOW_VALUE = (
    "import subject; from importlib.metadata import version; "
    "print(subject.VALUE, version('subject'))"
)
RUN_SIDES = (str(Path(__file__).with_name("run_sides.py")), SHOW_VALUE)
"""Arguments of a Python that builds two sides, whose start and baseline follow, and runs both."""


def project(
    folder: Path,
    version: str,
    *,
    before: str = "pass",
    needs: Sequence[str] = (),
    build_needs: Sequence[str] = (),
    source: str = "src/",
) -> Path:
    """Writes a project that is built in a moment and whose value tells its version.

    Args:
        folder: Where it is written.
        version: Its version.
        before: Python code that its build runs first.
        needs: Its requirements.
        build_needs: Requirements that its build reports when it is asked, not in pyproject.toml.
        source: The folder of its package, with a slash at the end.
    """
    settings = {
        "version": version,
        "before": before,
        "needs": list(needs),
        "build_needs": list(build_needs),
    }
    files = {
        "pyproject.toml": OWN_BACKEND,
        "backend.py": (SUITES / "backend" / "backend.py").read_text("utf-8"),
        "build.json": json.dumps(settings),
        f"{source}subject/__init__.py": f"VALUE = 'value of {version}'\n",
    }
    return write(folder, files)


def wheel(folder: Path, name: str, version: str) -> None:
    """Writes a wheel that holds one module with its version."""
    folder.mkdir(exist_ok=True)
    facts = f"{name}-{version}.dist-info"
    files = {
        f"{facts}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{facts}/WHEEL": (
            "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        ),
        f"{name}/__init__.py": f"VERSION = '{version}'\n",
    }
    files[f"{facts}/RECORD"] = "".join(f"{file},,\n" for file in files)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)


def install(python: Path, *arguments: str) -> None:
    """Installs something with pip into another environment, without its requirements."""
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    options = ["--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    subprocess.run([*pip, *options, *arguments], check=True)


def run(side: Side, program: str = SHOW_VALUE) -> str:
    """Returns what a program prints that a side runs."""
    done = subprocess.run(
        [side.python, "-P", "-c", program],
        cwd=side.tree,
        env=os.environ | side.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
