"""A case as asv measures it: prepared, verified and timed in one process, by the tested version.

How a run measures comes from the environment, because it is a property of the machine and the run,
not of the suite: FLOPLINE_SCALE (quick, full or gate), FLOPLINE_DEVICE (cpu, cuda, cuda:N),
FLOPLINE_DTYPE (the values of --flopline-dtype), OMP_NUM_THREADS, and FLOPLINE_DATA.
"""

from __future__ import annotations

import contextlib
import functools
import os
import time
from typing import TYPE_CHECKING

import torch  # here, so that asv's fork server imports it once for all processes

from benchmarks import cases

# A version that lacks one of these modules fails in its own cases, not in the whole suite.
with contextlib.suppress(ImportError):
    from flopline import data, matmul, sgd

    try:
        from flopline.workload import Case, verify
    except ImportError:  # commits before flopline.workload was named so
        from flopline.strategies import Case, verify  # type: ignore[no-redef]

if TYPE_CHECKING:
    from collections.abc import Callable

    from flopline.data import Table
    from flopline.workload import Workload

DEVICE = os.environ.get("FLOPLINE_DEVICE", "cpu")
DTYPE = os.environ.get("FLOPLINE_DTYPE", "float32")
SCALE = os.environ.get("FLOPLINE_SCALE", "quick")
THREADS = int(os.environ.get("OMP_NUM_THREADS", "1"))


def clock() -> float:
    """Returns seconds; a CUDA device is idle when they are read."""
    if DEVICE != "cpu":
        torch.cuda.synchronize(DEVICE)
    return time.perf_counter()


class AsvBenchmark:
    """How every case is measured; a subclass in `bench_*.py` adds the family and its axes.

    A sample lasts at least 20 ms, or one call.
    """

    version = "1"
    rounds = cases.ROUNDS
    repeat = cases.REPEAT
    warmup_time = 0.02
    sample_time = 0.02
    # On a CPU it is asv's own, so that the gate knows it. Static, or it would receive self.
    timer = staticmethod(time.perf_counter if DEVICE == "cpu" else clock)

    family: str
    param_names: tuple[str, ...]
    params: list[list[str | int]]
    run: Callable[[], object]
    workload: Workload | None = None

    def setup(self, *point: str | int) -> None:
        """Prepares a case and verifies it before it is timed.

        Raises:
            NotImplementedError: The scale does not include the case, or the version lacks its
                strategy; asv records "n/a".
            WrongAnswerError: The result is wrong; asv records a failure.
        """
        axes = zip(self.param_names, point, strict=True)
        name = "/".join([self.family, *(f"{axis}={value}" for axis, value in axes)])
        if name not in cases.CASES[SCALE]:
            raise NotImplementedError(f"{name} is not in the scale {SCALE}")
        workload = prepare(Case.parse(name))
        verify(workload)
        self.run, self.workload = workload.run, workload

    def teardown(self, *_: str | int) -> None:
        """Verifies the case again, after it was timed.

        Raises:
            WrongAnswerError: The result has become wrong; asv records a failure, not the times.
        """
        if self.workload is not None:
            verify(self.workload)


def prepare(case: Case) -> Workload:
    """Returns the workload of a case, in the dtype and on the device of this run.

    Raises:
        NotImplementedError: The version under test lacks the strategy, or its family is not
            measured in this dtype.
    """
    torch.set_num_threads(THREADS)
    tf32 = DTYPE == "tf32"
    dtype = torch.float32 if tf32 else getattr(torch, DTYPE)
    if DEVICE != "cpu":
        torch.backends.cuda.matmul.fp32_precision = "tf32" if tf32 else "ieee"
    strategies = matmul.products if case.family == "matmul" else sgd.epochs
    if case.strategy not in strategies:
        raise NotImplementedError(f"this version has no strategy {case.strategy}")
    if case.family == "matmul":
        return matmul.prepare(case, dtype=dtype, device=DEVICE, tf32=tf32)
    if tf32 or dtype not in sgd.TOLERANCE:
        raise NotImplementedError(f"epochs of SGD are not measured in {DTYPE}")
    return sgd.prepare(case, table(), dtype=dtype, device=DEVICE)


@functools.cache
def table() -> Table:
    """Returns the training set, which is read once per process."""
    return data.resolve()
