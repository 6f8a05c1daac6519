"""One epoch of minibatch SGD by every strategy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from flopline.workload import Workload


@pytest.mark.benchmark(group="sgd", disable_gc=True)
def test_epoch(epoch: Workload, measure: Callable[[Workload], None]) -> None:
    """Verifies and times an epoch."""
    measure(epoch)
