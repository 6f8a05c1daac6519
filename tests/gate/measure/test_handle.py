from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

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


def test_closing_ends_everything_that_a_worker_started(
    tmp_path: Path, peer: tuple[int, int]
) -> None:
    worker = start_program(tmp_path, peer, f"{sys.executable} -c 'import time; time.sleep(99)' &")
    with pytest.raises(WorkerGoneError, match="exit code 0"):
        worker.receive()
    worker.close()  # the fixture `marker` finds what is still alive
