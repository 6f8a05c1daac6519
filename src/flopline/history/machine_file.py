"""The facts of this machine, and asv's machine file, written in advance so that asv does not ask.

asv stores the facts with every result. Facts in which machines differ become selectors on its
pages.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from flopline import FloplineError, machine
from flopline.history.record import HARDWARE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

GIB = 2**30


def describe(
    name: str | None, *, device: str, dtype: str, threads: int, data: str
) -> dict[str, str]:
    """Returns the facts of this machine and of a run on it.

    Args:
        name: The machine's name. By default it is made of processor, GPU and cores, so that equal
            machines share a history.
        device: Where the cases run, `cpu` or a CUDA device.
        dtype: The number type of the operands.
        threads: The threads that torch and BLAS are given.
        data: The name of the training set in use.
    """
    known = machine.describe()
    facts = {
        "os": _operating_system(),
        "arch": platform.machine(),
        "cpu": str(known["cpu"]),
        "num_cpu": str(known["cores"]),
        "ram": f"{machine.memory_bytes() / GIB:.0f} GiB",
        "cpython": platform.python_version(),
        "torch": str(known["torch"]),
        "blas": str(known["blas"]),
        "threads": str(threads),
        "device": device,
        "dtype": dtype,
        "data": data,
    }
    if device != "cpu":
        facts["gpu"] = torch.cuda.get_device_name(device)
        facts["cuda"] = str(torch.version.cuda)
        facts["driver"] = _driver()
    return {"machine": name or _default_name(facts), **facts}


def _operating_system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def _driver() -> str:
    """Returns the version of the NVIDIA driver, which torch does not know."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return "unknown"
    command = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    first_line, _, _ = done.stdout.strip().partition("\n")
    return first_line or "unknown"


def _default_name(facts: Mapping[str, str]) -> str:
    """Returns for example `amd-epyc-9b14-nvidia-h100-16`."""
    words = [facts["cpu"]]
    if "gpu" in facts:
        words.append(facts["gpu"])
    parts = []
    for word in words:
        without_filler = re.sub(r"\((R|TM)\)|processor|cpu", "", word, flags=re.IGNORECASE)
        parts.append(re.sub(r"[^a-z0-9]+", "-", without_filler.lower()).strip("-"))
    words = [part for part in parts if part] or ["machine"]  # some kernels name no processor
    return "-".join([*words, facts["num_cpu"]])


class MachineError(FloplineError, RuntimeError):
    """This machine cannot be entered into asv's machine file."""


LONGEST_NAME = 100
"""Bytes of a machine's name; asv makes names of files and of folders of it."""

TAKEN = ("version", "benchmarks.json")
"""What is something else to asv in its machine file and among its results."""


def check_name(name: str) -> None:
    """Refuses a name of a machine that cannot be the name of a folder of results.

    Raises:
        MachineError: It is empty, too long, taken, not visible, or it leads elsewhere.
    """
    fits = name.isprintable() and name.strip() == name and "/" not in name and "\\" not in name
    starts_well = not name.startswith((".", "-"))
    if name and name not in TAKEN and fits and starts_well and len(name.encode()) <= LONGEST_NAME:
        return
    raise MachineError(
        f"a machine cannot be named {name!r}: its results lie in a folder of this name. Choose a "
        "name such as runner-1 with --machine"
    )


def write(facts: Mapping[str, str], results: Path, path: Path | None = None) -> None:
    """Writes the facts of this machine into asv's machine file; other machines' entries are kept.

    The file is replaced as a whole, and runs that write at the same time wait for each other.

    Args:
        facts: The facts; `machine` is the machine's name.
        results: asv's results folder.
        path: The machine file; by default `.asv-machine.json` in the user's home folder, where asv
            looks for it.

    Raises:
        MachineError: There are results of other hardware under this name, or the machine file is
            not JSON, or it cannot be written.
    """
    name = facts["machine"]
    check_name(name)
    _refuse_other_hardware(facts, results / name)
    target = (path or Path.home() / ".asv-machine.json").resolve()
    try:
        with _locked(target.with_name(f"{target.name}.lock")):
            entries: dict[str, object] = {"version": 1}
            if target.exists():
                entries = _load(target)
            if entries.get(name) == dict(facts):
                return
            entries[name] = dict(facts)
            _replace(target, json.dumps(entries, indent=2) + "\n")
    except OSError as error:
        raise MachineError(
            f"{target}, in which asv keeps the facts of machines, cannot be written, and holds "
            f"what it held: {error}; set HOME to a folder with space that can be written"
        ) from error


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Waits until no other process has locked a file; the lock ends with the process at the latest.

    The file stays, because whoever removed it could remove the lock of another process.
    """
    with path.open("a", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _replace(path: Path, content: str) -> None:
    """Replaces a file as a whole and keeps its mode, or keeps the file as it was."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            temporary.chmod(path.stat().st_mode & 0o7777)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _load(path: Path) -> dict[str, object]:
    if not path.is_file():
        raise MachineError(f"{path} is not a file; remove it")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise MachineError(f"{path} is not JSON ({error}); repair or remove it") from error
    if not isinstance(content, dict):
        raise MachineError(f"{path} is not a JSON object; repair or remove it")
    return content


def _refuse_other_hardware(facts: Mapping[str, str], folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise MachineError(f"{folder} is not a folder; choose another name with --machine")
    recorded = folder / "machine.json"
    if not recorded.exists():
        return
    known = _load(recorded)
    compared = [fact for fact in HARDWARE if fact in known and fact in facts]
    differences = [
        f"{fact} was {known[fact]}, is {facts[fact]}"
        for fact in compared
        if str(known[fact]) != facts[fact]
    ]
    if differences:
        raise MachineError(
            f"another machine is named {facts['machine']}: {'; '.join(differences)}. "
            "Choose another name with --machine"
        )
