from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import sys
import textwrap
import uuid
from pathlib import Path

import pytest

from flopline.gate.measure import handle as child
from flopline.gate.measure.handle import (
    Collected,
    SuiteError,
    Worker,
    WorkerError,
    WorkerGoneError,
    collect,
    pair,
    shared_environment,
)
from tests.gate.support.processes import SUITES, Version, gone, living

pytestmark = pytest.mark.usefixtures("marker")
BEFORE = "test_faults.py::test_before"


@pytest.fixture
def sides(tmp_path: Path) -> list[Version]:
    """Two copies of the suite of faults, none of which is wanted."""
    baseline, candidate = (
        shutil.copytree(SUITES / "faults", tmp_path / name) for name in ("base", "cand")
    )
    return [Version("baseline", baseline), Version("candidate", candidate)]


def collected(sides: list[Version], *arguments: str) -> list[Collected]:
    """As `collect`, but the workers are ended at once instead of waiting for the end of their sessions."""
    with pair(sides, arguments, hash_seed=1, padding=0) as (_, found):
        return found


def test_each_side_says_what_it_is_and_what_it_has(sides: list[Version]) -> None:
    (sides[0].tree / "test_broken.py").write_text("import nothing_of_this_name\n")
    (sides[1].tree / "test_more.py").write_text(
        "def test_more(benchmark):\n    benchmark(int)\ndef test_no(): pass\n"
    )
    baseline, candidate = collect(sides, [])
    for found in (baseline, candidate):
        assert found.python == platform.python_version()
        assert "pytest-benchmark" in found.packages
        assert isinstance(found.randomised, bool)
        assert found.items[BEFORE][0] == "test_faults.py"
    assert list(candidate.items) == [*baseline.items, "test_more.py::test_more"]
    assert candidate.errors == []
    (error,) = baseline.errors  # and the other file is kept
    assert error[0] == "test_broken.py"
    assert "No module named 'nothing_of_this_name'" in error[1]


def test_a_changed_benchmark_has_another_hash_and_its_neighbours_have_not(
    sides: list[Version],
) -> None:
    file = sides[1].tree / "test_faults.py"
    file.write_text(
        file.read_text().replace(
            "def test_before(benchmark):", "def test_before(benchmark):\n    pass"
        )
    )
    baseline, candidate = (found.items for found in collected(sides))
    assert {name for name in baseline if baseline[name] != candidate[name]} == {BEFORE}


def test_a_suite_without_benchmarks_has_no_items(sides: list[Version]) -> None:
    for side in sides:
        (side.tree / "test_faults.py").write_text("def test_something_else(): pass\n")
    assert [(found.items, found.errors) for found in collected(sides)] == [({}, []), ({}, [])]


def test_arguments_choose_among_the_benchmarks(sides: list[Version]) -> None:
    assert [list(found.items) for found in collected(sides, "-k", "before")] == [[BEFORE], [BEFORE]]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["-n", "2"], "xdist"),
        (["--benchmark-skip"], "--benchmark-skip is set"),
    ],
)
def test_arguments_under_which_nothing_is_timed_are_refused(
    sides: list[Version], arguments: list[str], text: str
) -> None:
    with pytest.raises(SuiteError, match=text):
        collect(sides, arguments)


def test_arguments_that_pytest_refuses_are_an_error_with_its_own_words(
    sides: list[Version],
) -> None:
    (sides[0].tree / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    with pytest.raises(WorkerError, match=r"(?s)baseline: .*exit code 4.*--no-such-option"):
        collect(sides, [])


@pytest.mark.parametrize("slot", [0, 1])
def test_a_python_that_does_not_exist_is_an_error_that_names_the_side(
    sides: list[Version], slot: int
) -> None:
    sides[slot] = Version(sides[slot].name, sides[slot].tree, python="/nowhere/python")
    with pytest.raises(
        WorkerError, match=rf"{sides[slot].name}: /nowhere/python could not be started"
    ):
        collect(sides, [])


@pytest.mark.parametrize("slot", [0, 1])
def test_a_python_without_pytest_is_an_error_that_names_the_side(
    tmp_path: Path, sides: list[Version], slot: int
) -> None:
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    sides[slot] = Version(sides[slot].name, sides[slot].tree, python=str(bare))
    with pytest.raises(WorkerError, match=rf"(?s){sides[slot].name}: .*No module named 'pytest'"):
        collect(sides, [])


def test_a_python_that_ends_at_once_is_an_error_with_its_output(
    tmp_path: Path, sides: list[Version]
) -> None:
    dying = tmp_path / "dying"
    dying.write_text("#!/bin/sh\necho cannot go on\nexit 9\n")
    dying.chmod(0o755)
    sides[1] = Version("candidate", sides[1].tree, python=str(dying))
    with pytest.raises(
        WorkerError, match=r"candidate: the worker crashed: exit code 9; cannot go on"
    ):
        collect(sides, [])


def test_an_unknown_pytest_benchmark_is_refused_by_its_parameters(
    tmp_path: Path, sides: list[Version]
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "from pytest_benchmark.fixture import BenchmarkFixture\n"
        "BenchmarkFixture._raw = lambda self, function, how_often: None\n"
    )
    sides[1] = Version("candidate", sides[1].tree, {"PYTHONPATH": str(tmp_path)})
    with pytest.raises(
        WorkerError, match=r"(?s)candidate: .*not supported.*\('self', 'function', 'how_often'\)"
    ):
        collect(sides, [])


def test_both_workers_have_one_environment_but_for_slot_and_folder(
    sides: list[Version], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/of/the/coordinator")
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option")
    with pair(sides, [], hash_seed=7, padding=11) as (workers, _):
        found = [environment(worker.process.pid) for worker in workers]
        groups = {os.getpgid(worker.process.pid) for worker in workers}
    assert groups == {worker.process.pid for worker in workers}
    assert [one.pop("FLOPLINE_SLOT") for one in found] == ["0", "1"]
    folders = [one.pop("TMPDIR") for one in found]
    assert len(set(map(len, folders))) == 1
    assert folders[0] != folders[1]
    assert found[0] == found[1]
    assert found[0]["PYTHONHASHSEED"] == "7"
    assert found[0]["FLOPLINE_PADDING"] == 11 * "x"
    assert not {"PYTHONPATH", "PYTEST_ADDOPTS"} & set(found[0])


def environment(process: int) -> dict[str, str]:
    pairs = Path(f"/proc/{process}/environ").read_bytes().decode().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def test_the_padding_alone_decides_the_size_of_the_environment() -> None:
    small, large = (shared_environment(5, padding) for padding in (0, 100))
    assert {key for key in small if small[key] != large[key]} == {"FLOPLINE_PADDING"}
    assert len(large["FLOPLINE_PADDING"]) == 100


def test_a_worker_that_was_killed_is_gone_whether_it_is_told_or_heard(sides: list[Version]) -> None:
    with pair(sides, [], hash_seed=1, padding=0) as (workers, _):
        os.kill(workers[1].process.pid, signal.SIGKILL)
        with pytest.raises(
            WorkerGoneError, match="candidate: crashed: killed by signal SIGKILL"
        ) as heard:
            workers[1].hear()
        with pytest.raises(WorkerGoneError, match="killed by signal SIGKILL"):
            workers[1].tell("order", ids=[])
        assert (heard.value.side, heard.value.outcome) == ("candidate", "crashed")
        assert workers[0].ask("calibrate", seconds=1e-4, most=None)["say"] == "calibrated"


def test_a_worker_that_has_nothing_to_say_hangs_after_the_silence(
    sides: list[Version], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pair(sides, [], hash_seed=1, padding=0) as (workers, _):
        monkeypatch.setattr(child, "SILENCE", 0.2)
        with pytest.raises(WorkerGoneError, match="nothing heard") as heard:
            workers[0].hear()
        assert (heard.value.side, heard.value.outcome) == ("baseline", "hung")


def test_an_interruption_while_workers_live_ends_them_and_removes_the_folder(
    tmp_path: Path, sides: list[Version], marker: str
) -> None:
    def interrupted() -> None:
        with pair(sides, [], hash_seed=1, padding=0):
            assert len(living(marker)) == 2
            assert len(list((tmp_path / "temporary").glob("flopline-*"))) == 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert gone(marker)
    assert list((tmp_path / "temporary").iterdir()) == []


def test_workers_end_when_their_coordinator_is_killed(tmp_path: Path, sides: list[Version]) -> None:
    marker = f"orphan-{uuid.uuid4()}"
    program = f"""
        import time
        from pathlib import Path
        from types import SimpleNamespace
        from flopline.gate.child import pair
        sides = [
            SimpleNamespace(name=name, python={sys.executable!r}, tree=Path(tree), environment={{}})
            for name, tree in {[(side.name, str(side.tree)) for side in sides]}
        ]
        with pair(sides, [], hash_seed=1, padding=0):
            print("collected", flush=True)
            time.sleep(1000)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdout=subprocess.PIPE,
        env={**os.environ, "ORPHAN": marker, "TMPDIR": str(tmp_path)},
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"collected\n"
        alive = living(marker) - {process.pid}
        process.kill()
    assert len(alive) == 2
    assert gone(marker)


def test_output_of_any_size_does_not_block_a_worker_and_its_end_is_kept(tmp_path: Path) -> None:
    loud = tmp_path / "loud"
    loud.write_text("#!/bin/sh\ni=0\nwhile [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done\n")
    loud.chmod(0o755)
    reading, writing = os.pipe()
    try:
        worker = Worker.start(
            Version("baseline", tmp_path, python=str(loud)),
            [],
            dict(os.environ),
            (reading, writing),
        )
        try:
            with pytest.raises(WorkerGoneError, match="exit code 0"):
                worker.hear()
            assert worker.tail(2) == "line 19998\nline 19999"
        finally:
            worker.close()
    finally:
        os.close(reading)
        os.close(writing)
