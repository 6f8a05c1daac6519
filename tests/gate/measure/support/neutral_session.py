"""A session of pytest with the plugin that neutralises others, and made-up plugins for it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.gate.support.make_sides import LIGHT

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import sys
import pytest
from flopline.gate.measure.worker.flopline_worker.neutral import NeutralPlugin
from flopline.gate.measure.worker.flopline_worker.codspeed import CodspeedPlugin

class Late:
    def pytest_configure(self, config):
        config.pluginmanager.register(CodspeedPlugin())

sys.exit(pytest.main(sys.argv[1:], plugins=[Late(), NeutralPlugin()]))
"""
CODSPEED = """
import pytest

def pytest_addoption(parser):
    parser.addoption("--codspeed", action="store_true", default=False)
    parser.addoption("--codspeed-mode", choices=["walltime", "simulation"])

def pytest_configure(config):
    raise AssertionError("it was started")

def pytest_sessionstart(session):
    pytest.register_fixture(name="benchmark", func=codspeed_benchmark, node=session)

def pytest_runtest_protocol(item, nextitem):
    raise AssertionError("it wrapped a test")

@pytest.fixture
def codspeed_benchmark(request):
    raise AssertionError("its fixture was used")
"""
"""A plugin that does what pytest-codspeed does."""
QUICK = ("-rA", "--benchmark-max-time=0.01", "--benchmark-min-rounds=1")


def install(folder: Path, distribution: str, name: str, text: str) -> None:
    """Installs a plugin into a folder, as pip would.

    Args:
        folder: The folder; it must be on the path of the session.
        distribution: The name of its distribution.
        name: The name that it has in pytest.
        text: Its module.
    """
    module = f"made_up_{name.replace('-', '_')}"
    facts = folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[pytest11]\n{name} = {module}\n")
    (folder / f"{module}.py").write_text(text)


def run(folder: Path, *arguments: str, path: Path | None = None) -> tuple[int, str]:
    """Runs the tests in a folder, and returns the exit status and the output.

    Args:
        folder: The suite.
        arguments: Arguments for pytest.
        path: Where made-up plugins are installed.
    """
    temporary = folder.parent / "temporary"
    temporary.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(path or ""), "TMPDIR": str(temporary)}
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, *LIGHT, *QUICK, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return ended.returncode, ended.stdout + ended.stderr
