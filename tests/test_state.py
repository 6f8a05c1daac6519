from __future__ import annotations

import gc
import os
import random
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from flopline import state

if TYPE_CHECKING:
    from collections.abc import Callable

CHANGES: dict[str, Callable[[], object]] = {
    "threads of torch": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "the default dtype": lambda: torch.set_default_dtype(torch.float64),
    "the default device": lambda: torch.set_default_device("cpu"),
    "gradients": lambda: torch._C._set_grad_enabled(False),  # noqa: FBT003, SLF001  # as set_grad_enabled does
    "the precision of float32 products": lambda: torch.set_float32_matmul_precision("medium"),
    "deterministic algorithms": lambda: torch.use_deterministic_algorithms(mode=True),
    "autocast": lambda: torch.set_autocast_enabled("cpu", True),  # noqa: FBT003  # torch's own
    "flushing of denormal numbers": lambda: torch.set_flush_denormal(True),
    "variables of OpenMP and BLAS": lambda: os.environ.update(OMP_NUM_THREADS="7"),
    "garbage collection": gc.disable,
    "the working folder": lambda: os.chdir("/"),
}
"""Settings that a strategy may leave behind, and how it does so."""


@pytest.mark.parametrize("name", CHANGES)
def test_a_setting_that_was_left_behind_is_named_and_put_back(name: str) -> None:
    with state.kept() as before:
        assert state.differences(before) == []
        CHANGES[name]()
        assert any(change.startswith(f"{name} from ") for change in state.differences(before))
    assert state.differences(before) == []


def test_what_the_generators_have_drawn_is_put_back_and_nobodys_fault() -> None:
    with state.kept() as before:
        drawn = random.random(), np.random.rand(), float(torch.rand(()))  # noqa: NPY002, S311  # global
        assert state.differences(before) == []
    assert drawn == (random.random(), np.random.rand(), float(torch.rand(())))  # noqa: NPY002, S311  # global


def test_a_process_is_busy_while_a_thread_computes_and_not_while_it_waits() -> None:
    ended = threading.Event()
    waiting = threading.Thread(target=ended.wait)
    waiting.start()
    assert not state.is_busy()

    def compute() -> None:
        while not ended.is_set():
            pass

    computing = threading.Thread(target=compute)
    computing.start()
    try:
        assert state.is_busy()
    finally:
        ended.set()
        computing.join()
        waiting.join()
    assert not state.is_busy()
