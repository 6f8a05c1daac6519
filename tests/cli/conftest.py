"""What every test of the command line has."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from flopline.gate.signals import HELD_BACK

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Restores the handlers of signals, which the command line keeps until the program ends."""
    before = {number: signal.getsignal(number) for number in HELD_BACK}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
