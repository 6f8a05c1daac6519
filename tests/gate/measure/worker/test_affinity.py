"""A worker moves its threads and every process that it has started."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flopline.gate.measure.orphans import adopted
from flopline.gate.measure.worker.flopline_worker import affinity
from flopline.gate.measure.worker.flopline_worker.affinity import pin
from flopline.gate.measure.worker.flopline_worker.processes import KERNEL, standing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ALL = sorted(os.sched_getaffinity(0))
pytestmark = pytest.mark.skipif(len(ALL) < 2, reason="there is only one CPU")
SLEEP = "import time; time.sleep(60)"
CHILDREN = {
    "a child": [sys.executable, "-c", SLEEP],
    "in another session": ["setsid", sys.executable, "-c", SLEEP],
    "a grandchild": [
        sys.executable,
        "-c",
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SLEEP!r}])",
    ],
}


@pytest.fixture(autouse=True)
def everywhere_again() -> Iterator[None]:
    yield
    pin(ALL)


def eventually(is_so: Callable[[], bool]) -> bool:
    """Returns whether something comes true within 20 seconds."""
    deadline = time.monotonic() + 20
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.02)
    return is_so()


def children_of(process: int) -> list[int]:
    listed = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii")
    return [int(number) for number in listed.split()]


def test_pinning_moves_every_thread() -> None:
    stop = threading.Event()
    helper = threading.Thread(target=stop.wait, args=(20,))
    helper.start()
    try:
        pin(ALL[:1])
        for thread in (0, helper.native_id or 0):
            assert os.sched_getaffinity(thread) == {ALL[0]}
    finally:
        stop.set()
        helper.join()


@pytest.mark.parametrize("kind", CHILDREN)
def test_pinning_moves_the_processes_that_were_started(kind: str) -> None:
    pin(ALL[:1])
    with subprocess.Popen(CHILDREN[kind]) as process:
        assert eventually(lambda: kind != "a grandchild" or bool(children_of(process.pid)))
        members = [process.pid, *children_of(process.pid)]
        pin(ALL)
        for member in members:
            assert os.sched_getaffinity(member) == set(ALL)
        for member in reversed(members):
            os.kill(member, 9)


def test_pinning_moves_a_daemon_that_has_lost_its_parent_and_its_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(affinity, "TEMPORARY", f"TMPDIR={tmp_path}\0".encode())
    monkeypatch.setattr(affinity, "KERNEL", KERNEL._replace(parent=os.getpid))
    number = tmp_path / "number"
    daemon = f"setsid sh -c 'echo $$ > {number}; exec sleep 60' &"
    pin(ALL[:1])
    with adopted():
        subprocess.run(["sh", "-c", daemon], check=True)
        assert eventually(lambda: number.exists() and bool(number.read_text()))
        pin(ALL)
        assert os.sched_getaffinity(int(number.read_text())) == set(ALL)


def test_orphans_are_looked_for_only_when_a_child_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[int] = []

    def look() -> dict[int, int]:
        looked.append(1)
        return {}

    monkeypatch.setattr(affinity, "ORPHANS", affinity.Orphans())
    monkeypatch.setattr(affinity, "orphans", look)
    subprocess.run(["true"], check=True)
    for _ in range(3):
        pin(ALL)
    assert len(looked) == 1
    subprocess.run(["true"], check=True)
    for _ in range(3):
        pin(ALL)
    assert len(looked) == 2


def test_orphans_are_looked_for_again_when_one_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    place = standing(os.getpid())
    assert place is not None
    found = iter([{os.getpid(): place.born, 2**22: 7}, {}])
    monkeypatch.setattr(affinity, "orphans", lambda: next(found))
    known = affinity.Orphans()
    known.faults = -1
    assert known.present() == [os.getpid(), 2**22]
    assert known.present() == []
    assert known.present() == []


def test_a_process_that_may_not_be_moved_stays_and_the_others_move(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(process: int, cpus: object) -> None:
        if process == child.pid:
            raise PermissionError
        os.sched_setaffinity(process, ALL if cpus == ALL else ALL[:1])

    with subprocess.Popen(["sleep", "60"]) as child:
        monkeypatch.setattr(affinity, "KERNEL", KERNEL._replace(move=refuse))
        pin(ALL[:1])
        assert os.sched_getaffinity(0) == {ALL[0]}
        assert os.sched_getaffinity(child.pid) == set(ALL)
        child.kill()


def test_pinning_works_while_a_test_has_replaced_the_file_system(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gone(*_: object) -> None:
        raise FileNotFoundError

    with monkeypatch.context() as patched:
        for name in ("listdir", "open", "sched_setaffinity"):
            patched.setattr(os, name, gone)
        with contextlib.suppress(FileNotFoundError):
            pin(ALL[:1])
    assert os.sched_getaffinity(0) == {ALL[0]}
