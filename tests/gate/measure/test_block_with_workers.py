"""Blocks of the tiny suites with real workers."""

from __future__ import annotations

import json
import math
import os
import statistics
import uuid
from typing import TYPE_CHECKING

import pytest

from flopline.gate.measure.block import run_block
from flopline.gate.measure.patience import Patience
from flopline.gate.record import BlockRequest, Settings
from flopline.progress import Progress
from tests.gate.support.make_sides import LIGHT, make_side, make_sides
from tests.gate.support.processes import gone, living

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from flopline.gate.record import Batch, Block, Quad, SideName
    from flopline.gate.sides.environment import Side

    Report = Callable[[str], None]

pytestmark = [pytest.mark.judges_times, pytest.mark.usefixtures("marker")]
CPUS = sorted(os.sched_getaffinity(0))
SHAPES, FAULTS, TURNS = "test_shapes.py::", "test_faults.py::", "test_turns.py::"
PLAIN, SLEEPS, OWN_TIMER = (f"{SHAPES}test_{name}" for name in ("plain", "sleeps", "own_timer"))
NO_BENCHMARK = f"{SHAPES}test_without_a_benchmark"
BEFORE, FAULT, AFTER = (f"{FAULTS}test_{name}" for name in ("before", "fault", "after"))


def ignore(_benchmark: str) -> None:
    pass


def measure(
    sides: tuple[Side, Side],
    *benchmarks: str,
    seconds: float = 0.02,
    arguments: tuple[str, ...] = (),
    slowdown: dict[str, float] | None = None,
    report: Report = ignore,
    patience: Patience | None = None,
) -> Block:
    """Runs one block of the screen."""
    return run_block(
        *sides,
        BlockRequest("screen", benchmarks, seconds, Progress("screen")),
        Settings(detect=0.1, arguments=(*LIGHT, *arguments)),
        cpus=CPUS,
        slowdown=slowdown or {},
        report=report,
        patience=patience,
    )


def batches(quads: list[Quad]) -> list[Batch]:
    """The batches of both sides."""
    both: list[Batch] = []
    for quad in quads:
        both += quad.baseline + quad.candidate
    return both


def ratio(quads: list[Quad], time: Callable[[Batch], float | None]) -> float:
    """The median over quads of the mean log-ratio of candidate over baseline, per call."""

    def mean_log(side: tuple[Batch, ...]) -> float:
        return statistics.fmean(math.log((time(batch) or 0) / batch.calls) for batch in side)

    return statistics.median(mean_log(quad.candidate) - mean_log(quad.baseline) for quad in quads)


def cpu(batch: Batch) -> float:
    return batch.cpu


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
    "test_pedantic_teardown",
    "test_own_timer",
    "test_sleeps",
    "test_prints",
    "test_changes_the_folder",
    "test_finds_its_folder_again",
    "test_enabled",
)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Block:
    """One block of everything in the suite of shapes, and of a test in it that is no benchmark.

    The benchmark with a timer of its own is slowed to half its speed.
    """
    sides = make_sides(tmp_path_factory.mktemp("shapes"), "shapes")
    names = (*TIMED, *LOST, "test_weave", "test_without_a_benchmark")
    benchmarks = [SHAPES + name for name in names]
    return measure(sides, *benchmarks, seconds=0.05, slowdown={OWN_TIMER: 1.0})


def test_every_shape_is_timed_on_both_sides(shapes: Block) -> None:
    assert {SHAPES + name for name in TIMED} <= set(shapes.quads)
    for quads in shapes.quads.values():
        assert quads
        for batch in batches(quads):
            assert batch.calls >= 1
            assert batch.wall > 0
            assert batch.cpu > 0


@pytest.mark.parametrize("name", LOST)
def test_what_cannot_be_timed_on_either_side_is_lost_on_both(shapes: Block, name: str) -> None:
    loss = shapes.lost[SHAPES + name]
    phase, outcome, text = LOST[name]
    assert (loss.side, loss.phase, loss.outcome) == (None, phase, outcome)
    assert text in loss.text


def test_nothing_is_both_timed_and_lost_and_nothing_is_forgotten(shapes: Block) -> None:
    others = {SHAPES + "test_weave", NO_BENCHMARK}  # the former needs a package
    assert set(shapes.lost) - others == {SHAPES + name for name in LOST}
    assert not set(shapes.lost) & set(shapes.quads)


def test_a_test_without_the_fixture_is_not_run(shapes: Block) -> None:
    assert shapes.lost[NO_BENCHMARK].outcome == "missing"  # it would fail


@pytest.mark.parametrize("name", ["ten of them", r"h\xfcndert/[x|y]"])
def test_names_with_spaces_umlauts_and_brackets_survive(shapes: Block, name: str) -> None:
    assert SHAPES + f"test_parameters[{name}]" in shapes.quads


@pytest.mark.parametrize(
    "name", ["test_pedantic_promise", "test_pedantic_once", "test_pedantic_warmup"]
)
def test_no_more_calls_are_made_than_were_promised(shapes: Block, name: str) -> None:
    assert SHAPES + name in shapes.quads  # the suite itself counts its calls


def test_the_folder_that_a_test_changed_is_changed_back(shapes: Block) -> None:
    assert SHAPES + "test_finds_its_folder_again" in shapes.quads  # the suite itself looks


def test_a_quad_has_two_batches_a_side_unless_one_call_is_allowed(shapes: Block) -> None:
    once, promise = SHAPES + "test_pedantic_once", SHAPES + "test_pedantic_promise"
    for name, quads in shapes.quads.items():
        expected = (1, 1) if name == once else (2, 2)
        assert {(len(quad.baseline), len(quad.candidate)) for quad in quads} == {expected}, name
    assert len(shapes.quads[once]) == len(shapes.quads[promise]) == 1


def test_both_sides_make_equally_many_calls_in_every_batch(shapes: Block) -> None:
    for name, quads in shapes.quads.items():
        assert len({batch.calls for batch in batches(quads)}) == 1, name


def test_a_timer_of_the_suite_is_recorded_and_no_other(shapes: Block) -> None:
    for name, quads in shapes.quads.items():
        has_timer = {batch.timer is not None for batch in batches(quads)}
        assert has_timer == {name == OWN_TIMER}, name


def test_what_sleeps_is_timed_wide_and_what_computes_is_not(shapes: Block) -> None:
    assert SLEEPS in shapes.wide
    assert statistics.median(quad.baseline[0].wall for quad in shapes.quads[SLEEPS]) >= 0.002
    assert set(shapes.wide) <= {SHAPES + name for name in TIMED}
    assert SHAPES + "test_session_fixture" not in shapes.wide


def test_the_canary_reads_what_it_does_more_and_the_control_nothing(shapes: Block) -> None:
    assert math.log1p(0.05) < ratio(shapes.canary, cpu) < math.log1p(0.2)
    assert abs(ratio(shapes.control, cpu)) < math.log1p(0.05)
    for quad in shapes.canary + shapes.control:
        assert (len(quad.baseline), len(quad.candidate)) == (2, 2)


@pytest.mark.parametrize("clock", ["cpu", "wall", "timer", "process"])
def test_a_slowdown_stretches_every_clock_of_the_candidate(shapes: Block, clock: str) -> None:
    stretched = ratio(shapes.quads[OWN_TIMER], lambda batch: getattr(batch, clock))
    assert stretched == pytest.approx(math.log(2), abs=0.2)


def test_a_slowdown_stretches_no_other_benchmark(shapes: Block) -> None:
    assert abs(ratio(shapes.quads[PLAIN], cpu)) < 0.2


# What a block does


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Block, Path]:
    """A block of the benchmarks that write what they see, and the folder in which they write.

    Options ask for benchmarks to be switched off and to be spread over processes.
    """
    folder = tmp_path_factory.mktemp("seen")
    sides = []
    for side, letter in zip(make_sides(folder, "turns"), "BC", strict=True):
        (side.tree / "pytest.ini").write_text("[pytest]\naddopts = -n 2\n")
        files = {"TURNS": f"{folder}/turns", "SEEN": f"{folder}/{side.name}-"}
        sides.append(make_side(side.name, side.tree, {"LETTER": letter, **files}))
    names = [f"{TURNS}test_{name}" for name in ("turns", "awake", "asleep", "gone")]
    block = measure((sides[0], sides[1]), *names, arguments=("--benchmark-disable",))
    return block, folder


def test_turns_are_really_taken_in_abba_or_baab(seen: tuple[Block, Path]) -> None:
    block, folder = seen
    turns = (folder / "turns").read_text()
    assert sorted(turns[:2]) == ["B", "C"]  # the batches that are thrown away
    assert sorted(turns[-2:]) == ["B", "C"]  # the calls whose own calls are counted
    quads = [turns[start : start + 4] for start in range(2, len(turns) - 2, 4)]
    assert set(quads) <= {"BCCB", "CBBC"}
    assert 1 <= len(quads) == len(block.quads[f"{TURNS}test_turns"])
    assert max(turns.count("B"), turns.count("C")) <= 50  # rounds that the author allows a process


def test_options_that_switch_benchmarks_off_or_spread_them_do_neither(
    seen: tuple[Block, Path],
) -> None:
    block, _ = seen
    assert list(block.quads) == [f"{TURNS}test_{name}" for name in ("turns", "awake", "asleep")]
    assert {loss.outcome for loss in block.lost.values()} == {"missing"}  # of test_gone


@pytest.mark.parametrize("side", ["baseline", "candidate"])
def test_the_record_says_what_both_processes_saw(seen: tuple[Block, Path], side: SideName) -> None:
    block, folder = seen
    facts = json.loads((folder / f"{side}-awake").read_text())
    is_first = (side == "candidate") == block.candidate_first
    assert facts["slot"] == ("0" if is_first else "1")
    assert facts["seed"] == str(block.hash_seed)
    assert facts["padding"] == block.padding
    assert facts["timed"] == [block.cpu]


def test_the_record_describes_the_block(seen: tuple[Block, Path]) -> None:
    block, _ = seen
    assert block.cpu in CPUS
    assert block.stage == "screen"
    assert block.seconds > 0
    assert block.steal is None or 0 <= block.steal <= 1
    assert isinstance(block.randomised, bool)


@pytest.mark.parametrize("side", ["baseline", "candidate"])
def test_what_waits_is_timed_on_all_cpus(seen: tuple[Block, Path], side: SideName) -> None:
    block, folder = seen
    assert f"{TURNS}test_asleep" in block.wide
    facts = json.loads((folder / f"{side}-asleep").read_text())
    assert facts["timed"] == CPUS
    assert facts["threads"] == "1"


def test_each_block_draws_its_own_seed_and_one_of_its_cpus(
    shapes: Block, seen: tuple[Block, Path]
) -> None:
    assert shapes.hash_seed != seen[0].hash_seed
    assert shapes.cpu in CPUS


def test_the_slower_subject_reads_slower_and_the_control_does_not(tmp_path: Path) -> None:
    # A block is one pair of processes, and where their memory lies makes one of them a tenth slower
    # in 1 of 24 blocks (measured). So a run judges the median of several, and so does this.
    sides = make_sides(tmp_path, "shapes", "slower")
    blocks = [measure(sides, PLAIN, seconds=0.1) for _ in range(5)]
    assert statistics.median(ratio(block.quads[PLAIN], cpu) for block in blocks) > 0.03
    control = statistics.median(ratio(block.control, cpu) for block in blocks)
    assert abs(control) < math.log1p(0.05)


# What goes wrong


def faulty(folder: Path, fault: str, side: SideName = "candidate") -> tuple[Side, Side]:
    """The suite of faults, with these faults on one side."""
    baseline, candidate = make_sides(folder, "faults", FAULT=fault)
    faulty_side = candidate if side == "candidate" else baseline
    (faulty_side.tree / "candidate.txt").touch()
    return baseline, candidate


IMPATIENT = Patience(quiet=3.0)
"""With it a worker hangs in which nothing moves for three seconds."""


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
    return measure(sides, *names), request.param


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
    tmp_path: Path, fault: str, side: SideName, text: str
) -> None:
    sides = faulty(tmp_path, fault, side)
    block = measure(sides, BEFORE, FAULT, AFTER, patience=IMPATIENT)
    assert list(block.quads) == [BEFORE]
    crash, stopped = block.lost[FAULT], block.lost[AFTER]
    assert (crash.side, crash.phase, crash.outcome) == (side, "process", "crashed")
    assert text in crash.text
    assert (stopped.side, stopped.phase, stopped.outcome) == (None, "process", "stopped")
    assert FAULT in stopped.text
    assert block.canary


def test_a_replaced_benchmark_fixture_is_an_error_of_pytest_benchmark(tmp_path: Path) -> None:
    # As suites for pytest-codspeed do where that is not installed.
    sides = faulty(tmp_path, "")
    for side in sides:
        own = "import pytest\n@pytest.fixture\ndef benchmark():\n    return lambda f, *a: f(*a)\n"
        (side.tree / "conftest.py").write_text(own)
        (side.tree / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    block = measure(sides, BEFORE, patience=IMPATIENT)
    loss = block.lost[BEFORE]
    if loss.outcome == "unused":  # up to version 5.2 pytest-benchmark lets it pass
        assert "without calling its benchmark fixture" in loss.text
    else:
        assert (loss.side, loss.outcome) == (None, "failed")
        assert "TypeError: unexpected type for `benchmark` in funcargs" in loss.text


def test_a_hanging_benchmark_is_ended_and_its_line_is_told(tmp_path: Path) -> None:
    block = measure(faulty(tmp_path, "hang"), BEFORE, FAULT, AFTER, patience=IMPATIENT)
    assert list(block.quads) == [BEFORE]
    assert (block.lost[FAULT].side, block.lost[FAULT].outcome) == ("candidate", "hung")
    assert "nothing in it has moved for" in block.lost[FAULT].text
    assert "test_faults.py" in block.lost[FAULT].text
    assert block.lost[AFTER].outcome == "stopped"


def test_a_thread_that_never_ends_does_not_hold_up_the_block(tmp_path: Path) -> None:
    block = measure(faulty(tmp_path, "threads"), BEFORE, FAULT, AFTER)
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
        measure(make_sides(tmp_path, "faults"), BEFORE, FAULT, report=interrupt)
    assert len(alive) == 2
    assert len(folders) == 1
    assert gone(marker)
    assert not folders[0].exists()
