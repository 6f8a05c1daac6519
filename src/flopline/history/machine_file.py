"""The facts of this machine, and asv's machine file, written in advance so that asv does not ask.

asv stores the facts with every result. Facts in which machines differ become selectors on its
pages.
"""

from __future__ import annotations

import json
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from flopline import FloplineError, machine
from flopline.history.record import HARDWARE

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    return "-".join([*parts, facts["num_cpu"]])


class MachineError(FloplineError, RuntimeError):
    """This machine cannot be entered into asv's machine file."""


def write(facts: Mapping[str, str], results: Path, path: Path | None = None) -> None:
    """Writes the facts of this machine into asv's machine file; other machines' entries are kept.

    Args:
        facts: The facts; `machine` is the machine's name.
        results: asv's results folder.
        path: The machine file; by default `.asv-machine.json` in the user's home folder, where asv
            looks for it.

    Raises:
        MachineError: There are results of other hardware under this name, or the machine file is
            not JSON.
    """
    name = facts["machine"]
    _refuse_other_hardware(facts, results / name / "machine.json")
    target = path or Path.home() / ".asv-machine.json"
    entries: dict[str, object] = {"version": 1}
    if target.is_file():
        entries = _load(target)
    entries[name] = dict(facts)
    target.write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")


def _load(path: Path) -> dict[str, object]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise MachineError(f"{path} is not JSON ({error}); repair or remove it") from error
    if not isinstance(content, dict):
        raise MachineError(f"{path} is not a JSON object; repair or remove it")
    return content


def _refuse_other_hardware(facts: Mapping[str, str], recorded: Path) -> None:
    if not recorded.is_file():
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
