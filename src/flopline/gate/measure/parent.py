"""The coordinator's end of a parent, and a worker that was forked from it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from flopline import FloplineError
from flopline.gate.measure.orphans import HOUSEHOLD
from flopline.gate.signals import held_back

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WORKER = Path(__file__).with_name("worker")
"""The folder that a worker, or a parent of workers, is started with."""
ROOM = {"FLOPLINE_ROOM": 1024 * "x"}
"""See the variable of this name in the worker's module `parent`."""
ANSWER_SECONDS = 120.0
"""How long a parent may import; what takes longer is left to the workers."""
FORK_SECONDS = 20.0
"""How long it may take to fork, which it does in milliseconds."""
LONGEST = 1 << 24
"""Bytes of the longest answer."""


class ParentError(FloplineError, RuntimeError):
    """No worker can be forked from a parent; it must be started anew."""


@dataclass
class ForkedProcess:
    """A child of this program that another process has forked for it.

    It has the methods of `subprocess.Popen` that a worker's handle needs.

    Attributes:
        pid: Its number.
        returncode: How it ended, as in `subprocess`; None as long as it lives.
    """

    pid: int
    returncode: int | None = None

    def poll(self) -> int | None:
        """Returns how it ended; None if it lives."""
        return self._wait(os.WNOHANG)

    def _wait(self, options: int) -> int | None:
        if self.returncode is None:
            try:
                process, status = os.waitpid(self.pid, options)
            except ChildProcessError:  # something else in this program has waited for it
                self.returncode = -signal.SIGKILL
            else:
                if process == self.pid:
                    self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        """Waits for its end.

        Raises:
            TimeoutExpired: It lives after this many seconds.
        """
        if timeout is None:
            return self._wait(0)
        deadline, pause = time.monotonic() + timeout, 0.0005
        while self.poll() is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired([str(self.pid)], timeout)
            time.sleep(pause)
            pause = min(2 * pause, 0.05)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Sends it a signal, if it lives."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Ends it."""
        self.send_signal(signal.SIGKILL)


@dataclass(frozen=True)
class Preparation:
    """What a parent is to import.

    Attributes:
        modules: The modules, in this order.
        without: Modules that are not to be loaded, whoever asks for them.
        provided: Top-level names of modules and packages in the sides' folders.
        portions: Names of their folders without `__init__.py`.
        elsewhere: Packages and modules that sessions had and that are of no environment.
        plugins: Packages and modules that pytest must import.
        folders: Folders from which nothing may be loaded.
    """

    modules: list[str] = field(default_factory=list)
    without: list[str] = field(default_factory=list)
    provided: list[str] = field(default_factory=list)
    portions: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    plugins: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)


@dataclass
class ParentProcess:
    """The coordinator's end of a live parent.

    A parent is started without being waited for. Whatever it is asked next waits until it is ready.

    Attributes:
        hash_seed: PYTHONHASHSEED of its workers.
        padding: Bytes by which their environment is padded.
        launcher: The process that starts it and ends at once; its number is that of the session.
        connection: The socket to it.
        output: The file that its output goes to.
        process: Its number; 0 until it is known.
        preparations: How often it was asked for imports.
        due: How many answers are due.
        closed: Whether it was ended.
        failure: Why a pair could not be forked from it.
        lock: Is held from a request to its answer.
    """

    hash_seed: int
    padding: int
    launcher: subprocess.Popen[bytes]
    connection: socket.socket
    output: IO[bytes]
    process: int = 0
    preparations: int = 0
    due: int = 1
    closed: bool = False
    failure: ParentError | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)
    _prepared: dict[str, Any] = field(default_factory=dict)
    _received: bytearray = field(default_factory=bytearray)

    @classmethod
    def start(
        cls,
        python: str,
        environment: Mapping[str, str],
        folder: Path,
        *,
        hash_seed: int,
        padding: int,
    ) -> Self:
        """Starts a parent, and does not wait for it.

        Args:
            python: The interpreter.
            environment: Its whole environment, without any path of a side.
            folder: Where it runs.
            hash_seed: As in the attributes; the environment has it.
            padding: As in the attributes; the environment has it.

        Raises:
            ParentError: The interpreter could not be started.
        """
        ours, theirs = socket.socketpair()
        output = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the parent
        descriptor = theirs.fileno()
        command = [python, "-P", str(WORKER), "parent", str(descriptor), str(os.getpid())]
        try:
            with HOUSEHOLD.lock:
                launcher = subprocess.Popen(
                    command,
                    cwd=folder,
                    env={**environment, **ROOM},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=[descriptor],
                    start_new_session=True,
                )
                HOUSEHOLD.sessions.add(launcher.pid)
        except OSError as error:
            ours.close()
            output.close()
            raise ParentError(f"{python} could not be started: {error}") from error
        finally:
            theirs.close()
        return cls(hash_seed, padding, launcher, ours, output)

    def prepare(self, preparation: Preparation) -> None:
        """Asks for imports, and does not wait for them.

        Raises:
            ParentError: The parent is gone.
        """
        with self.lock:
            self._ask({"do": "import", **asdict(preparation)}, [])
            self.preparations += 1

    def ready(self) -> dict[str, Any]:
        """Waits until nothing is due, and returns the last answer to `prepare`.

        Raises:
            ParentError: The parent is gone, or was silent for too long.
        """
        with self.lock:
            while self.due:
                answer = self._answer(ANSWER_SECONDS)
                if "spoilt" in answer:
                    self._prepared = answer
            return self._prepared

    def fork(
        self,
        descriptors: Sequence[int],
        environment: Mapping[str, str],
        arguments: Sequence[str],
        folder: Path,
    ) -> ForkedProcess:
        """Returns a new worker.

        Args:
            descriptors: The four pipes of the worker, and where its output goes.
            environment: Its whole environment.
            arguments: The arguments for pytest.
            folder: Where it runs.

        Raises:
            ParentError: The parent is gone, was silent for too long, or could not fork.
        """
        job = {
            "environment": dict(environment),
            "arguments": list(arguments),
            "folder": str(folder),
        }
        # The worker becomes a child of this program before the answer is here.
        with self.lock:
            prepared = self.ready()
            if prepared.get("spoilt") or prepared.get("obstacle"):  # by another pair's imports
                raise ParentError("the parent of the workers has imported what must not be forked")
            with HOUSEHOLD.lock:
                self._ask({"do": "fork", **job}, descriptors)
                worker = self._answer(FORK_SECONDS).get("worker")
                if not isinstance(worker, int):
                    raise ParentError(f"the parent of the workers forked none; {self._tail()}")
                HOUSEHOLD.sessions.add(worker)
        return ForkedProcess(worker)

    def _ask(self, request: Mapping[str, Any], descriptors: Sequence[int]) -> None:
        if self.closed:
            raise ParentError("the parent of the workers was ended meanwhile")
        body = json.dumps(request).encode()
        header = b"%09d" % len(body)
        try:
            if descriptors:
                socket.send_fds(self.connection, [header], list(descriptors))
            else:
                self.connection.sendall(header)
            self.connection.sendall(body)
        except OSError:
            raise self._gone() from None
        self.due += 1

    def _answer(self, seconds: float) -> dict[str, Any]:
        """Waits for the next answer and returns it."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self._received:
            self.connection.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                chunk = self.connection.recv(1 << 16)
            except TimeoutError:
                raise ParentError(
                    f"the parent of the workers did not answer for {seconds:.0f} s"
                ) from None
            except OSError:
                chunk = b""
            if not chunk or len(self._received) > LONGEST:
                raise self._gone()
            self._received += chunk
        self.connection.settimeout(None)
        line, _, self._received = self._received.partition(b"\n")
        self.due -= 1
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise ParentError("the parent of the workers sent a line that is no answer")
        if isinstance(answer.get("process"), int):
            self.process = answer["process"]
        return answer

    def _gone(self) -> ParentError:
        return ParentError(f"the parent of the workers has ended; {self._tail()}")

    def _tail(self) -> str:
        """Returns the last line of what the parent has printed."""
        self.output.seek(0)
        lines = self.output.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it printed nothing"

    def close(self) -> None:
        """Ends the parent; the workers that were forked from it live on."""
        with held_back():
            if self.closed:
                return
            # It is killed first, because who waits for its answer holds the lock.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.launcher.pid, signal.SIGKILL)
            with self.lock:
                self._bury()

    def _bury(self) -> None:
        """Forgets the parent, which was killed."""
        if self.closed:
            return
        self.closed = True
        self.launcher.wait()
        # It became a child of this program, unless it ended before that.
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-self.launcher.pid, 0)
        HOUSEHOLD.forget(self.launcher.pid)
        self.connection.close()
        self.output.close()
