"""Temporary folders end with their run, or with the next one."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

import pytest

from flopline.gate.temporary import OWNER, remove_dead, temporary_folder
from tests.gate.support.processes import gone

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import subprocess, sys, tempfile
from flopline.gate.temporary import temporary_folder
tempfile.tempdir = sys.argv[1]
with temporary_folder("flopline-") as folder:
    (folder / "0").mkdir()
    inside = {"TMPDIR": f"{folder}/0", "MARKER": sys.argv[2]}
    sleeper = subprocess.Popen(["sleep", "90"], env=inside, stdout=subprocess.DEVNULL)
    print(folder, flush=True)
    input()
    sleeper.kill()
"""


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def holder(scratch: Path, marker: str = "nobody") -> subprocess.Popen[bytes]:
    """Starts another program that holds a folder until it is told to end."""
    program = [sys.executable, "-c", HOLD, str(scratch), marker]
    process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_a_folder_ends_with_its_block_whatever_lies_in_it(scratch: Path) -> None:
    with temporary_folder("flopline-") as folder:
        locked = folder / "locked"
        locked.mkdir()
        (locked / "file").touch()
        locked.chmod(0o500)
    assert list(scratch.iterdir()) == []


def test_a_run_removes_what_a_killed_one_left_and_ends_its_processes(scratch: Path) -> None:
    marker = f"MARKER=killed-{os.getpid()}"
    with holder(scratch, marker) as process:
        process.kill()
    assert len(list(scratch.iterdir())) == 1
    remove_dead()
    assert list(scratch.iterdir()) == []
    assert gone(marker)


def test_the_folder_of_a_living_run_is_never_removed(scratch: Path) -> None:
    with holder(scratch) as process, temporary_folder("flopline-") as own:
        remove_dead()
        assert len(list(scratch.iterdir())) == 2
        assert own.is_dir()
        process.communicate(b"\n")
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("kind", ["unmarked", "of another machine", "a link", "a linked mark"])
def test_a_folder_that_no_run_here_has_made_is_never_removed(scratch: Path, kind: str) -> None:
    folder = scratch / "flopline-checkout"
    if kind == "a link":
        folder.symlink_to(scratch / "elsewhere")
        (scratch / "elsewhere").mkdir()
        (scratch / "elsewhere" / OWNER).write_text(os.uname().nodename)
    else:
        folder.mkdir()
    if kind == "of another machine":
        (folder / OWNER).write_text("another.example.org")
    if kind == "a linked mark":
        (scratch / "mark").write_text(os.uname().nodename)
        (folder / OWNER).symlink_to(scratch / "mark")
    before = sorted(scratch.iterdir())
    remove_dead()
    assert sorted(scratch.iterdir()) == before
