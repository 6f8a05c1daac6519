"""Projects of known speed to compare, and virtual environments to compare them in."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

HATCHLING = """\
[build-system]
requires = ["hatchling>=1"]
build-backend = "hatchling.build"

[project]
name = "subject"
version = "{version}"
"""
PROJECT = (
    HATCHLING.format(version="1.0")
    + """
[tool.pytest.ini_options]
testpaths = ["benchmarks"]
"""
)
PLAIN = """\
def spin(n):
    total = 0
    for i in range(n):
        total += i
    return total


def work(n=1000):
    return spin(n)
"""
SLOWER = PLAIN.replace("    return spin(n)\n", "    padding(3 * n // 10)\n    return spin(n)\n") + (
    "\n\ndef padding(n):\n    return spin(n)\n"
)
"""The same work and 30 % more of it."""


def venv(folder: Path, *, everything: bool = False) -> Path:
    """Makes a virtual environment without pip and returns its Python.

    With `everything` it also finds all packages of the environment in which the tests run.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    if everything:
        packages = sysconfig.get_path("purelib")
        site(folder, "outer.pth").write_text(f"import site; site.addsitedir({packages!r})\n")
    return folder / "bin" / "python"


def site(folder: Path, *names: str) -> Path:
    """Returns a path inside the folder of a virtual environment's packages."""
    return Path(sysconfig.get_path("purelib", "venv", {"base": str(folder)}), *names)
