"""What a suite has started and left behind ends with the block, and nothing else does."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flopline.gate.measure.orphans import HOUSEHOLD, adopted, adopts
from flopline.gate.measure.pair import pair
from flopline.gate.measure.worker.flopline_worker.protocol import Bye, Order
from tests.gate.support.make_sides import LIGHT, make_side

DAEMON = "setsid sh -c 'echo $$ > {}; exec env -i sleep 90' &"


def started(file: Path) -> int:
    """Returns the process that writes its number to a file, when it has done that."""
    deadline = time.monotonic() + 20
    while not (file.exists() and file.read_text().strip()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return int(file.read_text())


def lives(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


def test_a_daemon_without_parent_session_and_environment_ends_with_the_block(
    tmp_path: Path,
) -> None:
    with adopted():
        subprocess.run(["sh", "-c", DAEMON.format(tmp_path / "n")], check=True)
        daemon = started(tmp_path / "n")
        assert lives(daemon)
    assert not lives(daemon)


def test_what_this_program_has_started_itself_lives_on(tmp_path: Path) -> None:
    program = [sys.executable, "-c", "input()"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, start_new_session=True) as earlier:
        with adopted(), subprocess.Popen(program, stdin=subprocess.PIPE) as own:
            subprocess.run(["sh", "-c", DAEMON.format(tmp_path / "n")], check=True)
            daemon = started(tmp_path / "n")
            with adopted():
                pass
            assert own.poll() is None
            own.communicate(b"\n")
        assert earlier.poll() is None
        earlier.communicate(b"\n")
    assert not lives(daemon)


def daemon_in(folder: Path, *, marked: bool) -> int:
    """Starts a daemon of the pair with this folder, with or without its environment."""
    file = folder / f"n-{marked}"
    program = DAEMON if marked is False else DAEMON.replace("env -i ", "")
    environment = os.environ | {"TMPDIR": str(folder / "0")}
    subprocess.run(["sh", "-c", program.format(file)], check=True, env=environment)
    return started(file)


def test_what_one_pair_has_started_lives_as_long_as_that_pair(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    with adopted(first):
        unmarked = daemon_in(first, marked=False)
        with adopted(second):
            marked, other = daemon_in(first, marked=True), daemon_in(second, marked=True)
        assert not lives(other)
        assert lives(marked)
        assert lives(unmarked)
    assert not lives(marked)
    assert not lives(unmarked)


def test_a_session_that_is_noted_is_left_alone_until_it_is_forgotten(tmp_path: Path) -> None:
    with adopted():
        daemon = daemon_in(tmp_path, marked=True)
        HOUSEHOLD.sessions.add(daemon)
        with adopted(tmp_path):
            pass
        assert lives(daemon)
        HOUSEHOLD.forget(daemon)
    assert not lives(daemon)


def test_orphans_come_to_this_program_only_inside_of_the_block() -> None:
    before = adopts()
    with adopted():
        with adopted():
            assert adopts()
        assert adopts()
    assert adopts() is before


@pytest.mark.usefixtures("marker")
def test_a_daemon_that_a_benchmark_starts_does_not_outlive_its_pair(
    tmp_path: Path,
) -> None:
    run = DAEMON.format(tmp_path / "n")
    (tmp_path / "test_daemon.py").write_text(
        "import subprocess\n"
        "def test_daemon(benchmark):\n"
        f"    subprocess.run(['sh', '-c', {run!r}], check=True)\n"
    )
    side = make_side("baseline", tmp_path)
    with pair([side], LIGHT, hash_seed=1, padding=0) as ((handle,), _):
        handle.send(Order(["test_daemon.py::test_daemon"]))
        while not isinstance(handle.receive(), Bye):
            pass
        daemon = started(tmp_path / "n")
        assert lives(daemon)
    assert not lives(daemon)
