"""One session of pytest, started by the coordinator, from the first message to the last."""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import os
import platform
import sys

from .link import Link
from .modules import leave_out_folders
from .protocol import Bye, Hello

ADDR_NO_RANDOMIZE = 0x0040000  # <sys/personality.h>
ASK_PERSONALITY = 0xFFFFFFFF  # personality(2): returns the present one and changes nothing
CANNOT_START = 4
"""The exit status where pytest is missing; it is the one that pytest has for a usage error."""


def main(arguments: list[str]) -> int:
    """Runs pytest between the first and the last message, and returns its exit status.

    Args:
        arguments: The descriptors of four pipes (to read from and to write to the coordinator, to
            read from and to write to the other worker), then the arguments of pytest.
    """
    randomised = fix_layout()
    descriptors, arguments = arguments[:4], arguments[4:]
    link = Link(*map(int, descriptors))
    sys.argv[:] = ["pytest", *arguments]
    leave_out_folders(os.environ.get("FLOPLINE_LEFT_OUT", ""))
    link.send(Hello(platform.python_version(), randomised, packages()))
    try:
        import pytest

        from .plugin import LockstepPlugin
    except ImportError as error:
        link.send(Bye(CANNOT_START, str(error)))
        return CANNOT_START
    plugin = LockstepPlugin(link)
    status = int(pytest.main([*options(), *arguments], plugins=[plugin]))
    link.send(Bye(status, plugin.refusal))
    return status


def fix_layout() -> bool:
    """Switches address-space randomisation off for this process, where that is permitted.

    Otherwise functions lie at other addresses in every process, which changes their speed. The
    setting takes effect when a program is started, so the process starts itself anew.

    Returns:
        Whether randomisation is still on.
    """
    personality = ctypes.CDLL(None, use_errno=True).personality
    personality.argtypes = [ctypes.c_ulong]
    personality.restype = ctypes.c_int
    current = personality(ASK_PERSONALITY)
    if current == -1:
        return True
    if current & ADDR_NO_RANDOMIZE:
        return False
    refused = personality(current | ADDR_NO_RANDOMIZE) == -1
    if refused or not personality(ASK_PERSONALITY) & ADDR_NO_RANDOMIZE:
        return True
    command = [sys.executable, *sys.orig_argv[1:]]
    os.execv(sys.executable, command)  # noqa: S606  # it is the same program again
    raise AssertionError("unreachable")


def packages() -> dict[str, str]:
    """Returns the versions of the distributions that the interpreter sees, by name."""
    distributions = list(importlib.metadata.distributions())
    # The first on the path is the one that is imported, so it must come last here.
    return {each.metadata["Name"]: each.version for each in reversed(distributions)}


def options() -> list[str]:
    """Returns pytest's arguments that switch benchmarks on, and other plugins off.

    These plugins would otherwise run, repeat, time out or measure the timed tests.
    """
    chosen = ["--benchmark-enable", "--continue-on-collection-errors"]
    for plugin in ("cacheprovider", "randomly", "random_order", "codspeed"):
        chosen += ["-p", f"no:{plugin}"]
    neutral = {
        "xdist": ["-n0", "--dist=no"],
        "pytest_timeout": ["--timeout=0"],
        "pytest_cov": ["--no-cov"],
        "pytest_rerunfailures": ["--reruns=0"],
    }
    for module, arguments in neutral.items():
        if importlib.util.find_spec(module) is not None:
            chosen += arguments
    return chosen
