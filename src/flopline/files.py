"""Files that commands write: whole or not at all, and tried before anything is measured."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from flopline import FloplineError

if TYPE_CHECKING:
    from collections.abc import Sequence

LINKS = 40
"""More links that lead to each other than this are a circle, as for the Linux kernel."""


def destination(path: Path) -> Path | int:
    """Returns the file that a path leads to through its links, or one of this process's own files.

    `/dev/stdout`, `/dev/fd/3` and the like lead to a file that is already open, whose number is
    returned: opening it anew would write over what has been written to it.

    Raises:
        OSError: The links go in circles, or the path is too long.
    """
    place = path.absolute()
    for _ in range(LINKS):
        place = Path(os.path.realpath(place.parent)) / place.name
        opened = re.fullmatch(rf"/proc/{os.getpid()}/fd/(\d+)", str(place))
        if opened:
            return int(opened[1])
        if not place.is_symlink():
            return place
        place = place.parent / place.readlink()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))


class OutputError(FloplineError, OSError):
    """A file that shall be written cannot be."""


def demand_writable(path: Path) -> None:
    """Checks that `write` will be able to write a file, as far as that can be known before.

    Raises:
        OutputError: It will not; the message says why.
    """
    try:
        reason = _obstacle(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
    if reason:
        raise OutputError(f"{path} cannot be written because {reason}")


def _obstacle(path: Path) -> str:
    """Returns why a file cannot be written; empty if it can.

    Raises:
        OSError: The operating system says why.
    """
    target = destination(path)
    if isinstance(target, int):
        mode = fcntl.fcntl(target, fcntl.F_GETFL) & os.O_ACCMODE
        return "it is open for reading only" if mode == os.O_RDONLY else ""
    before = _status(target)
    if before is not None:
        return _obstacle_of(target, before)
    if not target.parent.is_dir():
        return "its folder does not exist; make it first"
    _try_folder(target.parent)
    return ""


def _obstacle_of(target: Path, before: os.stat_result) -> str:
    """Returns why a file that is there cannot be written; empty if it can."""
    if stat.S_ISDIR(before.st_mode):
        return "it is a folder; give the name of a file"
    if stat.S_ISSOCK(before.st_mode):
        return "it is a socket; give the name of a file"
    if not os.access(target, os.W_OK):
        return "its permissions forbid it"
    if stat.S_ISREG(before.st_mode):
        if any(_is_open_as(number, before) for number in (1, 2)):
            return "this command's own output goes there; give another file"
        _try_folder(target.parent)
    return ""


def _try_folder(folder: Path) -> None:
    """Makes a file in a folder and removes it again.

    Raises:
        OSError: No file can be made there.
    """
    temporary, handle = _create(folder, 0o600)
    os.close(handle)
    temporary.unlink()


def _status(path: Path) -> os.stat_result | None:
    """Returns what is known about a file; None if there is none."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _is_open_as(number: int, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.fstat(number), status)
    except OSError:
        return False


def demand_distinct(outputs: Sequence[Path], inputs: Sequence[Path] = ()) -> None:
    """Checks that no file is written twice, and that none that is read is written.

    Raises:
        OutputError: Two paths lead to the same file.
    """
    taken: dict[Path | int, Path] = {}
    for path in inputs:
        taken[destination(path)] = path
    for path in outputs:
        target = destination(path)
        if target in taken:
            role = "is read" if taken[target] in inputs else "is another output"
            raise OutputError(
                f"{path} cannot be written because the same file {role} ({taken[target]}); give "
                "each a file of its own"
            )
        is_device = isinstance(target, Path) and target.is_char_device()
        if not is_device:
            taken[target] = path


def write(path: Path, content: str | bytes) -> None:
    """Writes a file whole or not at all.

    The content goes to a temporary file in the same folder, which is then renamed. A file that was
    there keeps its permissions, and a link stays a link: the file that it leads to is written.
    What is no regular file, for example a device or a pipe, is written to and not replaced.

    Raises:
        OSError: It cannot be written.
    """
    encoded = content.encode() if isinstance(content, str) else content
    target = destination(path)
    if isinstance(target, int):
        _send(os.dup(target), encoded)
        return
    before = _status(target)
    if before is None or stat.S_ISREG(before.st_mode):
        _replace(target, encoded, before)
    else:
        # A pipe that nobody reads is an error, and not a reason to wait for ever.
        handle = os.open(target, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        os.set_blocking(handle, True)
        _send(handle, encoded)


def append(path: Path, content: str) -> None:
    """Adds a text to the end of a file, which is made if there is none.

    Raises:
        OSError: It cannot be written.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY
    handle = os.open(path, flags, 0o666)
    os.set_blocking(handle, True)
    _send(handle, content.encode())


def _send(handle: int, content: bytes) -> None:
    """Writes to an open file and closes it."""
    with os.fdopen(handle, "wb") as file:
        file.write(content)


def _replace(target: Path, content: bytes, before: os.stat_result | None) -> None:
    """Writes a regular file.

    Args:
        target: Its path, which is no link.
        content: What it shall hold.
        before: What is known of the file that is there; None if there is none.
    """
    temporary, handle = _create(target.parent, 0o666 if before is None else 0o600)
    try:
        _send(handle, content)
        if before is not None:
            with contextlib.suppress(PermissionError):  # only root may give files away
                os.chown(temporary, before.st_uid, before.st_gid)
            temporary.chmod(stat.S_IMODE(before.st_mode))
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _create(folder: Path, mode: int) -> tuple[Path, int]:
    """Makes a file of a name that is not taken, and returns its path and its open handle.

    Its permissions are those that are asked for, less what the user's umask takes away.
    """
    temporary = folder / f".flopline-{secrets.token_hex(8)}"
    return temporary, os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
