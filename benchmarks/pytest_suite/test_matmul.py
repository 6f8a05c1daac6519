"""The matrix product by every strategy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch  # noqa: F401  # before the first test is timed

if TYPE_CHECKING:
    from collections.abc import Callable

    from flopline.workload import Workload


@pytest.mark.benchmark(group="matmul", disable_gc=True)
def test_product(product: Workload, measure: Callable[[Workload], None]) -> None:
    """Verifies and times a product."""
    measure(product)
