"""asv as `flopline history run` starts it: `python -m flopline.history.asv_program FILE run ...`.

asv is the same; its surroundings are made safe for what the user keeps.

- The facts of the machine come from FILE, because asv would cut off and write again the file in
  the user's home folder, which holds all machines.
- Files of results are replaced as a whole, because asv would cut them off first: a full disk or the
  end of the process would lose what was measured before.
- It can be interrupted, even where a shell started the command in the background, and it ends when
  the process that started it dies.
- What it cannot do ends with a sentence.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from asv import machine, util
from asv import main as asv_main

SET_DEATH_SIGNAL = 1
"""The number of PR_SET_PDEATHSIG in Linux's prctl."""


def main() -> None:
    """Runs asv with the arguments that follow the machine file."""
    _, file, *arguments = sys.argv
    sys.argv = ["asv", *arguments]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SET_DEATH_SIGNAL, signal.SIGINT)
    machine.MachineCollection.get_machine_file_path = staticmethod(lambda: file)
    util.write_json = write_whole
    try:
        if os.getppid() != parent:  # it died before its death could be noticed
            end_session(os.getpid())
        asv_main.main()
    except BrokenPipeError:  # nobody reads any more
        end_session(os.getpid())
    except Exception as error:  # noqa: BLE001  # asv leaves many of them to Python
        sys.exit(f"asv failed: {type(error).__name__}: {error}")


def _interrupt(*_: object) -> None:
    """Ends asv and what it has started, at once: its files are whole, and it goes on from them.

    An exception would be lost where Python can only print it, and asv would go on.
    """
    end_session(os.getpid())


PATIENCE = 3
"""Seconds in which pip puts back what it has half replaced, and git removes its locks."""


def end_session(leader: int) -> None:
    """Asks the processes of a session to end, kills those that do not, and its leader the last.

    asv puts what it starts into groups of their own, but not into other sessions.
    """
    deadline = time.monotonic() + PATIENCE
    number = signal.SIGINT
    while others := _session(leader):
        for process in others:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)
        if number == signal.SIGKILL:
            break
        while time.monotonic() < deadline and _session(leader):
            time.sleep(0.05)
        number = signal.SIGKILL
    with contextlib.suppress(ProcessLookupError):
        os.kill(leader, signal.SIGKILL)


def _session(leader: int) -> list[int]:
    """Returns the processes of a session that run, without its leader."""
    processes = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # The name, in parentheses, may hold anything; state, parent, group and session follow.
            facts = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            process = int(path.parent.name)
            if int(facts[3]) == leader and facts[0] != "Z" and process != leader:
                processes.append(process)
    return processes


WRITE_JSON = util.write_json


def write_whole(path: str, *arguments: Any, **options: Any) -> None:  # noqa: ANN401  # as asv's
    """Writes JSON as asv does, into a file that then replaces the one that was asked for."""
    temporary = Path(f"{path}.{os.getpid()}")
    try:
        WRITE_JSON(str(temporary), *arguments, **options)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


if __name__ == "__main__":
    main()
