"""A handle on a live worker: start it, exchange messages with it, and end it whatever it does."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, Self

from flopline import FloplineError
from flopline.gate.measure.worker.flopline_worker.protocol import Bye, from_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flopline.gate.measure.worker.flopline_worker.protocol import Message
    from flopline.gate.record import SideName
    from flopline.gate.sides.environment import Side

SILENCE = 120.0
"""Seconds after which a worker that sends nothing is taken to hang."""
WORKER = Path(__file__).with_name("worker")
"""The folder that a worker is started with."""
TAIL_LINES = 15
"""Lines of a worker's output that an error shows, counted from its end."""


class WorkerError(FloplineError, RuntimeError):
    """A side could not be started, or ended before it had reported its benchmarks."""


class WorkerGoneError(FloplineError, RuntimeError):
    """A worker ended or fell silent in the middle of a benchmark.

    Attributes:
        side: The side that it measured.
        outcome: Whether it ended or fell silent.
        text: How it ended, and the last lines of its output.
    """

    def __init__(self, side: SideName, outcome: Literal["crashed", "hung"], text: str) -> None:
        super().__init__(f"{side}: {outcome}: {text}")
        self.side: SideName = side
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
        epoch: The epoch of the last message; see `protocol`.
    """

    side: SideName
    process: subprocess.Popen[bytes]
    reading: int
    writing: int
    output: IO[bytes]
    epoch: int = 0
    _received: bytearray = field(default_factory=bytearray)

    @classmethod
    def start(
        cls,
        side: Side,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        peer: tuple[int, int],
    ) -> Self:
        """Starts a worker in a process group of its own.

        Its output goes to a file, so that output of any size never blocks it.

        Args:
            side: The side that it measures.
            arguments: Arguments for pytest.
            environment: The whole environment, except for the side's own variables.
            peer: Descriptors from which the other worker's tokens are read, and to which tokens
                for the other worker are written.

        Raises:
            WorkerError: The interpreter could not be started.
        """
        from_worker, to_coordinator = os.pipe()
        from_coordinator, to_worker = os.pipe()
        descriptors = (from_coordinator, to_coordinator, *peer)
        command = [side.python, "-P", str(WORKER), *map(str, descriptors), *arguments]
        output = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the handle
        try:
            process = subprocess.Popen(
                command,
                cwd=side.folder,
                env={**environment, **side.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=descriptors,
                start_new_session=True,
            )
        except OSError as error:
            os.close(from_worker)
            os.close(to_worker)
            output.close()
            raise WorkerError(
                f"{side.name}: {side.python} could not be started: {error}"
            ) from error
        finally:
            os.close(from_coordinator)
            os.close(to_coordinator)
        os.set_blocking(from_worker, False)
        return cls(side.name, process, from_worker, to_worker, output)

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
            WorkerGoneError: The worker ended, or has sent nothing for `SILENCE`.
        """
        deadline = time.monotonic() + SILENCE
        with selectors.DefaultSelector() as selector:
            selector.register(self.reading, selectors.EVENT_READ)
            while b"\n" not in self._received:
                self._read(selector, deadline)
        line, _, self._received = self._received.partition(b"\n")
        self.epoch, message = from_line(line)
        return message

    def _read(self, selector: selectors.BaseSelector, deadline: float) -> None:
        """Reads what there is of a message, after waiting for at most a second.

        After a crash, a process that a test started may hold the pipe open. So once a second it is
        checked whether the worker itself still lives.
        """
        remaining = max(0.0, deadline - time.monotonic())
        ready = selector.select(min(1.0, remaining))
        chunk = os.read(self.reading, 1 << 16) if ready else None
        if chunk:
            self._received += chunk
        elif chunk == b"" or self.process.poll() is not None:
            raise self._gone()
        elif time.monotonic() >= deadline:
            text = f"nothing received for {SILENCE:.0f} s; {self.tail()}"
            raise WorkerGoneError(self.side, "hung", text)

    def _gone(self) -> WorkerGoneError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        code = self.process.returncode
        if code is not None and code < 0:
            how = f"killed by signal {signal.Signals(-code).name}"
        else:
            how = f"exit code {code}"
        return WorkerGoneError(self.side, "crashed", f"{how}; {self.tail()}")

    def tail(self, lines: int = TAIL_LINES) -> str:
        """Returns the last lines of the worker's output.

        If pytest itself failed with an error, that error comes before them.
        """
        self.output.seek(0)
        text = self.output.read().decode(errors="replace")
        internal_errors = re.findall(
            r"^INTERNALERROR> ([\w.]+(?:Error|Exception): .*)", text, re.MULTILINE
        )
        return "\n".join([*internal_errors[-1:], *text.splitlines()[-lines:]])

    def finish(self) -> None:
        """Waits until pytest has torn down its session.

        A worker that crashes or hangs in it is not an error, because nothing is missing from it.
        """
        with contextlib.suppress(WorkerGoneError):
            while not isinstance(self.receive(), Bye):
                pass

    def close(self) -> None:
        """Ends the worker and everything in its process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.reading)
        os.close(self.writing)
        self.output.close()
