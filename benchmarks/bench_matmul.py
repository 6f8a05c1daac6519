"""asv's door to the matrix products."""

from __future__ import annotations

from benchmarks import asv_case as kernel
from benchmarks import cases


def flops(_strategy: str, n: int, _block: int = 1) -> int:
    """Floating-point operations of a product of two n x n matrices."""
    return 2 * n**3


class Whole(kernel.Case):
    """Strategies without blocks."""

    family = "matmul"
    param_names = ("strategy", "n")
    params = cases.axes(family, param_names)
    flops = staticmethod(flops)

    def kernel_product(self, *_: object) -> None:
        """One product."""
        self.run()


class Blocked(kernel.Case):
    """Strategies with blocks."""

    family = "matmul"
    param_names = ("strategy", "n", "block")
    params = cases.axes(family, param_names)
    flops = staticmethod(flops)

    def kernel_product(self, *_: object) -> None:
        """One product."""
        self.run()
