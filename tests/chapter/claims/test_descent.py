"""C14 to C17, C19 and C25 to C28: numbers of the chapter that do not depend on the machine.

Their answers are tested in test_assess.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flopline.chapter.claims.descent import descend
from flopline.chapter.claims.register import CLAIMS
from flopline.data import surrogate

if TYPE_CHECKING:
    from flopline.chapter.claims.measurements import Measurements


def numbers(name: str, measurements: Measurements) -> dict[str, float]:
    """Returns the measured numbers of a claim by their names."""
    measured = CLAIMS[name].assess(measurements).measured
    return {quantity.what: quantity.value for quantity in measured}


def test_descent_diverges_as_published(measurements: Measurements) -> None:
    measured = numbers("C15", measurements)
    assert measured["step of the lowest loss"] == 6
    assert measured["loss at step 50, lr 1"] == pytest.approx(9.568534794112662, rel=1e-9)
    assert measured["loss at step 10, lr 0.9"] == pytest.approx(0.2420878807, abs=1e-9)
    assert measured["2 / lambda_max"] == pytest.approx(0.9530692437)


def test_descent_starts_at_the_loss_of_zero(measurements: Measurements) -> None:
    losses = descend(surrogate("a test"), lr=0.9, steps=3)
    assert losses.shape == (4,)
    assert float(losses[0]) == pytest.approx(measurements.loss.at_zero)
    assert all(losses[1:] < losses[:-1])


def test_the_framework_agrees_once_its_settings_match(measurements: Measurements) -> None:
    measured = numbers("C25", measurements)
    assert measured["largest difference, settings matched"] < 1e-6
    assert measured["largest difference, settings of the book"] > 1e-6


def test_full_batch_descent_does_not_notice_a_doubled_table(over_seeds: Measurements) -> None:
    assert numbers("C27", over_seeds)["largest difference of gd"] < 1e-12


def test_half_the_rate_leaves_about_a_third_of_the_plateau(over_seeds: Measurements) -> None:
    constant, half, decayed = numbers("C28", over_seeds).values()
    assert half / constant == pytest.approx(1 / 3, abs=0.05)
    assert 0.001 < decayed < constant / 2
