"""The epochs of minibatch SGD, as asv measures them."""

from __future__ import annotations

from benchmarks import cases
from benchmarks.asv_case import AsvBenchmark

EXAMPLES, FEATURES = 1500, 5


def flops(_strategy: str, _batch: int) -> int:
    """Returns the floating-point operations of an epoch.

    They are residual and gradient of every example, bias included.
    """
    return 4 * EXAMPLES * (FEATURES + 1)


class Sgd(AsvBenchmark):
    """Epochs over the airfoil table."""

    family = "sgd"
    param_names = ("strategy", "batch")
    params = cases.axes(family, param_names)
    flops = staticmethod(flops)

    def sampled_epoch(self, *_: object) -> None:
        """Runs one epoch."""
        self.run()
