"""The register knows every claim of the chapter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flopline.chapter.claims import assess, register
from flopline.chapter.claims.evidence import Finding

if TYPE_CHECKING:
    from flopline.chapter.claims.measurements import Measurements


def test_the_claims_are_numbered_without_a_gap() -> None:
    assert assess.TOPICS
    numbers = range(1, len(register.CLAIMS) + 1)
    assert register.ordered() == [f"C{number}" for number in numbers]


def test_all_claims_of_the_chapter_are_registered() -> None:
    assert assess.TOPICS
    assert len(register.CLAIMS) == 28


@pytest.mark.parametrize("name", register.ordered())
def test_every_claim_has_a_text_and_a_rule_of_whole_sentences(name: str) -> None:
    claim = register.CLAIMS[name]
    assert claim.id == name
    assert claim.text
    assert "The claim is " in claim.rule
    assert claim.rule.endswith(".")


def test_one_function_adds_a_claim(
    monkeypatch: pytest.MonkeyPatch, measurements: Measurements
) -> None:
    monkeypatch.setattr(register, "CLAIMS", dict(register.CLAIMS))

    @register.claim(29, "Water is wet", "The claim is confirmed if it is.")
    def _water(_measurements: Measurements) -> Finding:
        return Finding("confirmed", ())

    assert assess.select("c29") == ["C29"]
    assessed = assess.assess_claim(register.CLAIMS["C29"], measurements)
    assert (assessed.claim, assessed.answer) == ("Water is wet", "confirmed")
