"""The folder of the worker, started by its path without flopline, pytest or a suite."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from flopline.gate.measure.parent import WORKER
from flopline.gate.measure.worker.flopline_worker.protocol import Bye, Hello, Message, from_line
from flopline.gate.measure.worker.flopline_worker.session import OF_OTHER_RUNNERS
from tests.gate.support.processes import SUITES

if TYPE_CHECKING:
    from pathlib import Path

ADDR_NO_RANDOMIZE = 0x0040000


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A copy of the worker's folder at a place where there is nothing else of flopline."""
    return shutil.copytree(
        WORKER, tmp_path / "worker", ignore=shutil.ignore_patterns("__pycache__")
    )


def start(folder: Path, *options: str, path: str = "") -> tuple[list[Message], str]:
    """Returns what a worker sends until it ends, and its output."""
    commands, ours = os.pipe()
    messages, theirs = os.pipe()
    descriptors = (commands, theirs, commands, theirs)
    try:
        ended = subprocess.run(
            [sys.executable, "-P", *options, str(folder), *map(str, descriptors), "-k", "x"],
            pass_fds=(commands, theirs),
            env={"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "CODSPEED_ENV": "runner"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        sent = os.read(messages, 1 << 16)
    finally:
        for descriptor in (commands, ours, messages, theirs):
            os.close(descriptor)
    return [from_line(line)[1] for line in sent.splitlines()], ended.stdout + ended.stderr


def test_a_worker_without_pytest_says_so(elsewhere: Path) -> None:
    messages, output = start(elsewhere, "-I", "-S")
    hello, bye = messages
    assert isinstance(hello, Hello)
    assert hello.python == platform.python_version()
    assert bye == Bye(4, "No module named 'pytest'")
    assert output == ""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a session sees that runs a made-up pytest instead of the real one."""
    folder = tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(WORKER, folder / "worker", ignore=shutil.ignore_patterns("__pycache__"))
    (hello, bye), output = start(folder / "worker", "-S", path=str(SUITES / "pytest_that_tells"))
    assert isinstance(hello, Hello)
    assert bye == Bye(0, "")
    facts: dict[str, Any] = json.loads(output)
    return {**facts, "folder": str(folder / "worker"), "randomised": hello.randomised}


def test_the_folder_is_not_on_the_path_of_the_suite(seen: dict[str, Any]) -> None:
    assert seen["folder"] not in seen["path"]
    assert seen["path"][0] == str(SUITES / "pytest_that_tells")


def test_the_worker_imports_nothing_of_flopline_but_itself(seen: dict[str, Any]) -> None:
    ours = {name.partition(".")[0] for name in seen["modules"] if name.startswith("flopline")}
    assert ours == {"flopline_worker"}


def test_pytest_gets_the_arguments_and_no_others(seen: dict[str, Any]) -> None:
    assert seen["argv"] == ["pytest", "-k", "x"]
    assert seen["arguments"] == ["-k", "x"]


def test_pytest_is_not_told_that_another_program_runs_the_tests(seen: dict[str, Any]) -> None:
    assert "PYTHONPATH" in seen["environment"]
    assert not OF_OTHER_RUNNERS & seen["environment"].keys()


def test_it_is_reported_whether_addresses_are_randomised(seen: dict[str, Any]) -> None:
    assert seen["randomised"] is not bool(seen["personality"] & ADDR_NO_RANDOMIZE)
