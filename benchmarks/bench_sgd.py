"""asv's door to the epochs of minibatch SGD."""

from __future__ import annotations

from benchmarks import asv_case as kernel
from benchmarks import cases

EXAMPLES, FEATURES = 1500, 5


def flops(_strategy: str, _batch: int) -> int:
    """Floating-point operations of an epoch: residual and gradient of every example, bias included."""
    return 4 * EXAMPLES * (FEATURES + 1)


class Sgd(kernel.Case):
    """Epochs over the airfoil table."""

    family = "sgd"
    param_names = ("strategy", "batch")
    params = cases.axes(family, param_names)
    flops = staticmethod(flops)

    def kernel_epoch(self, *_: object) -> None:
        """One epoch."""
        self.run()
