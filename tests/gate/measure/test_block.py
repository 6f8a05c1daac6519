from __future__ import annotations

import json
import math
import os
import shutil
import signal
import statistics
import subprocess
import sys
import textwrap
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from flopline.gate.measure import handle as child
from flopline.gate.measure.block import Plan, profiles, run_block
from flopline.gate.measure.calls import differences
from tests.gate.support.processes import SUITES, Version, gone, living

if TYPE_CHECKING:
    from collections.abc import Callable

    from flopline.gate.record import Batch, Block, Quad, SideName

pytestmark = [pytest.mark.judges_times, pytest.mark.usefixtures("marker")]
CPUS = sorted(os.sched_getaffinity(0))
SHAPES, FAULTS = "test_shapes.py::", "test_faults.py::"
BEFORE, FAULT, AFTER = (f"{FAULTS}test_{name}" for name in ("before", "fault", "after"))


def pair_of(
    folder: Path, suite: str, candidate: str = "plain", **facts: str
) -> tuple[Version, Version]:
    """A baseline and a candidate with copies of a suite, the plain subject and another, and more environment."""
    trees = [shutil.copytree(SUITES / suite, folder / name) for name in ("base", "cand")]
    paths = [
        {"PYTHONPATH": str(SUITES / "subjects" / subject), **facts}
        for subject in ("plain", candidate)
    ]
    return Version("baseline", trees[0], paths[0]), Version("candidate", trees[1], paths[1])


def plan(
    *ids: str, seconds: float = 0.02, detect: float = 0.1, slowdown: dict[str, float] | None = None
) -> Plan:
    return Plan("screen", ids, seconds, detect, slowdown or {})


def ratio(quads: list[Quad], time: Callable[[Batch], float | None]) -> float:
    """The median over quads of the mean log-ratio of candidate over baseline, per call."""

    def mean_log(batches: tuple[Batch, ...]) -> float:
        return statistics.fmean(math.log((time(batch) or 0) / batch.calls) for batch in batches)

    return statistics.median(mean_log(quad.candidate) - mean_log(quad.baseline) for quad in quads)


def cpu(batch: Batch) -> float:
    return batch.cpu


def wall(batch: Batch) -> float:
    return batch.wall


def timer(batch: Batch) -> float | None:
    return batch.timer


# What a suite can do


LOST = {
    "test_skipped": ("setup", "skipped", "on both sides"),
    "test_fails_on_both": ("call", "failed", "AssertionError: after timing"),
    "test_raises_on_both": ("call", "failed", "ZeroDivisionError"),
    "test_unused": ("call", "unused", "without calling its benchmark fixture"),
}
TIMED = (
    "test_plain",
    "test_keywords",
    "test_method_and_statistics",
    "test_marker",
    "test_fixture_around_it",
    "test_parameters[ten of them]",
    r"test_parameters[h\xfcndert/[x|y]]",  # as pytest writes it
    "TestInAClass::test_method[10]",
    "test_session_fixture",
    "test_pedantic_promise",
    "test_pedantic_once",
    "test_pedantic_warmup",
    "test_pedantic_setup",
    "test_pedantic_iterations",
    "test_own_timer",
    "test_sleeps",
    "test_prints",
    "test_changes_the_folder",
    "test_finds_its_folder_again",
    "test_enabled",
)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Block:
    """One block of everything in the suite of shapes, and of a test in it that is no benchmark."""
    sides = pair_of(tmp_path_factory.mktemp("shapes"), "shapes")
    ids = [SHAPES + name for name in (*TIMED, *LOST, "test_weave", "test_without_a_benchmark")]
    return run_block(*sides, [], plan(*ids, seconds=0.05), cpus=CPUS)


def test_every_shape_is_timed_on_both_sides(shapes: Block) -> None:
    assert {SHAPES + name for name in TIMED} <= set(shapes.quads)
    for quads in shapes.quads.values():
        assert quads
        for batch in (batch for quad in quads for batch in (*quad.baseline, *quad.candidate)):
            assert batch.calls >= 1
            assert batch.wall > 0
            assert batch.cpu > 0


@pytest.mark.parametrize("name", LOST)
def test_what_cannot_be_timed_on_either_side_is_lost_on_both_with_its_phase_and_outcome(
    shapes: Block, name: str
) -> None:
    loss = shapes.lost[SHAPES + name]
    phase, outcome, text = LOST[name]
    assert (loss.side, loss.phase, loss.outcome) == (None, phase, outcome)
    assert text in loss.text


def test_nothing_is_both_timed_and_lost_and_nothing_is_forgotten(shapes: Block) -> None:
    weave = {SHAPES + "test_weave"}  # needs a package that may be missing
    assert set(shapes.lost) - weave == {SHAPES + name for name in LOST}
    assert not set(shapes.lost) & set(shapes.quads)


def test_a_test_without_the_fixture_is_not_run(shapes: Block) -> None:
    assert SHAPES + "test_without_a_benchmark" not in {**shapes.quads, **shapes.lost}


def test_names_with_spaces_umlauts_and_brackets_survive(shapes: Block) -> None:
    assert {
        SHAPES + rf"test_parameters[{name}]" for name in ("ten of them", r"h\xfcndert/[x|y]")
    } <= set(shapes.quads)


@pytest.mark.parametrize(
    "name", ["test_pedantic_promise", "test_pedantic_once", "test_pedantic_warmup"]
)
def test_no_more_calls_are_made_than_were_promised(shapes: Block, name: str) -> None:
    assert SHAPES + name in shapes.quads  # the suite itself counts its calls


def test_the_folder_that_a_test_changed_is_changed_back(shapes: Block) -> None:
    assert SHAPES + "test_finds_its_folder_again" in shapes.quads  # the suite itself looks


def test_a_quad_has_two_batches_of_each_side_but_one_where_only_one_call_is_allowed(
    shapes: Block,
) -> None:
    once = SHAPES + "test_pedantic_once"
    sizes = {
        name: {(len(q.baseline), len(q.candidate)) for q in quads}
        for name, quads in shapes.quads.items()
    }
    assert sizes.pop(once) == {(1, 1)}
    assert set.union(*sizes.values()) == {(2, 2)}
    assert [len(shapes.quads[name]) for name in (once, SHAPES + "test_pedantic_promise")] == [1, 1]


def test_both_sides_make_equally_many_calls_in_every_batch(shapes: Block) -> None:
    for name, quads in shapes.quads.items():
        assert (
            len({batch.calls for quad in quads for batch in quad.baseline + quad.candidate}) == 1
        ), name


def test_a_timer_of_the_suite_is_recorded_and_no_other(shapes: Block) -> None:
    for name, quads in shapes.quads.items():
        timers = {
            batch.timer is not None for quad in quads for batch in quad.baseline + quad.candidate
        }
        assert timers == {name == SHAPES + "test_own_timer"}, name


def test_what_sleeps_is_timed_wide_and_what_computes_is_not(shapes: Block) -> None:
    assert SHAPES + "test_sleeps" in shapes.wide
    assert (
        statistics.median(q.baseline[0].wall for q in shapes.quads[SHAPES + "test_sleeps"]) >= 0.002
    )
    assert set(shapes.wide) <= {SHAPES + name for name in TIMED}
    assert SHAPES + "test_session_fixture" not in shapes.wide


def test_the_canary_reads_what_it_does_more_and_the_control_reads_nothing(shapes: Block) -> None:
    assert math.log1p(0.05) < ratio(shapes.canary, cpu) < math.log1p(0.2)
    assert abs(ratio(shapes.control, cpu)) < math.log1p(0.05)
    for quad in shapes.canary + shapes.control:
        assert (len(quad.baseline), len(quad.candidate)) == (2, 2)


# What a block does


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Block, Path]:
    """A block of the benchmarks that tell what they saw, and the folder with what they told."""
    folder = tmp_path_factory.mktemp("seen")
    sides = [
        Version(
            side.name,
            side.tree,
            {"TURNS": f"{folder}/turns", "LETTER": letter, "SEEN": f"{folder}/{side.name}-"},
        )
        for side, letter in zip(pair_of(folder, "turns"), "BC", strict=True)
    ]
    names = [f"test_turns.py::test_{name}" for name in ("turns", "awake", "asleep", "gone")]
    told: list[str] = []
    block = run_block(sides[0], sides[1], [], plan(*names), cpus=CPUS, progress=told.append)
    (folder / "told").write_text("\n".join(told))
    return block, folder


def test_turns_are_really_taken_in_abba_or_baab(seen: tuple[Block, Path]) -> None:
    block, folder = seen
    turns = (folder / "turns").read_text()
    assert sorted(turns[:2]) == ["B", "C"]  # thrown away
    quads = [turns[start : start + 4] for start in range(2, len(turns), 4)]
    assert set(quads) <= {"BCCB", "CBBC"}
    assert 1 <= len(quads) == len(block.quads["test_turns.py::test_turns"])
    assert max(turns.count("B"), turns.count("C")) <= 50  # rounds that the author allows a process


def test_progress_names_each_benchmark_in_order(seen: tuple[Block, Path]) -> None:
    block, folder = seen
    assert (folder / "told").read_text().splitlines() == list(block.quads)


def test_a_benchmark_that_a_side_does_not_have_is_neither_timed_nor_lost(
    seen: tuple[Block, Path],
) -> None:
    block, _ = seen
    assert [name.removeprefix("test_turns.py::test_") for name in block.quads] == [
        "turns",
        "awake",
        "asleep",
    ]
    assert block.lost == {}


def test_the_record_tells_what_both_processes_saw(seen: tuple[Block, Path]) -> None:
    block, folder = seen
    slots = (
        {"candidate": "0", "baseline": "1"}
        if block.candidate_first
        else {"candidate": "1", "baseline": "0"}
    )
    for name, slot in slots.items():
        told = json.loads((folder / f"{name}-awake").read_text())
        assert told["slot"] == slot
        assert (told["seed"], told["padding"]) == (str(block.hash_seed), block.padding)
        assert told["timed"] == [block.cpu]
    assert block.cpu in CPUS
    assert block.stage == "screen"
    assert block.seconds > 0
    assert 0 <= block.steal <= 1
    assert isinstance(block.randomised, bool)


def test_what_waits_is_timed_on_all_cpus(seen: tuple[Block, Path]) -> None:
    block, folder = seen
    assert "test_turns.py::test_asleep" in block.wide
    for name in ("baseline", "candidate"):
        told = json.loads((folder / f"{name}-asleep").read_text())
        assert told["timed"] == CPUS
        assert told["threads"] == "1"


def test_each_block_draws_its_own_seed_and_one_of_its_cpus(
    shapes: Block, seen: tuple[Block, Path]
) -> None:
    assert shapes.hash_seed != seen[0].hash_seed
    assert shapes.cpu in CPUS


def test_the_slower_subject_reads_slower_in_one_block_and_its_equal_does_not(
    tmp_path: Path,
) -> None:
    name = SHAPES + "test_plain"
    block = run_block(
        *pair_of(tmp_path, "shapes", "slower"), [], plan(name, seconds=0.1), cpus=CPUS
    )
    assert ratio(block.quads[name], cpu) > 0.03
    assert abs(ratio(block.control, cpu)) < math.log1p(0.05)


def test_a_slowdown_stretches_every_clock_of_the_candidate_there_and_nothing_elsewhere(
    tmp_path: Path,
) -> None:
    stretched, other = SHAPES + "test_own_timer", SHAPES + "test_plain"
    block = run_block(
        *pair_of(tmp_path, "shapes"),
        [],
        plan(stretched, other, seconds=0.1, slowdown={stretched: 1.0}),
        cpus=CPUS,
    )
    for clock in (cpu, wall, timer, lambda batch: batch.process):
        assert ratio(block.quads[stretched], clock) == pytest.approx(math.log(2), abs=0.2)
    assert abs(ratio(block.quads[other], cpu)) < 0.2
    assert math.log1p(0.05) < ratio(block.canary, cpu) < math.log1p(0.2)
    assert {batch.calls for quad in block.quads[stretched] for batch in quad.candidate} == {
        batch.calls for quad in block.quads[stretched] for batch in quad.baseline
    }


def test_options_that_switch_benchmarks_off_or_spread_them_do_neither(tmp_path: Path) -> None:
    sides = pair_of(tmp_path, "faults")
    for side in sides:
        (side.tree / "pytest.ini").write_text("[pytest]\naddopts = -n 2\n")
    block = run_block(*sides, ["--benchmark-disable"], plan(BEFORE), cpus=CPUS)
    assert (set(block.quads), block.lost) == ({BEFORE}, {})


# What goes wrong


def faulty(folder: Path, fault: str, side: SideName = "candidate") -> tuple[Version, Version]:
    """The suite of faults, with one on one side."""
    sides = pair_of(folder, "faults", FAULT=fault)
    for one in sides:
        if one.name == side:
            (one.tree / "candidate.txt").touch()
    return sides


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A progress callback after which a silence of one second in the faulty benchmark is a hang."""
    return lambda name: monkeypatch.setattr(child, "SILENCE", 1.0 if name == FAULT else 120.0)


MILD = {
    "fail": ("failed", "failing here only"),
    "skip": ("skipped", "skipping here only"),
    "raise": ("failed", "KeyError: 'missing'"),
    "late": ("failed", "ValueError: the sixth call fails"),
    "unused": ("unused", "without calling its benchmark fixture"),
}


@pytest.fixture(scope="module", params=["baseline", "candidate"])
def mild(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Block, SideName]:
    """A block in which one side's benchmarks go wrong in every way but a crash, and that side."""
    names = [BEFORE, *(f"{FAULTS}test_mild[{kind}]" for kind in MILD), AFTER]
    sides = faulty(tmp_path_factory.mktemp("mild"), " ".join(MILD), request.param)
    return run_block(*sides, [], plan(*names), cpus=CPUS), request.param


@pytest.mark.parametrize("kind", MILD)
def test_a_benchmark_that_goes_wrong_on_one_side_is_lost_there(
    mild: tuple[Block, SideName], kind: str
) -> None:
    block, side = mild
    outcome, text = MILD[kind]
    loss = block.lost[f"{FAULTS}test_mild[{kind}]"]
    assert (loss.side, loss.phase, loss.outcome) == (side, "call", outcome)
    assert text in loss.text


def test_what_goes_wrong_on_one_side_costs_no_other_benchmark(mild: tuple[Block, SideName]) -> None:
    assert list(mild[0].quads) == [BEFORE, AFTER]
    assert len(mild[0].lost) == len(MILD)


@pytest.mark.parametrize(
    ("fault", "side", "text"),
    [
        ("exit", "candidate", "exit code 7"),
        ("killed", "baseline", "killed by signal SIGKILL"),
        ("forked", "candidate", "exit code 7"),
    ],
)
def test_a_crash_costs_its_benchmark_and_stops_the_block(
    tmp_path: Path, impatient: Callable[[str], None], fault: str, side: SideName, text: str
) -> None:
    sides = faulty(tmp_path, fault, side)
    block = run_block(*sides, [], plan(BEFORE, FAULT, AFTER), cpus=CPUS, progress=impatient)
    assert list(block.quads) == [BEFORE]
    crash, stopped = block.lost[FAULT], block.lost[AFTER]
    assert (crash.side, crash.phase, crash.outcome) == (side, "process", "crashed")
    assert text in crash.text
    assert (stopped.side, stopped.phase, stopped.outcome) == (None, "process", "stopped")
    assert FAULT in stopped.text
    assert block.canary


def test_a_suite_that_replaces_the_benchmark_fixture_is_told_by_the_error_of_pytest_benchmark(
    tmp_path: Path, impatient: Callable[[str], None]
) -> None:
    # As suites for pytest-codspeed do where that is not installed.
    sides = faulty(tmp_path, "")
    for side in sides:
        own = "import pytest\n@pytest.fixture\ndef benchmark():\n    return lambda f, *a: f(*a)\n"
        (side.tree / "conftest.py").write_text(own)
        (side.tree / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    block = run_block(*sides, [], plan(BEFORE), cpus=CPUS, progress=impatient)
    loss = block.lost[BEFORE]
    if loss.outcome == "unused":  # up to version 5.2 pytest-benchmark lets it pass
        assert "without calling its benchmark fixture" in loss.text
    else:
        assert loss.outcome == "crashed"
        assert loss.text.startswith(
            "exit code 3; TypeError: unexpected type for `benchmark` in funcargs"
        )


def test_after_a_crash_the_survivor_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, impatient: Callable[[str], None]
) -> None:
    outcomes: list[str] = []

    class Noted(child.WorkerGoneError):
        def __init__(self, side: SideName, outcome: Literal["crashed", "hung"], text: str) -> None:
            outcomes.append(outcome)
            super().__init__(side, outcome, text)

    monkeypatch.setattr(child, "WorkerGoneError", Noted)
    run_block(*faulty(tmp_path, "exit"), [], plan(FAULT), cpus=CPUS, progress=impatient)
    assert outcomes == ["crashed"]


def test_a_hanging_benchmark_is_ended_after_the_silence(
    tmp_path: Path, impatient: Callable[[str], None]
) -> None:
    block = run_block(
        *faulty(tmp_path, "hang"), [], plan(BEFORE, FAULT, AFTER), cpus=CPUS, progress=impatient
    )
    assert list(block.quads) == [BEFORE]
    assert (block.lost[FAULT].side, block.lost[FAULT].outcome) == ("candidate", "hung")
    assert "nothing heard for 1 s" in block.lost[FAULT].text
    assert block.lost[AFTER].outcome == "stopped"


def test_a_thread_that_never_ends_does_not_hold_up_the_block(tmp_path: Path) -> None:
    block = run_block(*faulty(tmp_path, "threads"), [], plan(BEFORE, FAULT, AFTER), cpus=CPUS)
    assert list(block.quads) == [BEFORE, FAULT, AFTER]


def test_an_interrupted_block_ends_both_workers_and_removes_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = f"interrupted-{uuid.uuid4()}"
    monkeypatch.setenv("INTERRUPTED", marker)
    alive: list[int] = []
    folders: list[Path] = []

    def interrupt(name: str) -> None:
        if name == FAULT:
            alive.extend(living(marker))
            folders.extend((tmp_path / "temporary").glob("flopline-*"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_block(
            *pair_of(tmp_path, "faults"), [], plan(BEFORE, FAULT), cpus=CPUS, progress=interrupt
        )
    assert len(alive) == 2
    assert len(folders) == 1
    assert gone(marker)
    assert not folders[0].exists()


def test_workers_end_when_the_coordinator_is_killed_in_the_middle_of_a_block(
    tmp_path: Path,
) -> None:
    sides = pair_of(tmp_path, "faults")
    marker = f"orphan-{uuid.uuid4()}"
    program = f"""
        import sys
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parents[3])!r})
        from tests.gate.test_lockstep import *
        sides = [Version(name, Path(tree), {{}}) for name, tree in {[(side.name, str(side.tree)) for side in sides]}]
        tell = lambda name: print(name, flush=True)
        run_block(*sides, [], plan(BEFORE, FAULT, AFTER, seconds=0.5), cpus=CPUS, progress=tell)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdout=subprocess.PIPE,
        env={**os.environ, "ORPHAN": marker},
    ) as process:
        assert process.stdout
        told = process.stdout.readline().decode().strip()
        alive = living(marker) - {process.pid}
        process.send_signal(signal.SIGKILL)
    shutil.rmtree(
        next((tmp_path / "temporary").glob("flopline-*"), tmp_path / "none"), ignore_errors=True
    )
    assert told == BEFORE
    assert len(alive) == 2
    assert gone(marker)


# Why


def test_profiles_tell_what_the_slower_subject_calls_more_often(tmp_path: Path) -> None:
    sides = pair_of(tmp_path, "shapes", "slower")
    name, unused = SHAPES + "test_plain", SHAPES + "test_unused"
    found = profiles(*sides, [], [name, unused])
    assert set(found) == {name}
    assert set(found[name]) == {"baseline", "candidate"}
    roots = [Path(side.environment["PYTHONPATH"]) for side in sides]
    (extra,) = differences(
        found[name]["baseline"], found[name]["candidate"], ([roots[0]], [roots[1]])
    )
    assert (extra.function, extra.where, extra.baseline, extra.candidate) == (
        "extra",
        "subject.py:10",
        0,
        125,
    )
