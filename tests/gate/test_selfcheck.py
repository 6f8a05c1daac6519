"""The gate's own error rates: one real run of each kind, and the counting."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

from flopline.gate import selfcheck
from flopline.gate.judge.bias import measure_bias
from flopline.gate.measure.pair import list_benchmarks
from flopline.gate.record import Comparison, ExitCode, Settings
from flopline.gate.run import BROKEN, GateError
from flopline.gate.selfcheck import (
    NullEdits,
    Trial,
    choose_slowed,
    count_rates,
    null_edits,
    try_null_edit,
)
from flopline.gate.sides.environment import sides as built
from flopline.gate.sides.nulledit import NULL_KINDS
from tests.gate.support.make_projects import PLAIN
from tests.gate.support.make_records import RECORD
from tests.gate.support.make_sides import LIGHT
from tests.gate.support.runs import DETECT, QUICK, SUITE
from tests.support.checkouts import checkout, world

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from flopline.gate.record import GateRecord
    from flopline.gate.sides.environment import Side
    from flopline.gate.sides.nulledit import NullKind

    Sides = tuple[Side, Side]

LOT = random.Random(1)  # noqa: S311  # the same draws in every run


@pytest.fixture
def twins(tmp_path: Path) -> Iterator[Sides]:
    """Identical code on both sides, which is not installed but imported from the tree."""
    files = {"subject.py": PLAIN, "benchmarks/test_subject.py": SUITE}
    (tmp_path / "world").mkdir()
    with (
        world(tmp_path / "world"),
        built(checkout(tmp_path / "p", files, files), "HEAD") as sides,
    ):
        yield sides


@pytest.mark.judges_times
def test_self_check_runs_the_gate_on_all_kinds_of_pairs(
    twins: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    titles: list[str] = []
    monkeypatch.setattr(selfcheck, "NULL_KINDS", ("prepended",))
    # The budget is so small that nothing is confirmed: what is slowed is suspicious, and undecided.
    settings = Settings(detect=DETECT, budget=1.0, arguments=LIGHT)
    rates = selfcheck.self_check(
        *twins,
        settings,
        runs=1,
        slowed=1,
        schedule=QUICK,
        report=lambda progress: titles.append(progress.stage),
    )
    assert (rates.runs, rates.slowed, rates.found, rates.detect) == (1, 1, 0, DETECT)
    assert (rates.alarms, rates.false) == (0, 0)
    assert (rates.null_runs, rates.null_alarms) == (1, 0)
    assert rates.undecided <= 3
    assert rates.seconds > 0
    assert rates.null_kinds == ("prepended",)
    order = list(dict.fromkeys(title.partition(":")[0] for title in titles))
    stages = [f"self-check 1 of 1, {kind}" for kind in ("identical", "1 slowed", "prepended")]
    assert order == ["collecting", *stages]


@pytest.mark.judges_times
def test_a_run_on_a_null_edit_measures_the_edited_copy(twins: Sides) -> None:
    settings = Settings(detect=DETECT, budget=20.0, arguments=LIGHT)
    edits = NullEdits((PurePosixPath("tree/subject.py"),), ("appended",), LOT)
    tried = try_null_edit(twins[0], edits, "appended", settings, schedule=QUICK)
    assert tried.kind == "appended"
    assert tried.record.candidate.version.endswith("null edit: appended")
    assert not tried.false
    bias = measure_bias([tried.record.comparisons], settings.margin)
    assert bias is not None
    assert bias.comparisons == 2


def test_self_check_slows_or_edits_the_candidate_in_turn(
    twins: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    slowdowns: list[Mapping[str, float]] = []
    subjects: list[str] = []

    def run(
        baseline: Side,
        candidate: Side,
        _: Settings,
        *,
        slowdown: Mapping[str, float] | None = None,
        **__: object,
    ) -> GateRecord:
        assert (baseline.name, candidate.name) == ("baseline", "candidate")
        if slowdown is None:
            assert candidate.home not in {side.home for side in twins}
            subjects.append((candidate.tree / "subject.py").read_text("utf-8"))
        else:
            assert candidate.tree == twins[1].tree
            slowdowns.append(slowdown)
        return replace(RECORD, comparisons=[], exit_code=ExitCode.NO_REGRESSION)

    monkeypatch.setattr(selfcheck, "run", run)
    monkeypatch.setattr(selfcheck, "NULL_KINDS", ("appended", "prepended"))
    settings = Settings(detect=DETECT, arguments=LIGHT)
    rates = selfcheck.self_check(*twins, settings, runs=2, slowed=2)
    assert [len(slowdown) for slowdown in slowdowns] == [0, 2, 0, 2]
    for slowdown in slowdowns:
        assert set(slowdown.values()) <= {DETECT}
    assert (rates.runs, rates.slowed, rates.found) == (2, 4, 0)
    assert sorted(rates.null_kinds) == ["appended", "prepended"]
    for subject in subjects:
        assert PLAIN in subject
        assert "_unused_" in subject
    assert (twins[0].tree / "subject.py").read_text("utf-8") == PLAIN


def test_null_edits_are_those_that_the_suite_bears(tmp_path: Path) -> None:
    reads_itself = (
        "import pathlib\nassert not pathlib.Path(__file__).read_text().startswith('_unused')\n"
    )
    files = {"subject.py": reads_itself + PLAIN, "benchmarks/test_subject.py": SUITE}
    settings = Settings(arguments=LIGHT)
    with world(tmp_path), built(checkout(tmp_path / "p", files, files), "HEAD") as (side, _):
        (collected,) = list_benchmarks([side], LIGHT)
        edits = null_edits(side, collected, settings, LOT)
    # The subject has no docstring, and does not bear code before its first line.
    assert sorted(edits.kinds) == ["appended", "moved", "reordered"]
    assert [str(file) for file in edits.files] == ["tree/subject.py"]
    assert {edits.kind(number) for number in range(3, 6)} == set(edits.kinds)
    assert edits.kind(0) == edits.kind(3)


def test_a_self_check_that_is_interrupted_has_no_rates(
    twins: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = replace(RECORD, result=f"{BROKEN} after 3 blocks: interrupted")
    monkeypatch.setattr(selfcheck, "run", lambda *_, **__: broken)
    monkeypatch.setattr(selfcheck, "NULL_KINDS", ())
    with pytest.raises(GateError, match="the self-check was broken off after 3 blocks"):
        selfcheck.self_check(*twins, Settings(arguments=LIGHT), runs=1)


def test_slowed_benchmarks_are_drawn_by_lot_as_far_as_there_are_any() -> None:
    assert len(choose_slowed(list("abcdefghij"))) == selfcheck.SLOWED
    assert choose_slowed(["a", "b"]) == {"a", "b"}
    assert len({choose_slowed(list("abcdefghij"), 1) for _ in range(100)}) > 1


def trial(code: ExitCode, regressed: str = "", slowed: str = "") -> Trial:
    """Returns a trial; every letter is a benchmark."""
    rows = [Comparison(name, "regressed") for name in regressed]
    record = replace(RECORD, exit_code=code, comparisons=rows)
    return Trial(record, frozenset(slowed))


def test_a_trial_tells_found_missed_and_false_alarms_apart() -> None:
    one = trial(ExitCode.REGRESSION, regressed="abx", slowed="abc")
    assert sorted(one.found) == ["a", "b"]
    assert sorted(one.missed) == ["c"]
    assert sorted(one.false) == ["x"]


def test_rates_count_alarms_found_and_false_over_all_runs() -> None:
    identical = [trial(ExitCode.REGRESSION, regressed="x"), trial(ExitCode.NO_REGRESSION)]
    slower = [
        trial(ExitCode.REGRESSION, regressed="abx", slowed="ab"),
        trial(ExitCode.UNDECIDED, slowed="ab"),
    ]
    codes = (ExitCode.REGRESSION, ExitCode.NO_REGRESSION, ExitCode.UNDECIDED)
    kinds: tuple[NullKind, ...] = ("moved", "appended", "moved")
    edited = []
    for code, kind in zip(codes, kinds, strict=True):
        edited.append(replace(trial(code, regressed="y"), kind=kind))
    rates = count_rates(identical, slower, Settings(detect=DETECT), edited)
    assert (rates.runs, rates.alarms, rates.slowed, rates.found, rates.false) == (2, 1, 4, 2, 2)
    assert (rates.undecided, rates.seconds, rates.detect) == (2, RECORD.seconds, DETECT)
    assert (rates.null_runs, rates.null_alarms) == (3, 1)
    assert rates.null_kinds == ("moved", "appended")


def test_rates_are_reported_with_their_bounds() -> None:
    rates = selfcheck.Rates(
        runs=20, alarms=0, undecided=1, slowed=50, found=49, false=0, seconds=42.0, detect=0.03
    )
    identical, slowed, null, undecided = rates.text().splitlines()
    assert "0 of 20 runs with a false alarm (95 % bound 17%), median 42 s a run" in identical
    assert slowed.startswith(
        "slowed by 3.0%   49 of 50 found, 95 % interval 89% to 100%; 0 others flagged"
    )
    assert null.startswith("null edits       none; the suite loads no Python module")
    assert undecided.endswith("1 of 40 runs")


def test_rates_of_null_edits_are_reported_with_their_bias() -> None:
    row = Comparison("test_a", "unchanged", change=0.004, low=0.001, high=0.007, sigma=0.002)
    bias = measure_bias([[replace(row, blocks=4)]], Settings().margin)
    rates = selfcheck.Rates(
        runs=4, alarms=0, undecided=0, slowed=0, found=0, false=0, seconds=9.0, detect=0.03
    )
    rates = replace(rates, null_runs=4, null_alarms=1, null_kinds=NULL_KINDS[:2], bias=bias)
    _, _, null, undecided, empty, *sentences = rates.text().splitlines()
    assert null == (
        "null edits       1 of 4 runs with a false alarm (95 % bound 81%): appended, prepended"
    )
    assert undecided.endswith("0 of 12 runs")
    assert empty == ""
    assert max(map(len, sentences)) <= selfcheck.WIDTH
    told = " ".join(sentences)
    assert "most of all test_a, by +0.40% (+0.10% to +0.70%)." in told
    assert "The margin of 1.00% covers this" in told
