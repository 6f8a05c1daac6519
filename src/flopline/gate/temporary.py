"""Temporary folders that never outlive their run for long.

A run removes its folders when it ends, whatever ends it. After `kill -9` or a power failure nobody
does; so every run also removes what dead runs of the same user have left behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import re
import shutil
import signal
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from flopline.gate.signals import held_back

if TYPE_CHECKING:
    from collections.abc import Iterator

OWNER = ".flopline-owner"
"""A file in every such folder. Its owner holds a lock on it, which the kernel releases at its end.

It contains the name of the machine, because locks may not reach other machines on a shared disk.
"""
NAMES = "flopline-*"
"""What all names of such folders match."""


@contextlib.contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """Makes a folder that is removed even if a signal arrives while it is made or removed.

    Args:
        prefix: How its name begins; it must begin as `NAMES` does.
    """
    with contextlib.ExitStack() as stack:
        with held_back():
            folder, lock = _make(prefix)
            stack.callback(_give_up, folder, lock)
        yield folder.resolve()


def _make(prefix: str) -> tuple[Path, int]:
    """Returns a new folder and the descriptor that holds its lock."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix))
        marker = folder / OWNER
        lock = os.open(marker, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.write(lock, os.fsencode(platform.node()))
        # Where files cannot be locked, nobody will take the folder for one of a dead run.
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        # Another run may have found it before it was locked, and removed it.
        if marker.exists():
            return folder, lock
        os.close(lock)


def _give_up(folder: Path, lock: int) -> None:
    with held_back():
        _remove(folder)
        os.close(lock)


def _remove(folder: Path) -> None:
    """Removes a folder as far as that is possible; the file that marks it goes last.

    What cannot be removed, because another user has written it, is left to the user.
    """
    for attempt in ("as it is", "made writable"):
        if attempt == "made writable":
            for inner, _, _ in os.walk(folder):
                with contextlib.suppress(OSError):
                    Path(inner).chmod(0o700)
        for path in (*_others(folder), folder):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
        if not folder.exists():
            return


def _others(folder: Path) -> list[Path]:
    """Returns what is in a folder, without the file that marks it."""
    try:
        return [path for path in folder.iterdir() if path.name != OWNER]
    except OSError:
        return []


def remove_dead() -> None:
    """Removes the folders of dead runs of this user, and ends what still runs in them.

    A folder is removed only if it is marked, belongs to this user and this machine, and nobody
    holds its lock.
    """
    for folder in Path(tempfile.gettempdir()).glob(NAMES):
        with contextlib.suppress(OSError):
            if not _is_marked(folder):
                continue
            lock = os.open(folder / OWNER, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.read(lock, 1024) == os.fsencode(platform.node()):
                    _end_processes(folder)
                    with held_back():
                        _remove(folder)
            finally:
                os.close(lock)


def _is_marked(folder: Path) -> bool:
    """Returns whether a folder was made by a run of this user.

    Raises:
        OSError: It is not marked, or does not exist any more.
    """
    own, marker = folder.lstat(), (folder / OWNER).lstat()
    is_mine = own.st_uid == marker.st_uid == os.getuid()
    return is_mine and stat.S_ISDIR(own.st_mode) and stat.S_ISREG(marker.st_mode)


def _end_processes(folder: Path) -> None:
    """Kills the processes that were started with a temporary folder inside of this one."""
    inside = re.compile(rb"(?:\A|\0)TMPDIR=" + re.escape(os.fsencode(folder.resolve())) + rb"/")
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if inside.search((process / "environ").read_bytes()):
                os.kill(int(process.name), signal.SIGKILL)
