"""A handle on a live worker: start it, exchange messages with it, and end it whatever it does."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import selectors
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Literal, Self

from flopline import FloplineError
from flopline.gate.measure.orphans import HOUSEHOLD
from flopline.gate.measure.parent import WORKER, ForkedProcess
from flopline.gate.measure.patience import Patience, Silence
from flopline.gate.measure.worker.flopline_worker.link import PIPES_CLOSED
from flopline.gate.measure.worker.flopline_worker.protocol import (
    Abort,
    Bye,
    Entered,
    Finished,
    Hello,
    Imported,
    Loaded,
    MessageError,
    Ready,
    from_line,
)
from flopline.gate.signals import held_back

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flopline.gate.measure.parent import ParentProcess
    from flopline.gate.measure.worker.flopline_worker.protocol import LoadedFile, Message
    from flopline.gate.record import SideName
    from flopline.gate.sides.environment import Side

CPUCLOCK_SCHED = 2  # <linux/posix-timers.h>: the time that the scheduler counts for a process
LONGEST = 1 << 26
"""Bytes of the longest line that a worker may send; a benchmark that was collected takes 200."""
TAIL_LINES = 15
"""Lines of a worker's output that an error shows, counted from its end."""
ABORT_SECONDS = 2.0
"""How long a worker that hangs may take to print where it stands."""
STACK = re.compile(r"^Current thread .*:\n((?:  File .*\n){1,6})", re.MULTILINE)
"""The innermost calls in what Python prints when a signal aborts it."""
WAITS_FOR_TURN = re.compile(
    r"\A  File \".*flopline_worker/link\.py\", line \d+ in wait$", re.MULTILINE
)
"""How that begins in a worker that waits until the other one hands over the turn."""


class WorkerError(FloplineError, RuntimeError):
    """A side could not be started, or ended before it had reported its benchmarks."""


class WorkerGoneError(FloplineError, RuntimeError):
    """A worker ended, fell silent or went astray in the middle of a benchmark.

    Attributes:
        side: The side that it measured; None if it happened to the workers of both.
        outcome: Whether it ended or fell silent. A worker that sends what is no message, or not the
            one that is due, has ended as far as the measurement is concerned.
        text: How it ended, and the last lines of its output.
    """

    def __init__(
        self, side: SideName | None, outcome: Literal["crashed", "hung"], text: str
    ) -> None:
        super().__init__(f"{side or 'both sides'}: {outcome}: {text}")
        self.side: SideName | None = side
        self.outcome: Literal["crashed", "hung"] = outcome
        self.text = text


@dataclass
class WorkerHandle:
    """The coordinator's end of one live worker.

    Attributes:
        side: The side that the worker measures.
        process: The worker.
        reading: Descriptor of the pipe from the worker; reading from it does not block.
        writing: Descriptor of the pipe to the worker.
        output: The file that the worker's output goes to.
        patience: How long it may be silent.
        epoch: The epoch of the last message; see `protocol`.
        doing: Where in its session it is, in words.
        peer: The worker with which it takes turns, if there is one.
        loaded: The files from which it has loaded code; None if it did not report them.
        imported: What it has imported; None if it did not report that.
    """

    side: SideName
    process: subprocess.Popen[bytes] | ForkedProcess
    reading: int
    writing: int
    output: IO[bytes]
    patience: Patience = field(default_factory=Patience)
    epoch: int = 0
    doing: str = "at its start"
    peer: Self | None = None
    loaded: list[LoadedFile] | None = None
    imported: Imported | None = None
    _received: bytearray = field(default_factory=bytearray)

    @classmethod
    def start(  # what a process is started with
        cls,
        side: Side,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        peer: tuple[int, int],
        patience: Patience | None = None,
        *,
        parent: ParentProcess | None = None,
    ) -> Self:
        """Starts a worker in a session and a process group of its own.

        Its output goes to a file, so that output of any size never blocks it.

        Args:
            side: The side that it measures.
            arguments: Arguments for pytest.
            environment: The whole environment, except for the side's own variables.
            peer: Descriptors from which the other worker's tokens are read, and to which tokens
                for the other worker are written.
            patience: How long it may be silent; by default that of a run without a budget.
            parent: The process from which it is forked; by default it is started anew.

        Raises:
            WorkerError: The interpreter could not be started.
            ParentError: The parent could not fork it.
        """
        from_worker, to_coordinator = os.pipe()
        from_coordinator, to_worker = os.pipe()
        descriptors = (from_coordinator, to_coordinator, *peer)
        variables = {**environment, **side.environment}
        output = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the handle
        try:
            process: subprocess.Popen[bytes] | ForkedProcess
            if parent is None:
                process = _started(side, arguments, variables, descriptors, output)
            else:
                pipes = [*descriptors, output.fileno()]
                process = parent.fork(pipes, variables, arguments, side.folder)
        except BaseException:
            os.close(from_worker)
            os.close(to_worker)
            output.close()
            raise
        finally:
            os.close(from_coordinator)
            os.close(to_coordinator)
        os.set_blocking(from_worker, False)
        allowed = patience or Patience()
        return cls(side.name, process, from_worker, to_worker, output, allowed)

    @property
    def forked(self) -> bool:
        """Whether it was forked from a parent, and not started anew."""
        return isinstance(self.process, ForkedProcess)

    def send(self, command: Message) -> None:
        """Sends a command for the current benchmark.

        Raises:
            WorkerGoneError: The worker has ended.
        """
        try:
            os.write(self.writing, command.to_line(self.epoch))
        except BrokenPipeError:
            raise self._gone() from None

    def receive(self) -> Message:
        """Waits for the next message and returns it.

        Raises:
            WorkerGoneError: The worker ended, was silent for longer than its patience allows, or
                sent something that is no message.
        """
        processes = [self.process.pid]
        if self.peer is not None:
            processes.append(self.peer.process.pid)
        silence = Silence(processes, self.patience)
        with selectors.DefaultSelector() as selector:
            selector.register(self.reading, selectors.EVENT_READ)
            while b"\n" not in self._received:
                self._read(selector, silence)
        line, _, self._received = self._received.partition(b"\n")
        try:
            self.epoch, message = from_line(line)
        except MessageError as error:
            raise self.astray(f"it sent a line that is no message ({error})") from None
        self._follow(message)
        return message

    def astray(self, what: str) -> WorkerGoneError:
        """Returns the error for a live worker that does not do what it was told.

        Args:
            what: What it did instead.
        """
        return WorkerGoneError(self.side, "crashed", f"{what}; {self.tail()}")

    def _follow(self, message: Message) -> None:
        """Keeps where in its session the worker is."""
        match message:
            case Hello():
                self.doing = "collecting"
            case Entered():
                self.doing = f"in the setup of {message.benchmark}"
            case Ready():
                self.doing = self.doing.replace("in the setup of ", "in ")
            case Finished():
                self.doing = f"after {message.benchmark}"

    def _read(self, selector: selectors.BaseSelector, silence: Silence) -> None:
        """Reads what there is of a message, after waiting for at most a second.

        After a crash, a process that a test started may hold the pipe open. So once a second it is
        checked whether the worker itself still lives.
        """
        ready = selector.select(silence.interval())
        chunk = os.read(self.reading, 1 << 16) if ready else None
        if chunk:
            self._received += chunk
            if len(self._received) > LONGEST and b"\n" not in self._received:
                raise self.astray(f"it sent a line of more than {LONGEST >> 20} MiB")
        elif chunk == b"" or self.process.poll() is not None:
            raise self._gone()
        elif self.patience.stopped.is_set():
            raise KeyboardInterrupt
        elif reason := silence.look(f"{self.side} {self.doing}"):
            raise self._hung(reason)

    def _hung(self, reason: str) -> WorkerGoneError:
        """Returns the error for a worker that hangs, with the line where it does; ends it.

        If it waits for its turn, it is the other worker that hangs.
        """
        stack = self.abort()
        if self.peer is not None and WAITS_FOR_TURN.search(stack):
            peer, stack = self.peer, self.peer.abort()
            return WorkerGoneError(peer.side, "hung", f"{peer.doing}: {reason}\n{stack}")
        return WorkerGoneError(self.side, "hung", f"{self.doing}: {reason}\n{stack}")

    def abort(self) -> str:
        """Ends the worker; returns its innermost calls, or what it has printed at last.

        pytest lets Python print the calls of every thread when a signal aborts it.
        """
        with contextlib.suppress(OSError):
            resource.prlimit(self.process.pid, resource.RLIMIT_CORE, (0, 0))
            self.process.send_signal(signal.SIGABRT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(ABORT_SECONDS)
        stack = STACK.search(self._printed())
        return stack[1].rstrip() if stack else self.tail()

    def _gone(self) -> WorkerGoneError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        code = self.process.returncode
        if code == PIPES_CLOSED:
            how = "the test closed the descriptors through which it was timed"
        elif code is not None and code < 0:
            how = f"killed by signal {signal.Signals(-code).name}"
        else:
            how = f"exit code {code}"
        return WorkerGoneError(self.side, "crashed", f"{how}; {self.tail()}")

    def cpu_seconds(self) -> float | None:
        """Returns the CPU seconds of the worker's process as the kernel counts them.

        Returns None where the kernel does not tell. The clock has the number that
        clock_getcpuclockid(3) gives it on Linux.
        """
        try:
            return time.clock_gettime((~self.process.pid << 3) | CPUCLOCK_SCHED)
        except OSError:
            return None

    def tail(self, lines: int = TAIL_LINES) -> str:
        """Returns the last lines of the worker's output.

        If pytest itself failed with an error, that error comes before them.
        """
        text = self._printed()
        internal_errors = re.findall(
            r"^INTERNALERROR> ([\w.]+(?:Error|Exception): .*)", text, re.MULTILINE
        )
        return "\n".join([*internal_errors[-1:], *text.splitlines()[-lines:]])

    def finish(self) -> None:
        """Waits until pytest has torn down its session.

        A worker that crashes or hangs in it is not an error, because no time is missing from it. A
        benchmark that a plugin runs once more is not timed again. What it has loaded and imported
        is kept, if it reports that.
        """
        with contextlib.suppress(WorkerGoneError):
            message = self.receive()
            while not isinstance(message, Bye):
                if isinstance(message, Ready):
                    self.send(Abort())
                elif isinstance(message, Loaded):
                    self.loaded = message.files
                elif isinstance(message, Imported):
                    self.imported = message
                message = self.receive()

    def _printed(self) -> str:
        """Returns all that the worker has printed."""
        self.output.seek(0)
        return self.output.read().decode(errors="replace")

    def end(self) -> None:
        """Ends the worker and everything in its process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        HOUSEHOLD.forget(self.process.pid)

    def close(self) -> None:
        """Ends the worker, and gives up everything that belongs to it."""
        with held_back():
            self.end()
            os.close(self.reading)
            os.close(self.writing)
            self.output.close()


def _started(
    side: Side,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    descriptors: Sequence[int],
    output: IO[bytes],
) -> subprocess.Popen[bytes]:
    """Returns a new process of a worker.

    Raises:
        WorkerError: The interpreter could not be started.
    """
    command = [side.python, "-P", str(WORKER), *map(str, descriptors), *arguments]
    try:
        with HOUSEHOLD.lock:
            process = subprocess.Popen(
                command,
                cwd=side.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=descriptors,
                start_new_session=True,
            )
            HOUSEHOLD.sessions.add(process.pid)
    except OSError as error:
        raise WorkerError(f"{side.name}: {side.python} could not be started: {error}") from error
    return process
