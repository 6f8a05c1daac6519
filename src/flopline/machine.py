"""What machine this is, as facts that belong to every result."""

from __future__ import annotations

import os
import platform
import re
from functools import cache
from pathlib import Path

import torch


@cache
def describe() -> dict[str, str | int | dict[str, str]]:
    """Processor, cores, memory, caches and torch's back ends of this machine; the GPU where there is one."""
    facts: dict[str, str | int | dict[str, str]] = {
        "cpu": cpu(),
        "cores": os.cpu_count() or 1,
        "usable_cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "caches": caches(),
        "os": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "blas": blas(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }
    if torch.cuda.is_available():
        facts |= {"gpu": torch.cuda.get_device_name(), "cuda": str(torch.version.cuda)}
    return facts


def cpu() -> str:
    """The processor's model name as the kernel knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def caches() -> dict[str, str]:
    """Sizes of the first core's data caches as the kernel gives them, for example `{"L2": "1024K"}`; may be empty."""
    found = {}
    for entry in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((entry / name).read_text(encoding="ascii").strip() for name in ("level", "type", "size"))
        if kind != "Instruction":
            found[f"L{level}"] = size
    return found


def blas() -> str:
    """The library behind torch's float32 products on the CPU, for example `mkl 2024.2`."""
    build = torch.__config__.show()
    name = re.search(r"BLAS_INFO=(\w+)", build)
    version = re.search(r"Math Kernel Library Version (\S+?)-", build)
    return " ".join(match[1] for match in (name, version) if match) or "unknown"
