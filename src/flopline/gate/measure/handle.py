"""A handle on a live worker: start it, tell it things, hear its answers, end it whatever it does."""

from __future__ import annotations

import contextlib
import json
import os
import re
import selectors
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, Protocol, Self

from flopline import FloplineError
from flopline.gate.signals import undisturbed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from flopline.gate.record import SideName

SILENCE = 120.0
"""Seconds after which a worker that says nothing is taken to hang."""
WORKER = Path(__file__).with_name("worker")

Message = dict[str, Any]


class Side(Protocol):
    """A version that can be started."""

    @property
    def name(self) -> SideName:
        """`baseline` or `candidate`."""

    @property
    def python(self) -> str:
        """Path of its interpreter."""

    @property
    def tree(self) -> Path:
        """The folder to run in."""

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables to add to the environment."""


class WorkerError(FloplineError, RuntimeError):
    """A side could not be started, or ended before it had said what it must."""


class WorkerGoneError(FloplineError, RuntimeError):
    """A worker ended or fell silent in the middle of a benchmark."""

    def __init__(self, side: SideName, outcome: Literal["crashed", "hung"], text: str) -> None:
        super().__init__(f"{side}: {outcome}: {text}")
        self.side: SideName = side
        self.outcome: Literal["crashed", "hung"] = outcome
        self.text = text


@dataclass
class Worker:
    """One live child: a handle that can be told things, asked, and ended."""

    side: SideName
    process: subprocess.Popen[bytes]
    reading: int
    writing: int
    output: IO[bytes]
    epoch: int = 0
    _buffer: bytearray = field(default_factory=bytearray)

    @classmethod
    def start(
        cls,
        side: Side,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        peer: tuple[int, int],
    ) -> Self:
        """Starts a worker in a process group of its own; its output goes to a file, so that it never blocks.

        Args:
            side: What to start.
            arguments: For pytest.
            environment: All of it, but for the side's own.
            peer: Where to read and to write the tokens of the other worker.
        """
        from_worker, to_us = os.pipe()
        from_us, to_worker = os.pipe()
        output = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the worker
        command = [
            side.python,
            "-P",
            str(WORKER),
            str(from_us),
            str(to_us),
            *map(str, peer),
            *arguments,
        ]
        try:
            process = subprocess.Popen(
                command,
                cwd=side.tree,
                env={**environment, **side.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(from_us, to_us, *peer),
                start_new_session=True,
            )
        except OSError as error:
            for descriptor in (from_worker, to_worker):
                os.close(descriptor)
            output.close()
            raise WorkerError(
                f"{side.name}: {side.python} could not be started: {error}"
            ) from error
        finally:
            os.close(from_us)
            os.close(to_us)
        os.set_blocking(from_worker, False)
        return cls(side.name, process, from_worker, to_worker, output)

    def tell(self, do: str, **facts: object) -> None:
        """Sends a command for the current item.

        Raises:
            WorkerGoneError: The worker has ended.
        """
        line = json.dumps({"do": do, "epoch": self.epoch, **facts}) + "\n"
        try:
            os.write(self.writing, line.encode())
        except BrokenPipeError:
            raise self._gone() from None

    def hear(self) -> Message:
        """The next message.

        Raises:
            WorkerGoneError: The worker ended, or has said nothing for `SILENCE`.
        """
        deadline = time.monotonic() + SILENCE
        with selectors.DefaultSelector() as selector:
            selector.register(self.reading, selectors.EVENT_READ)
            while (end := self._buffer.find(b"\n")) < 0:
                # A test's own child may hold the pipe open after a crash: look at the process now and then.
                ready = selector.select(min(1.0, max(0.0, deadline - time.monotonic())))
                chunk = os.read(self.reading, 1 << 16) if ready else None
                if chunk:
                    self._buffer += chunk
                elif chunk == b"" or self.process.poll() is not None:
                    raise self._gone()
                elif time.monotonic() >= deadline:
                    raise WorkerGoneError(
                        self.side, "hung", f"nothing heard for {SILENCE:.0f} s; {self.tail()}"
                    )
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        message: Message = json.loads(line)
        self.epoch = message["epoch"]
        return message

    def ask(self, do: str, **facts: object) -> Message:
        """Sends a command and gives the answer."""
        self.tell(do, **facts)
        return self.hear()

    def _gone(self) -> WorkerGoneError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        code = self.process.returncode
        how = (
            f"killed by signal {signal.Signals(-code).name}"
            if code is not None and code < 0
            else f"exit code {code}"
        )
        return WorkerGoneError(self.side, "crashed", f"{how}; {self.tail()}")

    def tail(self, lines: int = 15) -> str:
        """The last lines of the worker's own output; before them, the error that pytest itself fell over."""
        self.output.seek(0)
        text = self.output.read().decode(errors="replace")
        fell = re.findall(r"^INTERNALERROR> ([\w.]+(?:Error|Exception): .*)", text, re.MULTILINE)
        return "\n".join([*fell[-1:], *text.splitlines()[-lines:]])

    def finish(self) -> None:
        """Waits until pytest has torn down its session; a worker that does not is ended by `close` all the same."""
        with contextlib.suppress(WorkerGoneError):
            while self.hear()["say"] != "bye":
                pass

    def close(self) -> None:
        """Ends the worker and everything it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for descriptor in (self.reading, self.writing):
            os.close(descriptor)
        self.output.close()


@dataclass(frozen=True)
class Collected:
    """What a side has.

    Attributes:
        items: Node id to (file relative to the tree, hash of the test's source), in pytest's order.
        errors: (file, text) of what could not be collected.
        python: The interpreter's version.
        packages: Distributions it sees.
        randomised: Whether address-space randomisation could not be switched off.
    """

    items: dict[str, tuple[str, str]]
    errors: list[tuple[str, str]]
    python: str
    packages: dict[str, str]
    randomised: bool


class SuiteError(FloplineError, ValueError):
    """The suite cannot be compared as it was asked for."""


CONFLICTS = {
    "xdist": "the arguments ask for xdist, which switches benchmarks off; leave -n and --dist out",
    "--benchmark-skip": "--benchmark-skip is set, so there is nothing to compare; leave it out",
}


@contextlib.contextmanager
def pair(
    sides: Sequence[Side], arguments: Sequence[str], *, hash_seed: int, padding: int
) -> Iterator[tuple[list[Worker], list[Collected]]]:
    """Two live workers that have collected; they are ended when the block is left, however that happens.

    Raises:
        WorkerError: A side could not be started, or pytest ended without collecting.
        SuiteError: xdist or --benchmark-skip is asked for.
    """
    workers: list[Worker] = []
    with contextlib.ExitStack() as stack:
        with undisturbed():
            temporary = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="flopline-")))
            pipes = [os.pipe() for _ in sides]  # one towards each worker
            for end in (end for ends in pipes for end in ends):
                stack.callback(os.close, end)
            shared = shared_environment(hash_seed, padding)
            for slot, side in enumerate(sides):
                folder = temporary / str(slot)
                folder.mkdir()
                environment = shared | {"TMPDIR": str(folder), "FLOPLINE_SLOT": str(slot)}
                peer = (pipes[slot][0], pipes[(slot + 1) % len(pipes)][1])
                worker = Worker.start(
                    side, [*arguments, f"--basetemp={folder}/pytest"], environment, peer
                )
                stack.callback(worker.close)
                workers.append(worker)
        yield workers, [_collected(worker) for worker in workers]


def shared_environment(hash_seed: int, padding: int) -> dict[str, str]:
    """What both sides of a block see: one thread, no spinning, one hash seed, one size of the environment."""
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    dropped = ("PYTHONPATH", "PYTEST_ADDOPTS", "PYTEST_PLUGINS", "COLUMNS", "GITHUB_STEP_SUMMARY")
    return (
        {key: value for key, value in os.environ.items() if key not in dropped}
        | dict.fromkeys(threads, "1")
        | {"OMP_WAIT_POLICY": "passive", "KMP_BLOCKTIME": "0"}
        # glibc then keeps freed memory: or whether a block's end is given back, and faulted in again at every call,
        # depends on what else lies on the heap, and differs between processes by up to a factor of two.
        | {
            "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
            "MALLOC_TOP_PAD_": str(1 << 26),
            "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
        }
        | {"PYTHONHASHSEED": str(hash_seed), "FLOPLINE_PADDING": "x" * padding}
    )


def _collected(worker: Worker) -> Collected:
    hello = _expect(worker, "hello")
    found = _expect(worker, "collected")
    return Collected(
        items={name: (file, source) for name, file, source in found["items"]},
        errors=[(file, text) for file, text in found["errors"]],
        python=hello["python"],
        packages=hello["packages"],
        randomised=hello["randomised"],
    )


def _expect(worker: Worker, what: str) -> Message:
    try:
        message = worker.hear()
    except WorkerGoneError as error:
        raise WorkerError(f"{error.side}: the worker {error.outcome}: {error.text}") from error
    if message["say"] == "bye":
        text = message["text"] or worker.tail()
        raise WorkerError(
            f"{worker.side}: pytest ended with exit code {message['status']} before any benchmark:\n{text}"
        )
    if message["say"] == "conflict":
        raise SuiteError(f"{worker.side}: {CONFLICTS[message['option']]}")
    if message["say"] != what:
        raise WorkerError(
            f"{worker.side}: the worker said {message['say']!r} where {what!r} was expected"
        )
    return message


def collect(sides: Sequence[Side], arguments: Sequence[str]) -> list[Collected]:
    """What each side has, without running any of it.

    Raises:
        WorkerError: As `run_block`.
        SuiteError: As `run_block`.
    """
    with pair(sides, arguments, hash_seed=1, padding=0) as (workers, collected):
        for worker in workers:
            worker.tell("order", ids=[])
        for worker in workers:
            worker.finish()
    return collected
