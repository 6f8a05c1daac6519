"""Claims that do not depend on the machine get the same verdict everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flopline import records
from flopline.chapter.claims import judge as trial
from flopline.chapter.claims.register import CLAIMS
from flopline.data import surrogate

if TYPE_CHECKING:
    from pathlib import Path

    from flopline.data import Table

EXACT = {
    "C6": "confirmed",
    "C10": "refuted",
    "C13": "refuted",
    "C14": "confirmed",
    "C15": "refuted",
    "C16": "confirmed",
    "C25": "refuted",
}
OVER_SEEDS = {
    "C11": "confirmed",
    "C17": "confirmed",
    "C19": "confirmed",
    "C26": "confirmed",
    "C27": "confirmed",
    "C28": "refuted",
}


def test_there_are_twenty_eight_claims_each_with_a_rule() -> None:
    assert trial.select("") == [f"C{number}" for number in range(1, 29)]
    assert all(claim.text and claim.rule for claim in CLAIMS.values())


def test_claims_are_selected_in_the_chapters_order() -> None:
    assert trial.select("c21, C9,") == ["C9", "C21"]
    with pytest.raises(trial.UnknownClaimError, match="no claim C29, X; there are C1 to C28"):
        trial.select("C29,C1,X")


def judged(ids: list[str], table: Table) -> dict[str, trial.Judged]:
    return {each.id: each for each in trial.judge(ids, table).judged}


def test_what_follows_from_arithmetic_and_moments_is_judged_alike_on_every_machine() -> None:
    found = judged(list(EXACT), surrogate("a test"))
    assert {name: each.verdict for name, each in found.items()} == EXACT


def test_what_is_decided_over_seeds_is_judged_as_published(table: Table) -> None:
    found = judged(list(OVER_SEEDS), table)
    assert {name: each.verdict for name, each in found.items()} == OVER_SEEDS


def test_descent_diverges_as_published_and_whitening_would_have_helped() -> None:
    found = judged(["C13", "C15"], surrogate("a test"))
    numbers = {one.what: one.value for each in found.values() for one in each.measured}
    assert numbers["step of the lowest loss"] == 6
    assert numbers["loss at step 50, lr 1"] == pytest.approx(9.568534794112662, rel=1e-9)
    assert numbers["loss at step 10, lr 0.9"] == pytest.approx(0.2420878807, abs=1e-9)
    assert numbers["2 / lambda_max"] == pytest.approx(0.9530692437)
    assert numbers["largest correlation of two features"] == pytest.approx(
        0.753215013537717, abs=1e-9
    )
    assert numbers["loss after one step of lr 1, whitened"] == pytest.approx(
        0.24168795509193775, abs=1e-12
    )


def test_the_noise_of_the_gradient_is_that_of_the_theory(table: Table) -> None:
    found = trial.judge(["C11"], table)
    for point in found.noise:
        assert point.measured == pytest.approx(point.theory, rel=0.06, abs=1e-12)
    ends = [point.theory for point in found.noise if point.size == 1500]
    assert ends == [pytest.approx((6.71585016 / 1500) ** 0.5, rel=1e-6), 0.0]


def test_a_timed_claim_is_measured_and_saved(tmp_path: Path) -> None:
    found = trial.judge(["C9"], surrogate("a test"))
    (block,) = found.judged
    assert block.verdict in {"confirmed", "refuted", "depends on the machine"}
    assert all(one.low <= one.value <= one.high for one in block.measured)
    assert [one.what for one in block.measured][1:] == [
        f"full over {width} columns, out=" for width in (1, 4, 16, 64, 128, 256)
    ]
    records.save(found, tmp_path / "claims.json")
    assert records.load(tmp_path / "claims.json", trial.Claims) == found
