"""The state of the process in which strategies are timed, and which they must leave as it was.

Importing this module does not import torch; only its functions do, when they are called.
"""

from __future__ import annotations

import contextlib
import gc
import os
import random
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


@dataclass(frozen=True)
class State:
    """What was found in the process at one moment.

    Attributes:
        settings: Settings by name that decide how fast, and how exactly, code runs.
        pools: Threads of each library that threadpoolctl knows, by the library's file.
        generators: The states of the global random generators.
        threads: How many threads the process had.
    """

    settings: Mapping[str, object]
    pools: Mapping[str, int]
    generators: tuple[Any, ...]
    threads: int


def read() -> State:
    """Returns the present state."""
    import numpy as np
    import torch
    from threadpoolctl import threadpool_info

    settings = {name: get() for name, (get, _) in _settings().items()}
    pools = {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}
    generators = (random.getstate(), np.random.get_state(), torch.get_rng_state())  # noqa: NPY002  # the global generator is what is kept
    return State(settings, pools, generators, count_threads())


def differences(before: State) -> list[str]:
    """Returns which settings are no longer what they were, in words; empty if all are.

    A library that was loaded since then, and what the random generators have drawn, do not count.
    """
    now = read()
    changes = []
    for name, value in before.settings.items():
        if now.settings[name] != value:
            changes.append(f"{name} from {value} to {now.settings[name]}")
    for library, threads in before.pools.items():
        if now.pools.get(library, threads) != threads:
            name = Path(library).name.partition(".")[0]
            changes.append(f"threads of {name} from {threads} to {now.pools[library]}")
    return changes


def restore(before: State) -> None:
    """Makes the state what it was; threads that were started go on."""
    import numpy as np
    import torch
    from threadpoolctl import ThreadpoolController

    for name, (get, put) in _settings().items():
        if get() != before.settings[name]:
            with contextlib.suppress(OSError):  # not everybody may raise a priority again
                put(before.settings[name])
    for library in ThreadpoolController().lib_controllers:
        threads = before.pools.get(library.filepath)
        if threads is not None and library.num_threads != threads:
            library.set_num_threads(threads)
    of_python, of_numpy, of_torch = before.generators
    random.setstate(of_python)
    np.random.set_state(of_numpy)  # noqa: NPY002  # as in `read`
    torch.set_rng_state(of_torch)


@contextlib.contextmanager
def kept() -> Iterator[State]:
    """Gives the present state, and restores it at the end."""
    before = read()
    try:
        yield before
    finally:
        restore(before)


Setting = tuple["Callable[[], Any]", "Callable[[Any], object]"]
"""How a setting is read, and how it is put back."""


def _settings() -> dict[str, Setting]:
    """Returns how each setting is read and put back, by name."""
    import torch

    products = torch.backends.cuda.matmul
    return {
        "threads of torch": (torch.get_num_threads, torch.set_num_threads),
        "the default dtype": (torch.get_default_dtype, torch.set_default_dtype),
        "the default device": (_default_device, _set_default_device),
        "gradients": (torch.is_grad_enabled, torch._C._set_grad_enabled),  # noqa: SLF001  # the public ones are context managers
        "the precision of float32 products": (
            torch.get_float32_matmul_precision,
            torch.set_float32_matmul_precision,
        ),
        "the precision of float32 products on CUDA": (
            lambda: products.fp32_precision,
            lambda value: setattr(products, "fp32_precision", value),
        ),
        "deterministic algorithms": (
            torch.get_deterministic_debug_mode,
            torch.set_deterministic_debug_mode,
        ),
        "autocast": (
            lambda: torch.is_autocast_enabled("cpu"),
            lambda value: torch.set_autocast_enabled("cpu", value),
        ),
        "anomaly detection": (
            torch.is_anomaly_enabled,
            torch.autograd.set_detect_anomaly,
        ),
        "oneDNN": (
            lambda: torch.backends.mkldnn.enabled,
            lambda value: setattr(torch.backends.mkldnn, "enabled", value),
        ),
        "flushing of denormal numbers": (_flushes_denormals, torch.set_flush_denormal),
        "variables of OpenMP and BLAS": (_thread_variables, _set_thread_variables),
        "the processors of this process": (
            lambda: sorted(os.sched_getaffinity(0)),
            lambda value: os.sched_setaffinity(0, value),
        ),
        "the priority of this process": (
            lambda: os.getpriority(os.PRIO_PROCESS, 0),
            lambda value: os.setpriority(os.PRIO_PROCESS, 0, value),
        ),
        "garbage collection": (
            gc.isenabled,
            lambda value: gc.enable() if value else gc.disable(),
        ),
        "the profiler of Python": (sys.getprofile, sys.setprofile),
        "the tracer of Python": (sys.gettrace, sys.settrace),
        "the switch interval of Python": (sys.getswitchinterval, sys.setswitchinterval),
        "the working folder": (_working_folder, os.chdir),
    }


def _default_device() -> str:
    """Returns the device on which tensors are made by default; `unset` if nobody has chosen one.

    A chosen device, even the CPU, makes every call of torch slower.
    """
    import torch

    chosen = torch._C._len_torch_function_stack()  # noqa: SLF001  # where torch keeps the choice
    return str(torch.get_default_device()) if chosen else "unset"


def _set_default_device(device: str) -> None:
    import torch

    torch.set_default_device(None if device == "unset" else device)


def _flushes_denormals() -> bool:
    """Returns true if this thread takes numbers that are too small to be normal for 0."""
    smallest = sys.float_info.min
    return smallest / 2 == 0.0


def _thread_variables() -> dict[str, str]:
    """Returns the variables of the environment that say how many threads libraries use."""
    names = [
        name for name in os.environ if name.endswith("_NUM_THREADS") or name.startswith("OMP_")
    ]
    return {name: os.environ[name] for name in names}


def _set_thread_variables(variables: Mapping[str, str]) -> None:
    for name in _thread_variables():
        if name not in variables:
            del os.environ[name]
    os.environ.update(variables)


def _working_folder() -> str:
    try:
        return str(Path.cwd())
    except OSError:
        return ""


def count_threads() -> int:
    """Returns how many threads the process has, those of libraries included."""
    try:
        return len(list(Path("/proc/self/task").iterdir()))
    except OSError:
        return threading.active_count()


REST_SECONDS = 0.05
"""How long the process rests to see whether it computes."""

RESTS = 25
"""How often it rests before it is called busy; libraries' threads spin for a while after work."""


def is_busy() -> bool:
    """Returns true if the process goes on computing while this thread rests."""
    for _ in range(RESTS):
        started, computed = time.perf_counter(), time.process_time()
        time.sleep(REST_SECONDS)
        # So little, because on a busy machine a thread that computes may wait most of the time.
        if time.process_time() - computed < 0.01 * (time.perf_counter() - started):
            return False
    return True
