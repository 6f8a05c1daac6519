"""Standard output and error that take whatever is written to them.

A reader that has gone, a full disk, or an encoding that lacks a character must not cost a verdict,
and must not end a command with the exit code of a regression.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import select
import sys
from typing import TYPE_CHECKING

from flopline.characters import ERRORS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import ReadableBuffer

SIZES = ("COLUMNS", "LINES", "TERMINAL_WIDTH")
"""Variables from which libraries read the size of the terminal; not all expect a wrong one."""


class TolerantFile(io.FileIO):
    """An open file that never refuses what is written to it.

    Attributes:
        failure: Why the file can no longer be written; None while it can. What is written later is
            dropped.
    """

    failure: OSError | None = None

    def write(self, data: ReadableBuffer) -> int:
        """Writes bytes, or drops them, and returns how many were taken.

        A file that does not wait (O_NONBLOCK, as some programs set it for a pipe) is waited for.
        """
        while self.failure is None:
            try:
                written = super().write(data)
            except OSError as error:
                self.failure = error
                break
            if written is not None:
                return written
            select.select([], [self.fileno()], [])
        return memoryview(data).nbytes


@contextlib.contextmanager
def tolerant() -> Iterator[None]:
    """Makes standard output and error tolerant, and says at the end whether output was lost.

    A reader that has gone wanted no more, so the exit code stays. Any other failure of standard
    output turns exit code 0 into 2. The other codes say more than that and stay.

    Streams that somebody has replaced, as pytest does, are left alone.
    """
    _open_missing()
    _drop_wrong_sizes()
    names = [name for name in ("stdout", "stderr") if _is_original(name)]
    before = {name: getattr(sys, name) for name in names}
    files = {name: _tolerant_file(name) for name in names}
    end: SystemExit | None = None
    try:
        yield
    except SystemExit as exception:
        end = exception
        raise
    finally:
        for name in names:
            getattr(sys, name).flush()
        lost = files["stdout"].failure if "stdout" in files else None
        if lost is not None and lost.errno != errno.EPIPE:
            sys.stderr.write(f"flopline: stdout could not be written: {lost.strerror}\n")
            sys.stderr.flush()
            if end is None or not end.code:
                sys.exit(2)
        for name, stream in before.items():
            getattr(sys, name).detach().detach()
            setattr(sys, name, stream)


def _open_missing() -> None:
    """Opens the standard files that were closed before this process began.

    Otherwise the next file that is opened would take the number of one, and the output with it.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123  # stays open
            setattr(sys, name, stream)


def _drop_wrong_sizes() -> None:
    for name in SIZES:
        if name in os.environ and not re.fullmatch("[1-9][0-9]{0,4}", os.environ[name]):
            del os.environ[name]


def _is_original(name: str) -> bool:
    stream = getattr(sys, name)
    return isinstance(stream, io.TextIOWrapper) and stream is getattr(sys, f"__{name}__")


def _tolerant_file(name: str) -> TolerantFile:
    """Replaces a standard stream by one on the same file, and returns that file."""
    stream: io.TextIOWrapper = getattr(sys, name)
    stream.flush()
    file = TolerantFile(stream.fileno(), "w", closefd=False)
    is_strict = stream.errors in ("strict", "surrogateescape", "backslashreplace")
    tolerant_stream = io.TextIOWrapper(
        io.BufferedWriter(file),
        encoding=stream.encoding,
        errors=ERRORS if is_strict else stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
    setattr(sys, name, tolerant_stream)
    return file
