"""The gate's own error rates: real runs on identical code, and the counting."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from flopline.gate import run as procedure
from flopline.gate import selfcheck
from flopline.gate.record import Comparison, ExitCode, GateRecord, Settings
from flopline.gate.sides.environment import sides as built
from tests.gate.support.make_projects import PLAIN
from tests.gate.support.make_records import RECORD
from tests.gate.support.runs import DETECT, LIGHT, QUICK, SUITE
from tests.support.checkouts import checkout, world

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flopline.gate.sides.environment import Side

    Sides = tuple[Side, Side]

pytestmark = pytest.mark.judges_times


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    """Identical code on both sides, not installed but imported from the tree."""
    files = {"subject.py": PLAIN, "benchmarks/test_subject.py": SUITE}
    folder = tmp_path_factory.mktemp("twins") / "p"
    with (
        world(tmp_path_factory.mktemp("world")),
        built(checkout(folder, files, files), "HEAD") as sides,
    ):
        yield sides


def test_self_check_runs_the_gate_on_identical_and_on_slowed_code(
    twins: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(procedure.Schedule, "of", classmethod(lambda *_: QUICK))
    titles: list[str] = []
    # Of a budget so small that nothing is confirmed: what is slowed is suspicious, and stays undecided.
    settings = Settings(detect=DETECT, budget=1.0, arguments=LIGHT)
    rates = selfcheck.self_check(
        *twins, settings, runs=1, slowed=1, report=lambda where: titles.append(where.stage)
    )
    assert (rates.runs, rates.slowed, rates.found, rates.detect) == (1, 1, 0, DETECT)
    assert (rates.alarms, rates.false) == (0, 0)
    assert rates.undecided <= 2
    assert rates.seconds > 0
    order = list(dict.fromkeys(title.partition(":")[0] for title in titles))
    assert order == ["self-check 1 of 1, identical", "self-check 1 of 1, 1 slowed"]


def test_self_check_counts_alarms_found_and_flagged(
    twins: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    identical = RECORD
    slowed: list[dict[str, float]] = []

    def answer(
        _: object,
        candidate: Side,
        __: object,
        *,
        report: object,
        slowdown: dict[str, float] | None = None,
    ) -> GateRecord:
        assert report
        assert candidate.name == "candidate"
        slowed.append(slowdown or {})
        names = (
            [*slowed[-1], "other"] if len(slowed) in {1, 2} else []
        )  # the first pair of runs is red
        return replace(
            identical,
            exit_code=ExitCode(bool(names)),
            comparisons=[Comparison(name, "regressed") for name in names],
        )

    monkeypatch.setattr(selfcheck, "run", answer)
    rates = selfcheck.self_check(*twins, Settings(detect=DETECT, arguments=LIGHT), runs=2, slowed=2)
    assert [len(names) for names in slowed] == [0, 2, 0, 2]
    assert {change for names in slowed for change in names.values()} == {DETECT}
    assert (rates.runs, rates.alarms, rates.slowed, rates.found, rates.false) == (2, 1, 4, 2, 2)
    assert (rates.undecided, rates.seconds) == (0, identical.seconds)


def test_rates_are_told_with_their_bounds() -> None:
    rates = selfcheck.Rates(
        runs=20, alarms=0, undecided=1, slowed=50, found=49, false=0, seconds=42.0, detect=0.03
    )
    identical, slowed, undecided = rates.text().splitlines()
    assert "0 of 20 runs with a false alarm (95 % bound 17%), median 42 s a run" in identical
    assert slowed.startswith(
        "slowed by 3.0%   49 of 50 found, 95 % interval 89% to 100%; 0 others flagged"
    )
    assert undecided.endswith("1 of 40 runs")
