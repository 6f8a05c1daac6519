"""Starts one worker per side in a shared environment, and keeps what each of them collected."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from flopline import FloplineError, git
from flopline.gate.measure.complaint import complaint
from flopline.gate.measure.handle import WorkerError, WorkerGoneError, WorkerHandle
from flopline.gate.measure.orphans import adopted
from flopline.gate.measure.parent import ParentError
from flopline.gate.measure.worker.flopline_worker.protocol import (
    Bye,
    Collection,
    CollectionError,
    Hello,
    Imported,
    Message,
    Order,
)
from flopline.gate.signals import held_back
from flopline.gate.temporary import temporary_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from flopline.gate.measure.parent import ParentProcess
    from flopline.gate.measure.patience import Patience
    from flopline.gate.measure.worker.flopline_worker.protocol import LoadedFile
    from flopline.gate.sides.environment import Side

Expected = TypeVar("Expected", bound=Message)

ALL_LINES = 1000
"""Lines of a worker's output in which the reason is looked for, counted from its end."""

NOT_INHERITED = (
    "PYTHONPATH",  # each side has its own, which leads to what the user's names
    "PYTEST_ADDOPTS",  # meant for other runs; those of the gate come after --
    *("COLUMNS", "GITHUB_STEP_SUMMARY"),  # a worker's output is not shown
)
NOT_PASSED_ON = "PYTEST_ADDOPTS is not passed on; give the options that are needed after --"
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


TAKEN = re.compile(
    r"address already in use|already allocated|already in use|EADDRINUSE|database is locked"
    r"|resource temporarily unavailable|BlockingIOError|FileExistsError|could not acquire|LockError"
    r"|lock file|already running|already exists|Timeout.*lock",
    re.IGNORECASE,
)
"""How errors read where something of a fixed name is in use, for example by the other side."""
TAKEN_ADVICE = (
    "Both sides run at the same time. Let the suite choose its port, file or database by "
    "FLOPLINE_SLOT, a small number that every side has for itself; or give --alternate-setup, if "
    "a fixture needs it"
)


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
        unpaired: Names of an asv suite's benchmarks that are not timed calls of a function.
        loaded: The code that it has loaded from the side's own folders and the user's checkout;
            empty where that was not asked.
        imported: What it has imported; None where that was not asked, or not told.
    """

    items: dict[str, CollectedSource]
    errors: list[CollectionError]
    python: str
    packages: dict[str, str]
    randomised: bool
    unpaired: list[str] = field(default_factory=list)
    loaded: list[LoadedFile] = field(default_factory=list)
    imported: Imported | None = None


class SuiteError(FloplineError, ValueError):
    """The suite cannot be compared with these arguments."""


@contextlib.contextmanager
def pair(  # what both workers are started with
    sides: Sequence[Side],
    arguments: Sequence[str],
    *,
    hash_seed: int,
    padding: int,
    heap_seed: int = 1,
    patience: Patience | None = None,
    first_slot: int = 0,
    parent: ParentProcess | None = None,
) -> Iterator[tuple[list[WorkerHandle], list[Collected]]]:
    """Starts one worker per side, which collects its suite; ends them when the context is left.

    Args:
        sides: The sides in the order of their slots.
        arguments: Arguments for pytest.
        hash_seed: PYTHONHASHSEED of all workers.
        padding: Bytes by which the environment of all workers is padded.
        heap_seed: From which the layout of the heap follows, in all workers.
        patience: How long the workers may be silent; by default that of a run without a budget.
        first_slot: FLOPLINE_SLOT of the first worker; no two workers that run at the same time have
            the same one.
        parent: The process from which they are forked; it has this hash seed and padding. If it
            fails, all workers are started anew, and it keeps why.

    Yields:
        The handles and what was collected, both in the order of the sides.

    Raises:
        WorkerError: A side could not be started, or pytest ended without collecting.
        SuiteError: With these arguments pytest runs no test.
    """
    with contextlib.ExitStack() as stack:
        # A signal now could leave a process behind that nobody would end.
        with held_back():
            temporary = stack.enter_context(temporary_folder("flopline-"))
            stack.enter_context(adopted(temporary))
            environment = shared_environment(hash_seed, padding, heap_seed)
            start = Start(sides, arguments, environment, temporary, patience, first_slot)
            try:
                handles = start.workers(stack, parent)
            except ParentError as error:
                if parent is not None:
                    parent.failure = error
                handles = start.workers(stack, None)
            for handle, peer in itertools.pairwise([*handles, *handles[:-1]]):
                handle.peer = peer
        yield handles, [_collected(*both) for both in zip(handles, sides, strict=True)]


@dataclass(frozen=True)
class Start:
    """What the workers of a pair are started with.

    Attributes:
        sides: The sides in the order of their slots.
        arguments: Arguments for pytest.
        environment: What all workers have in their environment.
        temporary: The folder of the pair.
        patience: How long the workers may be silent.
        first_slot: FLOPLINE_SLOT of the first worker.
    """

    sides: Sequence[Side]
    arguments: Sequence[str]
    environment: dict[str, str]
    temporary: Path
    patience: Patience | None
    first_slot: int = 0

    def workers(
        self, stack: contextlib.ExitStack, parent: ParentProcess | None
    ) -> list[WorkerHandle]:
        """Starts all workers, or none.

        Args:
            stack: Ends them when it is closed.
            parent: The process from which they are forked; None starts them anew.

        Raises:
            WorkerError: An interpreter could not be started.
            ParentError: The parent failed.
        """
        handles: list[WorkerHandle] = []
        with contextlib.ExitStack() as ends, contextlib.ExitStack() as pipe_ends:
            pipes = []  # one towards each worker
            for _ in self.sides:
                pipe = os.pipe()
                pipes.append(pipe)
                # Only the workers keep them, so that one notices when the other one is gone.
                pipe_ends.callback(os.close, pipe[0])
                pipe_ends.callback(os.close, pipe[1])
            for slot, side in enumerate(self.sides):
                folder = self.temporary / str(slot)
                folder.mkdir(exist_ok=True)
                number = self.first_slot + slot
                variables = {"TMPDIR": str(folder), "FLOPLINE_SLOT": str(number)}
                next_slot = (slot + 1) % len(self.sides)
                handle = WorkerHandle.start(
                    side,
                    side.arguments(self.arguments),
                    self.environment | variables,
                    peer=(pipes[slot][0], pipes[next_slot][1]),
                    patience=self.patience,
                    parent=parent,
                )
                ends.callback(handle.close)
                handles.append(handle)
            stack.push(ends.pop_all())
        return handles


def shared_environment(hash_seed: int, padding: int, heap_seed: int = 1) -> dict[str, str]:
    """Returns the environment that all workers of a pair have.

    It asks for one thread and no spinning, has the given seeds, and is `padding` bytes larger than
    without padding.
    """
    known = git.variables()
    inherited = {name: value for name, value in known.items() if name not in NOT_INHERITED}
    chosen = {
        "PYTHONHASHSEED": str(hash_seed),
        "FLOPLINE_PADDING": "x" * padding,
        "FLOPLINE_HEAP": f"{heap_seed:010d}",  # of equal length, as it is in the environment
    }
    return inherited | ONE_THREAD | NO_SPINNING | KEEP_FREED_MEMORY | chosen


def _collected(handle: WorkerHandle, side: Side) -> Collected:
    hello = _expect(handle, side, Hello)
    collection = _expect(handle, side, Collection)
    items = {}
    for benchmark in collection.benchmarks:
        # The worker reports its files relative to where it was started.
        file = os.path.relpath(side.folder / benchmark.file, side.tree)
        items[benchmark.name] = CollectedSource(file, benchmark.digest)
    return Collected(
        items,
        collection.errors,
        hello.python,
        hello.packages,
        hello.randomised,
        collection.unpaired,
    )


def _expect(handle: WorkerHandle, side: Side, kind: type[Expected]) -> Expected:
    """Returns the next message, which must be of this kind."""
    try:
        message = handle.receive()
    except WorkerGoneError as error:
        raise WorkerError(f"{error.side}: the worker {error.outcome}: {error.text}") from error
    if isinstance(message, Bye):
        if side.runner != "pytest":
            text = message.text or handle.tail()
            raise WorkerError(f"{handle.side}: the asv suite does not start: {text}")
        if message.status == 0:
            raise SuiteError(
                f"{handle.side}: with these arguments pytest shows something and runs no test; "
                f"leave out --help, --version, --fixtures, --markers and the like"
            )
        text = complaint(message.text or handle.tail(ALL_LINES))
        if TAKEN.search(text):
            text = f"{text}\n{TAKEN_ADVICE}"
        if "PYTEST_ADDOPTS" in os.environ:
            text = f"{text}\n{NOT_PASSED_ON}"
        raise WorkerError(
            f"{handle.side}: pytest ended with exit code {message.status} before any benchmark: "
            f"{text}"
        )
    if not isinstance(message, kind):
        sent, expected = type(message).__name__, kind.__name__
        raise WorkerError(f"{handle.side}: the worker sent {sent} where {expected} was expected")
    return message


def list_benchmarks(
    sides: Sequence[Side], arguments: Sequence[str], *, patience: Patience | None = None
) -> list[Collected]:
    """Returns what each side has, without running any of it.

    Args:
        sides: The sides.
        arguments: Arguments for pytest.
        patience: How long the workers may be silent; by default that of a run without a budget.

    Raises:
        WorkerError: A side could not be started, or pytest ended without collecting.
        SuiteError: With these arguments pytest runs no test.
    """
    workers = pair(sides, arguments, hash_seed=1, padding=0, patience=patience)
    with workers as (handles, collected):
        for handle, side in zip(handles, sides, strict=True):
            handle.send(reporting_order([], side, imports=True))
        for handle in handles:
            handle.finish()
    listed = []
    for handle, its in zip(handles, collected, strict=True):
        listed.append(replace(its, loaded=handle.loaded or [], imported=handle.imported))
    return listed


def reporting_order(benchmarks: Sequence[str], side: Side, *, imports: bool = False) -> Order:
    """Returns the order to run benchmarks, and to report in the end which code was loaded.

    Args:
        benchmarks: Node ids.
        side: The side that runs them.
        imports: Whether what was imported is reported, too.
    """
    own = "" if side.home is None else str(side.home)
    return Order(list(benchmarks), own, [str(folder) for folder in side.checkouts], imports)
