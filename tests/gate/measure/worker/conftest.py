"""Links of workers that a test may ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.gate.measure.support.desks import two_desks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.gate.measure.support.desks import Desk


@pytest.fixture
def desks() -> Iterator[tuple[Desk, Desk]]:
    """Two links that are each other's peers."""
    with two_desks() as both:
        yield both


@pytest.fixture
def desk(desks: tuple[Desk, Desk]) -> Desk:
    return desks[0]
