"""Measurements that the tests of the claims share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flopline.chapter.claims.measurements import Measurements
from flopline.data import surrogate

if TYPE_CHECKING:
    from flopline.data import Table


@pytest.fixture
def measurements() -> Measurements:
    """Measurements on the surrogate, in which a test may put made-up times."""
    return Measurements(surrogate("a test"))


@pytest.fixture(scope="session")
def over_seeds(rows: Table) -> Measurements:
    """Measurements with enough seeds for every claim about losses, half of the usual number."""
    return Measurements(rows, seeds=2000)
