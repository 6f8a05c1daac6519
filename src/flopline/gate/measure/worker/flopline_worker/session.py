"""One session of a suite, started by the coordinator, from the first message to the last."""

from __future__ import annotations

import ctypes
import faulthandler
import importlib.metadata
import os
import platform
import sys
import traceback

from .finders import leave_out_finders
from .heap import scatter
from .imports import environment_folders
from .lifeline import end_with_coordinator
from .link import Link, move_up
from .modules import leave_out_folders
from .protocol import Bye, Hello

ADDR_NO_RANDOMIZE = 0x0040000  # <sys/personality.h>
ASK_PERSONALITY = 0xFFFFFFFF  # personality(2): returns the present one and changes nothing
CANNOT_START = 4
"""The exit status where pytest is missing; it is the one that pytest has for a usage error."""
FAILED = 3
"""The exit status that pytest has for an error that is none of a test."""
OF_OTHER_RUNNERS = {"CODSPEED_ENV", "PYTEST_XDIST_WORKER", "PYTEST_TIMEOUT"}
"""Variables with which another program tells pytest that it runs the tests, or for how long."""
HEAP_SEED = "FLOPLINE_HEAP"
"""The variable with the seed from which the layout of the heap follows."""
ASV_SUITE = "FLOPLINE_ASV"
"""The variable with the folder of an asv suite; without it the suite is pytest's."""
ASV_RUNNER_NEEDED = (
    "asv_runner discovers the benchmarks of an asv suite; install it into the environment of the "
    "suite (pip install asv_runner)"
)


def main(arguments: list[str]) -> int:
    """Prepares a new process and runs its session; returns the exit status.

    Args:
        arguments: The descriptors of four pipes (to read from and to write to the coordinator, to
            read from and to write to the other worker), then the arguments of pytest.
    """
    end_with_coordinator()
    randomised = fix_layout()
    pipes = [int(descriptor) for descriptor in arguments[:4]]
    return run(pipes, arguments[4:], randomised=randomised)


def run(
    descriptors: list[int],
    arguments: list[str],
    *,
    randomised: bool,
    known: dict[str, str] | None = None,
) -> int:
    """Runs the suite between the first and the last message, and returns the exit status.

    Args:
        descriptors: The four pipes.
        arguments: The arguments of pytest, or what the names of an asv suite's benchmarks match.
        randomised: Whether address-space randomisation is still on.
        known: The distributions that the interpreter sees, if somebody has looked already.
    """
    link = Link(*move_up(descriptors))
    forget_surroundings(["pytest", *arguments])
    environment = environment_folders()
    seed = os.environ.get(HEAP_SEED, "")
    held = scatter(int(seed)) if seed else []
    link.send(Hello(platform.python_version(), randomised, known or packages()))
    if ASV_SUITE in os.environ:
        status, text = run_asv(link, environment, arguments)
    else:
        status, text = run_pytest(link, environment, arguments)
    link.send(Bye(status, text))
    held.clear()  # it was kept until here
    return status


def run_pytest(link: Link, environment: tuple[str, ...], arguments: list[str]) -> tuple[int, str]:
    """Runs pytest; returns its exit status and why nothing can be measured, if that is so."""
    try:
        import pytest

        from .neutral import NeutralPlugin
        from .plugin import LockstepPlugin
    except ImportError as error:
        return CANNOT_START, str(error)
    plugin = LockstepPlugin(link, environment)
    try:
        return int(pytest.main(arguments, plugins=[plugin, NeutralPlugin()])), plugin.refusal
    except Exception as error:  # noqa: BLE001  # pytest does not catch all that a conftest raises
        traceback.print_exc()
        return FAILED, f"{type(error).__name__}: {error}"


def run_asv(link: Link, environment: tuple[str, ...], patterns: list[str]) -> tuple[int, str]:
    """Runs an asv suite; returns the exit status and why nothing can be measured, if so."""
    faulthandler.enable()  # as pytest does, so that a worker that is aborted says where it was
    try:
        from . import asv_suite
    except ImportError as error:
        return CANNOT_START, f"{error}; {ASV_RUNNER_NEEDED}"
    try:
        text = asv_suite.run(link, environment, os.environ[ASV_SUITE], patterns)
    except Exception as error:  # noqa: BLE001  # an import or a name of the suite
        traceback.print_exc()
        return FAILED, f"{type(error).__name__}: {error}"
    return (CANNOT_START if text else 0), text


def forget_surroundings(command: list[str]) -> None:
    """Lets the process look as if nothing but pytest ran in it.

    Args:
        command: What it seems to have been started with.
    """
    for name in OF_OTHER_RUNNERS & os.environ.keys():
        del os.environ[name]
    sys.argv[:] = command
    leave_out_folders(os.environ.get("FLOPLINE_LEFT_OUT", ""))
    leave_out_finders(os.environ.get("FLOPLINE_BUILT", ""))


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


def packages(path: list[str] | None = None) -> dict[str, str]:
    """Returns the versions of the distributions that the interpreter sees, by name.

    Args:
        path: The folders to look into; by default all on the import path.
    """
    distributions = list(importlib.metadata.distributions(path=sys.path if path is None else path))
    # The first on the path is the one that is imported, so it must come last here.
    return {each.metadata["Name"]: each.version for each in reversed(distributions)}
