"""The matrix products, as asv measures them."""

from __future__ import annotations

from benchmarks import cases
from benchmarks.asv_case import AsvBenchmark


def flops(_strategy: str, n: int, _block: int = 1) -> int:
    """Returns the floating-point operations of a product of two n x n matrices."""
    return 2 * n**3


class Whole(AsvBenchmark):
    """Strategies without blocks."""

    family = "matmul"
    param_names = ("strategy", "n")
    params = cases.axes(family, param_names)
    flops = staticmethod(flops)

    def sampled_product(self, *_: object) -> None:
        """Computes one product."""
        self.run()


class Blocked(AsvBenchmark):
    """Strategies with blocks."""

    family = "matmul"
    param_names = ("strategy", "n", "block")
    params = cases.axes(family, param_names)
    flops = staticmethod(flops)

    def sampled_product(self, *_: object) -> None:
        """Computes one product."""
        self.run()
