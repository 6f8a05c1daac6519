"""Claims that do not depend on the machine get the same answer everywhere."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from flopline import records
from flopline.chapter.claims import assess
from flopline.chapter.claims.measurements import GradientNoise, Measurements
from flopline.chapter.claims.register import CLAIMS
from flopline.data import surrogate
from flopline.progress import Progress

if TYPE_CHECKING:
    from pathlib import Path

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


def test_claims_are_selected_in_the_order_of_the_chapter() -> None:
    assert assess.select("c21, C9,") == ["C9", "C21"]
    assert assess.select("") == [f"C{number}" for number in range(1, len(CLAIMS) + 1)]


def test_an_unknown_claim_is_refused_with_the_range_of_the_known_ones() -> None:
    expected = f"no claim C99, X; there are C1 to C{len(CLAIMS)}"
    with pytest.raises(assess.UnknownClaimError, match=expected):
        assess.select("C99,C1,X")


def test_what_follows_from_moments_gets_the_same_answer_everywhere() -> None:
    record = assess.assess(list(EXACT), surrogate("a test"))
    assert {claim.id: claim.answer for claim in record.assessed} == EXACT


@pytest.mark.parametrize("name", OVER_SEEDS)
def test_what_is_decided_over_seeds_is_answered_as_published(
    name: str, over_seeds: Measurements
) -> None:
    assessed = assess.assess_claim(CLAIMS[name], over_seeds)
    assert assessed.answer == OVER_SEEDS[name]


def test_a_timed_claim_is_verified_and_measured_in_turns() -> None:
    reported: list[Progress] = []
    measurements = Measurements(surrogate("a test"), report=reported.append, rounds=1)
    measurements.begin(Progress("claims", 3, 5, "C9"))
    block = assess.assess_claim(CLAIMS["C9"], measurements)
    assert block.answer in {"confirmed", "refuted", "depends on the machine"}
    assert all(quantity.low <= quantity.value <= quantity.high for quantity in block.measured)
    assert [quantity.what for quantity in block.measured][1:] == [
        f"full over {width} columns, out=" for width in (1, 4, 16, 64, 128, 256)
    ]
    details = [progress.detail for progress in reported]
    assert details[:2] == ["C9", "C9: products: verifying element_assign"]
    assert details[-1] == "C9: products, round 1 of 1"
    assert {(progress.done, progress.of) for progress in reported} == {(3, 5)}


def test_a_record_is_saved_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "claims.json"
    record = assess.assess(["C6", "C13"], surrogate("a test"))
    noise = GradientNoise(
        size=10, sampling="shuffled", measured=0.9, groups=(0.8, 1.0), theory=0.91, bias=1.5
    )
    record = replace(record, noise=(noise,))
    records.save(record, path)
    assert records.load(path, assess.ClaimsRecord) == record


def test_a_record_of_the_first_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "claims.json"
    path.write_text('{"kind": "claims", "schema_version": 1}')
    with pytest.raises(records.RecordError, match="schema version 1; this flopline reads 2"):
        records.load(path, assess.ClaimsRecord)


def test_progress_counts_the_claims() -> None:
    reported: list[Progress] = []
    assess.assess(["C6", "C10"], surrogate("a test"), report=reported.append)
    assert reported == [Progress("claims", 0, 2, "C6"), Progress("claims", 1, 2, "C10")]
