"""The gate's own error rates: one real run of either kind, and the counting."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from flopline.gate import selfcheck
from flopline.gate.record import Comparison, ExitCode, Settings
from flopline.gate.run import BROKEN, GateError
from flopline.gate.selfcheck import Trial, choose_slowed, count_rates
from flopline.gate.sides.environment import sides as built
from tests.gate.support.make_projects import PLAIN
from tests.gate.support.make_records import RECORD
from tests.gate.support.make_sides import LIGHT
from tests.gate.support.runs import DETECT, QUICK, SUITE
from tests.support.checkouts import checkout, world

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from flopline.gate.record import GateRecord
    from flopline.gate.sides.environment import Side

    Sides = tuple[Side, Side]


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
def test_self_check_runs_the_gate_on_identical_and_on_slowed_code(twins: Sides) -> None:
    titles: list[str] = []
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
    assert rates.undecided <= 2
    assert rates.seconds > 0
    order = list(dict.fromkeys(title.partition(":")[0] for title in titles))
    assert order == ["self-check 1 of 1, identical", "self-check 1 of 1, 1 slowed"]


def test_self_check_slows_other_benchmarks_of_the_candidate_by_detect(
    twins: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    slowdowns: list[Mapping[str, float]] = []

    def run(
        baseline: Side, candidate: Side, _: Settings, *, slowdown: Mapping[str, float], **__: object
    ) -> GateRecord:
        assert (baseline.name, candidate.name) == ("baseline", "candidate")
        assert candidate.tree == twins[1].tree
        slowdowns.append(slowdown)
        return replace(RECORD, comparisons=[], exit_code=ExitCode.NO_REGRESSION)

    monkeypatch.setattr(selfcheck, "run", run)
    settings = Settings(detect=DETECT, arguments=LIGHT)
    rates = selfcheck.self_check(*twins, settings, runs=2, slowed=2)
    assert [len(slowdown) for slowdown in slowdowns] == [0, 2, 0, 2]
    for slowdown in slowdowns:
        assert set(slowdown.values()) <= {DETECT}
    assert (rates.runs, rates.slowed, rates.found) == (2, 4, 0)


def test_a_self_check_that_is_interrupted_has_no_rates(
    twins: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = replace(RECORD, result=f"{BROKEN} after 3 blocks: interrupted")
    monkeypatch.setattr(selfcheck, "run", lambda *_, **__: broken)
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
    rates = count_rates(identical, slower, DETECT)
    assert (rates.runs, rates.alarms, rates.slowed, rates.found, rates.false) == (2, 1, 4, 2, 2)
    assert (rates.undecided, rates.seconds, rates.detect) == (1, RECORD.seconds, DETECT)


def test_rates_are_reported_with_their_bounds() -> None:
    rates = selfcheck.Rates(
        runs=20, alarms=0, undecided=1, slowed=50, found=49, false=0, seconds=42.0, detect=0.03
    )
    identical, slowed, undecided = rates.text().splitlines()
    assert "0 of 20 runs with a false alarm (95 % bound 17%), median 42 s a run" in identical
    assert slowed.startswith(
        "slowed by 3.0%   49 of 50 found, 95 % interval 89% to 100%; 0 others flagged"
    )
    assert undecided.endswith("1 of 40 runs")
