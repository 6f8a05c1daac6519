"""Starts one worker per side in a shared environment, and keeps what each of them collected."""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from flopline import FloplineError, git
from flopline.gate.measure.handle import WorkerError, WorkerGoneError, WorkerHandle
from flopline.gate.measure.worker.flopline_worker.protocol import (
    Bye,
    Collection,
    CollectionError,
    Conflict,
    Hello,
    Message,
    Order,
)
from flopline.gate.signals import held_back

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flopline.gate.sides.environment import Side

Expected = TypeVar("Expected", bound=Message)

CONFLICTS = {
    "xdist": "the arguments use xdist, which switches benchmarks off; leave out -n and --dist",
    "--benchmark-skip": "--benchmark-skip is set, so nothing can be compared; leave it out",
}
"""What a user must do about an option under which nothing is timed."""

NOT_INHERITED = (
    "PYTHONPATH",  # each side has its own, which leads to what the user's names
    "PYTEST_ADDOPTS",  # meant for other runs; those of the gate come after --
    *("COLUMNS", "GITHUB_STEP_SUMMARY"),  # a worker's output is not shown
)
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
)
NO_SPINNING = {"OMP_WAIT_POLICY": "passive", "KMP_BLOCKTIME": "0"}
KEEP_FREED_MEMORY = {
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_TOP_PAD_": str(1 << 26),
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
}
"""Make glibc keep freed memory.

Otherwise the top of the heap may be returned to the kernel and faulted in again on every call,
depending on unrelated allocations; that differs between processes by up to a factor of two.
"""


class CollectedSource(NamedTuple):
    """Where a benchmark stands.

    Attributes:
        file: Its file, relative to the side's tree.
        digest: A hash of the test function's source; empty where there is no source.
    """

    file: str
    digest: str


@dataclass(frozen=True)
class Collected:
    """The benchmarks of a side, and the interpreter that collected them.

    Attributes:
        items: Every benchmark by its node id, in pytest's order.
        errors: The files that could not be collected.
        python: The interpreter's version.
        packages: Versions of the distributions that it sees, by name.
        randomised: Whether address-space randomisation could not be switched off.
    """

    items: dict[str, CollectedSource]
    errors: list[CollectionError]
    python: str
    packages: dict[str, str]
    randomised: bool


class SuiteError(FloplineError, ValueError):
    """The suite cannot be compared with these arguments."""


@contextlib.contextmanager
def pair(
    sides: Sequence[Side], arguments: Sequence[str], *, hash_seed: int, padding: int
) -> Iterator[tuple[list[WorkerHandle], list[Collected]]]:
    """Starts one worker per side, which collects its suite; ends them when the context is left.

    Args:
        sides: The sides in the order of their slots.
        arguments: Arguments for pytest.
        hash_seed: PYTHONHASHSEED of all workers.
        padding: Bytes by which the environment of all workers is padded.

    Yields:
        The handles and what was collected, both in the order of the sides.

    Raises:
        WorkerError: A side could not be started, or pytest ended without collecting.
        SuiteError: The arguments switch benchmarks off.
    """
    handles: list[WorkerHandle] = []
    with contextlib.ExitStack() as stack:
        # A signal now could leave a process behind that nobody would end.
        with held_back():
            temporary = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="flopline-")))
            pipes = []  # one towards each worker
            for _ in sides:
                pipe = os.pipe()
                pipes.append(pipe)
                stack.callback(os.close, pipe[0])
                stack.callback(os.close, pipe[1])
            environment = shared_environment(hash_seed, padding)
            for slot, side in enumerate(sides):
                folder = temporary / str(slot)
                folder.mkdir()
                environment |= {"TMPDIR": str(folder), "FLOPLINE_SLOT": str(slot)}
                next_slot = (slot + 1) % len(sides)
                handle = WorkerHandle.start(
                    side,
                    [*side.arguments(arguments), f"--basetemp={folder}/pytest"],
                    environment,
                    peer=(pipes[slot][0], pipes[next_slot][1]),
                )
                stack.callback(handle.close)
                handles.append(handle)
        yield handles, [_collected(*both) for both in zip(handles, sides, strict=True)]


def shared_environment(hash_seed: int, padding: int) -> dict[str, str]:
    """Returns the environment that all workers of a pair have.

    It asks for one thread and no spinning, has the given hash seed, and is `padding` bytes larger
    than without padding.
    """
    known = git.variables()
    inherited = {name: value for name, value in known.items() if name not in NOT_INHERITED}
    chosen = {"PYTHONHASHSEED": str(hash_seed), "FLOPLINE_PADDING": "x" * padding}
    return inherited | ONE_THREAD | NO_SPINNING | KEEP_FREED_MEMORY | chosen


def _collected(handle: WorkerHandle, side: Side) -> Collected:
    hello = _expect(handle, Hello)
    collection = _expect(handle, Collection)
    items = {}
    for benchmark in collection.benchmarks:
        # The worker reports its files relative to where it was started.
        file = os.path.relpath(side.folder / benchmark.file, side.tree)
        items[benchmark.name] = CollectedSource(file, benchmark.digest)
    return Collected(items, collection.errors, hello.python, hello.packages, hello.randomised)


def _expect(handle: WorkerHandle, kind: type[Expected]) -> Expected:
    """Returns the next message, which must be of this kind."""
    try:
        message = handle.receive()
    except WorkerGoneError as error:
        raise WorkerError(f"{error.side}: the worker {error.outcome}: {error.text}") from error
    match message:
        case Bye():
            text = message.text or handle.tail()
            note = ""
            if "PYTEST_ADDOPTS" in os.environ:
                note = (
                    "\nPYTEST_ADDOPTS is not passed on; give the options that are needed after --"
                )
            raise WorkerError(
                f"{handle.side}: pytest ended with exit code {message.status} before any "
                f"benchmark:\n{text}{note}"
            )
        case Conflict():
            raise SuiteError(f"{handle.side}: {CONFLICTS[message.option]}")
    if not isinstance(message, kind):
        sent, expected = type(message).__name__, kind.__name__
        raise WorkerError(f"{handle.side}: the worker sent {sent} where {expected} was expected")
    return message


def list_benchmarks(sides: Sequence[Side], arguments: Sequence[str]) -> list[Collected]:
    """Returns what each side has, without running any of it.

    Raises:
        WorkerError: A side could not be started, or pytest ended without collecting.
        SuiteError: The arguments switch benchmarks off.
    """
    with pair(sides, arguments, hash_seed=1, padding=0) as (handles, collected):
        for handle in handles:
            handle.send(Order([]))
        for handle in handles:
            handle.finish()
    return collected
