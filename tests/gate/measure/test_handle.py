from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from flopline.gate.measure import handle as handles
from flopline.gate.measure.handle import WorkerError, WorkerGoneError, WorkerHandle
from flopline.gate.measure.patience import Patience
from flopline.gate.measure.worker.flopline_worker.protocol import (
    BatchSize,
    Bye,
    Collection,
    Hello,
    Order,
    SizeBatch,
)
from tests.gate.support.make_sides import LIGHT, make_side

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("marker")


@pytest.fixture
def peer() -> Iterator[tuple[int, int]]:
    """A pipe in the place of the other worker."""
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)
    os.close(writing)


@pytest.fixture
def worker(tmp_path: Path, peer: tuple[int, int]) -> Iterator[WorkerHandle]:
    """A worker whose suite is empty, and that waits for an order."""
    side = make_side("candidate", tmp_path)
    handle = WorkerHandle.start(side, LIGHT, dict(os.environ), peer)
    try:
        assert isinstance(handle.receive(), Hello)
        assert isinstance(handle.receive(), Collection)
        yield handle
    finally:
        handle.close()


def start_program(folder: Path, peer: tuple[int, int], *lines: str) -> WorkerHandle:
    """Starts a shell script instead of a Python."""
    program = folder / "program"
    program.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    program.chmod(0o755)
    side = make_side("candidate", folder, python=str(program))
    return WorkerHandle.start(side, [], dict(os.environ), peer)


def test_a_worker_answers_until_it_is_finished(worker: WorkerHandle) -> None:
    worker.send(SizeBatch(seconds=1e-4, at_most=None))
    assert isinstance(worker.receive(), BatchSize)
    worker.send(Order([]))
    assert isinstance(worker.receive(), Bye)


def test_a_worker_has_a_process_group_of_its_own(worker: WorkerHandle) -> None:
    assert os.getpgid(worker.process.pid) == worker.process.pid


def test_a_worker_that_was_killed_is_gone_for_sending_and_receiving(worker: WorkerHandle) -> None:
    os.kill(worker.process.pid, signal.SIGKILL)
    with pytest.raises(WorkerGoneError, match="crashed: killed by signal SIGKILL") as error:
        worker.receive()
    with pytest.raises(WorkerGoneError, match="killed by signal SIGKILL"):
        worker.send(Order([]))
    assert (error.value.side, error.value.outcome) == ("candidate", "crashed")


def test_a_worker_that_sends_nothing_hangs_after_the_silence(
    worker: WorkerHandle,
) -> None:
    worker.patience = Patience(quiet=0.2)
    with pytest.raises(WorkerGoneError, match="nothing received for") as error:
        worker.receive()
    assert (error.value.side, error.value.outcome) == ("candidate", "hung")


def test_a_python_that_does_not_exist_is_an_error_that_names_the_side(
    tmp_path: Path, peer: tuple[int, int]
) -> None:
    side = make_side("baseline", tmp_path, python="/nowhere/python")
    with pytest.raises(WorkerError, match="baseline: /nowhere/python could not be started"):
        WorkerHandle.start(side, [], dict(os.environ), peer)


def test_output_of_any_size_does_not_block_a_worker_and_its_end_is_kept(
    tmp_path: Path, peer: tuple[int, int]
) -> None:
    loop = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done"
    worker = start_program(tmp_path, peer, loop)
    try:
        with pytest.raises(WorkerGoneError, match="exit code 0"):
            worker.receive()
        assert worker.tail(2) == "line 19998\nline 19999"
    finally:
        worker.close()


def test_the_error_that_pytest_itself_failed_with_comes_first(
    tmp_path: Path, peer: tuple[int, int]
) -> None:
    lines = ["echo 'INTERNALERROR> some.MadeUpError: it broke'", *["echo later"] * 20]
    worker = start_program(tmp_path, peer, *lines)
    try:
        with pytest.raises(WorkerGoneError):
            worker.receive()
        assert worker.tail(2) == "some.MadeUpError: it broke\nlater\nlater"
    finally:
        worker.close()


def sending(folder: Path, peer: tuple[int, int], line: str) -> WorkerHandle:
    """Starts a program that sends what this Python expression gives, and waits."""
    program = f"import os, sys, time; os.write(int(sys.argv[4]), {line}); time.sleep(99)"
    return start_program(folder, peer, f"""exec {sys.executable} -c "{program}" "$@" """)


@pytest.mark.parametrize("line", ["b'hello\\n'", "b'{}\\n'", "b'\\xff\\n'", "b'7\\n'"])
def test_a_line_that_is_no_message_is_the_workers_end(
    tmp_path: Path, peer: tuple[int, int], line: str
) -> None:
    worker = sending(tmp_path, peer, line)
    try:
        with pytest.raises(WorkerGoneError, match="candidate: crashed: it sent a line") as error:
            worker.receive()
    finally:
        worker.close()
    assert (error.value.side, error.value.outcome) == ("candidate", "crashed")


def test_a_line_without_end_is_not_collected_for_ever(
    tmp_path: Path, peer: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handles, "LONGEST", 1 << 20)
    worker = sending(tmp_path, peer, "b'x' * (1 << 22)")
    try:
        with pytest.raises(WorkerGoneError, match="a line of more than 1 MiB"):
            worker.receive()
    finally:
        worker.close()


def test_the_kernel_tells_the_cpu_time_of_a_live_worker_only(worker: WorkerHandle) -> None:
    before = worker.cpu_seconds()
    worker.send(SizeBatch(seconds=1e-3, at_most=None))
    worker.receive()
    assert (worker.cpu_seconds() or 0) > (before or 0) > 0
    worker.process.kill()
    worker.process.wait()
    assert worker.cpu_seconds() is None


def test_closing_ends_everything_that_a_worker_started(
    tmp_path: Path, peer: tuple[int, int]
) -> None:
    worker = start_program(tmp_path, peer, f"{sys.executable} -c 'import time; time.sleep(99)' &")
    with pytest.raises(WorkerGoneError, match="exit code 0"):
        worker.receive()
    worker.close()  # the fixture `marker` finds what is still alive
