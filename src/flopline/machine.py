"""What machine this is, and how many threads torch and BLAS may use on it.

Importing this module does not import torch; only `describe` and `pinned` do, when they are called.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Facts = dict[str, str | int | dict[str, str]]
"""What is known of a machine, by name."""


@cache
def hardware() -> Facts:
    """Returns processor, cores, memory, caches, operating system and Python of this machine."""
    return {
        "cpu": cpu(),
        "cores": os.cpu_count() or 1,
        "usable_cores": len(os.sched_getaffinity(0)),
        "memory_bytes": memory_bytes(),
        "caches": caches(),
        "os": platform.platform(),
        "python": platform.python_version(),
    }


@cache
def describe() -> Facts:
    """Returns `hardware`, with torch and its back ends, and with the GPU where there is one."""
    import torch

    facts = hardware() | {
        "torch": torch.__version__,
        "blas": blas(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }
    if torch.cuda.is_available():
        facts |= {"gpu": torch.cuda.get_device_name(), "cuda": str(torch.version.cuda)}
    return facts


def cpu() -> str:
    """Returns the processor's model name as the kernel knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def memory_bytes() -> int:
    """Returns the bytes of main memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
"""Where Linux describes the caches of the first core, in a folder for each."""


def caches(folder: Path = CACHES) -> dict[str, str]:
    """Returns the sizes of the first core's data caches as the kernel gives them.

    For example `{"L1": "32K", "L2": "1024K"}`. Caches that the kernel does not describe in full are
    left out, as some virtual machines and some ARM kernels have it.

    Args:
        folder: Where the kernel describes them.
    """
    sizes = {}
    for entry in sorted(folder.glob("index*")):
        try:
            level = (entry / "level").read_text(encoding="ascii").strip()
            kind = (entry / "type").read_text(encoding="ascii").strip()
            size = (entry / "size").read_text(encoding="ascii").strip()
        except OSError:
            continue
        if kind != "Instruction":
            sizes[f"L{level}"] = size
    return sizes


def cache_bytes(sizes: Mapping[str, str]) -> dict[str, int]:
    """Returns sizes as `caches` gives them in bytes, smallest first."""
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    counted = {
        level: int(size.rstrip("KMG")) * units.get(size[-1], 1) for level, size in sizes.items()
    }
    return dict(sorted(counted.items(), key=lambda item: item[1]))


def blas() -> str:
    """Returns the library behind torch's float32 products on the CPU, for example `mkl 2024.2`."""
    import torch

    build = torch.__config__.show()
    name = re.search(r"BLAS_INFO=(\w+)", build)
    version = re.search(r"Math Kernel Library Version (\S+?)-", build)
    return " ".join(match[1] for match in (name, version) if match) or "unknown"


def set_threads(threads: int) -> None:
    """Gives torch, and every BLAS that is loaded by now, this many threads."""
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(threads)
    threadpool_limits(threads)


@contextlib.contextmanager
def pinned(threads: int) -> Iterator[None]:
    """Gives torch, and every BLAS that threadpoolctl knows, this many threads.

    The number of threads that there was before is restored at the end.
    """
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads):
            yield
    finally:
        torch.set_num_threads(before)
