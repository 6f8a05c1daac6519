"""The parent from which both workers of a pair are forked, so that what they share is loaded once.

It is a process of the interpreter without any path of a side. It imports what belongs to the
environment, and forks a worker when the coordinator asks for one. The worker then loads the code of
its own side, as one that was started anew.

The coordinator speaks first, over a socket: the length of what follows in HEADER digits, with which
descriptors may come, then JSON. Every request has one answer, which is a line of JSON.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import socket
import sys
import tempfile
from dataclasses import dataclass
from typing import Any

from . import session
from .imports import Preparation, Refusal, possessions
from .lifeline import become_child_of
from .modules import real_path

ROOM = "FLOPLINE_ROOM"
"""A variable of this process in whose place a worker writes its own temporary folder.

What a worker forks, and what then cuts all its ties, is only known by what stands in its
environment; and the kernel shows that of the program's start, which no later change reaches.
"""
HEADER = 9
MOST_DESCRIPTORS = 8
GONE = 3
"""The exit status where the coordinator is gone, or does not get orphans."""


@dataclass
class Job:
    """What a forked process is to do as a worker.

    Attributes:
        descriptors: The four pipes of the worker, and where its output goes.
        environment: Its whole environment.
        arguments: The arguments for pytest.
        folder: Where it runs.
        coordinator: The process that becomes its parent.
    """

    descriptors: list[int]
    environment: dict[str, str]
    arguments: list[str]
    folder: str
    coordinator: int


def main(arguments: list[str]) -> int:
    """Serves the coordinator until it ends; in a forked worker, runs that worker's session.

    Args:
        arguments: The descriptor of the socket, and the coordinator's process.
    """
    session.fix_layout()
    startup = frozenset(sys.modules)
    descriptor, coordinator = (int(argument) for argument in arguments)
    threads = possessions()["a thread"]  # of which only one survives
    if os.fork():
        os._exit(0)  # so that the coordinator adopts the other process
    if not become_child_of(coordinator):
        return GONE
    session.forget_surroundings(["pytest"])
    with socket.socket(fileno=descriptor) as connection:
        parent = Parent(connection, coordinator, startup, threads)
        job = parent.serve()
    return 0 if job is None else parent.work(job)


class Parent:
    """What the parent has prepared, and its conversation with the coordinator.

    Attributes:
        threads: How many threads there were when the interpreter had started.
        preparation: What is imported, and what must not be.
        packages: The distributions of the environment.
    """

    def __init__(
        self, connection: socket.socket, coordinator: int, startup: frozenset[str], threads: int
    ) -> None:
        self.connection = connection
        self.coordinator = coordinator
        self.threads = threads
        self.preparation = Preparation(Refusal(), (), startup, possessions())
        sys.meta_path.insert(0, self.preparation.refusal)
        self.packages: dict[str, str] = {}

    def serve(self) -> Job | None:
        """Answers requests until the coordinator is gone; returns the job in a forked worker."""
        self.answer({"process": os.getpid()})
        while True:
            request, descriptors = self.receive()
            if not request:
                return None
            match request.pop("do"):
                case "import":
                    self.answer(self.prepare(**request))
                case "fork":
                    job = Job(descriptors, coordinator=self.coordinator, **request)
                    worker = fork()
                    if worker == 0:
                        return job
                    self.answer({"worker": worker})
            for descriptor in descriptors:
                os.close(descriptor)

    def receive(self) -> tuple[dict[str, Any], list[int]]:
        """Waits for a request; returns it with its descriptors, or nothing if nobody is there."""
        flags = socket.MSG_CMSG_CLOEXEC | socket.MSG_WAITALL
        header, descriptors, _, _ = socket.recv_fds(
            self.connection, HEADER, MOST_DESCRIPTORS, flags
        )
        if not header:
            return {}, []
        body = self.connection.recv(int(header), socket.MSG_WAITALL)
        request: dict[str, Any] = json.loads(body)
        return request, descriptors

    def answer(self, fields: dict[str, Any]) -> None:
        """Sends an answer."""
        self.connection.sendall(json.dumps(fields).encode() + b"\n")

    def prepare(  # the fields of a request
        self,
        *,
        modules: list[str],
        without: list[str],
        provided: list[str],
        portions: list[str],
        elsewhere: list[str],
        plugins: list[str],
        folders: list[str],
    ) -> dict[str, Any]:
        """Imports pytest and modules, and returns an answer: what is in the way of forking now.

        Args:
            modules: What to import, in this order.
            without: Modules that are not to be loaded, whoever asks for them.
            provided: As for `Preparation.refuse`, like the next three.
            portions: See there.
            elsewhere: See there.
            plugins: See there.
            folders: Folders from which nothing may be loaded.
        """
        preparation = self.preparation
        preparation.folders = tuple(real_path(folder) + os.sep for folder in folders)
        preparation.refusal.modules.update(without)
        obstacle = ""
        if self.threads > 1:
            obstacle = "the interpreter starts with several threads"
        elif taken := preparation.refuse(provided, portions, elsewhere, plugins):
            obstacle = f"the project has modules of its own named {', '.join(taken[:5])}"
        else:
            first = "asv_runner" if session.ASV_SUITE in os.environ else "pytest"
            preparation.load([first])
            if first in preparation.spoilt:
                obstacle = f"{first} cannot be shared: {preparation.spoilt[first]}"
            else:
                preparation.load(modules)
        if not self.packages and not obstacle:
            self.packages = session.packages()
        gc.collect()
        gc.freeze()  # so that collections in the workers do not touch, and copy, what they share
        return {"spoilt": preparation.spoilt, "obstacle": obstacle}

    def work(self, job: Job) -> int:
        """Runs the session of a worker in this process, which was forked for it."""
        if not become_child_of(job.coordinator):
            return GONE
        *pipes, output = job.descriptors
        nothing = os.open(os.devnull, os.O_RDWR)
        for standard, descriptor in enumerate((nothing, output, output)):
            os.dup2(descriptor, standard)
        os.close(nothing)
        os.close(output)
        os.chdir(job.folder)
        show_environment(job.environment)
        os.environ.clear()
        os.environ.update(job.environment)
        tempfile.tempdir = None
        sys.meta_path.remove(self.preparation.refusal)
        added = entries(job.environment.get("PYTHONPATH", ""))
        sys.path[:] = dict.fromkeys([*added, *sys.path])
        if "numpy.random" in sys.modules:
            # Python does this for its own generator after every fork.
            with contextlib.suppress(Exception):
                sys.modules["numpy.random"].seed()
        packages = {**self.packages, **session.packages(added)} if added else self.packages
        randomised = session.fix_layout()
        return session.run(pipes, job.arguments, randomised=randomised, known=packages)


def fork() -> int:
    """Returns the process of a new worker, of which this one is no parent; 0 in the worker.

    A process in between forks it and ends, so that the coordinator adopts it. The worker is in a
    session of its own when it is known.

    Raises:
        OSError: There is no room for another process.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe()
    between = os.fork()
    if not between:
        try:
            worker = os.fork()
        except OSError:
            os._exit(1)
        if worker:
            os._exit(0)
        os.setsid()
        os.write(writing, b"%d" % os.getpid())
    os.close(writing)
    number = b"" if not between else os.read(reading, 32)
    os.close(reading)
    if not between:
        return 0
    os.waitpid(between, 0)
    if not number:
        raise OSError("no worker could be forked")  # only a log shows it
    return int(number)


def entries(python_path: str) -> list[str]:
    """Returns the entries that PYTHONPATH gives to a new interpreter."""
    if not python_path:
        return []
    return [os.path.abspath(entry) for entry in python_path.split(os.pathsep)]  # noqa: PTH100


def show_environment(environment: dict[str, str]) -> None:
    """Writes what marks this worker to where the kernel shows the environment of a process."""
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_void_p
    place = getenv(ROOM.encode())
    marks = [f"{name}={environment.get(name, '')}" for name in ("TMPDIR", "FLOPLINE_SLOT")]
    text = b"\0" + b"".join(os.fsencode(mark) + b"\0" for mark in marks)
    if place and len(text) <= len(os.environ.get(ROOM, "")):
        ctypes.memmove(place, text, len(text))
