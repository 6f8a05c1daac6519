"""The clock of all child processes, with real ones."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from flopline.gate.measure.worker.flopline_worker import children, meter
from flopline.gate.measure.worker.flopline_worker.children import Children, are_there_any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

USED = 0.05
"""CPU seconds that a child spends at least."""
WORK = f"""
import sys, time
end = time.process_time() + {USED}
while time.process_time() < end:
    pass
sys.stdout.write("done")
sys.stdout.flush()
sys.stdin.read()
"""
NESTED = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {WORK!r}])"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Children:
    """The clock of a process that had no children yet."""
    fresh = Children()
    fresh.look()
    fresh.look()
    monkeypatch.setattr(meter, "CHILDREN", fresh)
    return fresh


@pytest.fixture
def started() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts a child that works, and returns it when it has done so and waits for its input."""
    processes = []

    def start(code: str = WORK) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", code]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe)
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.read(4) == b"done"
        return process

    yield start
    for process in processes:
        process.communicate()


def read(work: Callable[[], object]) -> float:
    """Returns the CPU seconds of children that a meter reads around some work."""
    measured = meter.Meter()
    with measured:
        work()
    return measured.reading(1).children


def test_without_children_nothing_is_read(clock: Children, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not are_there_any()
    clock.look()  # others have ended before
    clock.look()
    assert (clock.watching, clock.clocks) == (False, [])
    monkeypatch.setattr(children, "reaped", lambda: pytest.fail("it was read"))
    assert read(lambda: None) == 0


@pytest.mark.parametrize("code", [WORK, NESTED], ids=["a child", "a grandchild"])
@pytest.mark.usefixtures("clock")
def test_a_child_counts_that_lives_and_dies_in_a_batch(
    started: Callable[..., subprocess.Popen[bytes]], code: str
) -> None:
    for _ in range(2):
        assert read(lambda: started(code).communicate()) >= USED


@pytest.mark.parametrize("code", [WORK, NESTED], ids=["a child", "a grandchild"])
def test_a_child_counts_once_that_goes_on_living(
    clock: Children, started: Callable[..., subprocess.Popen[bytes]], code: str
) -> None:
    assert read(lambda: started(code)) >= USED
    assert are_there_any()
    assert len(clock.clocks) == (2 if code == NESTED else 1)
    assert read(lambda: None) < USED / 2  # it waits


def test_a_child_that_ends_takes_along_only_what_it_used_in_the_batch(
    clock: Children, started: Callable[..., subprocess.Popen[bytes]]
) -> None:
    process = started()
    clock.look()
    process.kill()
    assert read(process.wait) < USED / 2


def test_a_child_that_was_not_waited_for_counts_and_is_left_to_the_test(
    clock: Children, started: Callable[..., subprocess.Popen[bytes]]
) -> None:
    process = started()
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    clock.look()
    assert clock.used() >= USED * 1e9
    assert process.wait() == -9


def test_a_batch_in_which_children_only_wait_uses_no_time_of_theirs(
    clock: Children, started: Callable[..., subprocess.Popen[bytes]]
) -> None:
    started()
    clock.look()
    assert read(lambda: time.sleep(0.01)) < 5e-3
