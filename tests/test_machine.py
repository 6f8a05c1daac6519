from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import torch

from flopline import machine

if TYPE_CHECKING:
    from pathlib import Path


def test_a_machine_describes_itself_in_facts_that_json_keeps() -> None:
    facts = machine.describe()
    assert json.loads(json.dumps(facts)) == facts
    assert {key for key, value in facts.items() if value in ("", "unknown")} == set()
    assert int(str(facts["cores"])) >= int(str(facts["usable_cores"])) >= 1
    assert int(str(facts["memory_bytes"])) > 2**20
    assert facts["torch"] == torch.__version__
    assert ("gpu" in facts) == torch.cuda.is_available()


def test_the_hardware_is_known_without_torch() -> None:
    program = "import sys, flopline.machine as m; m.hardware(); print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
    assert machine.hardware().items() <= machine.describe().items()


def test_caches_are_the_data_caches_with_their_sizes() -> None:
    for name, size in machine.caches().items():
        assert re.fullmatch(r"L\d \d+[KM]?", f"{name} {size}")


def test_cache_sizes_are_read_in_bytes_smallest_first() -> None:
    sizes = machine.cache_bytes({"L3": "32M", "L1": "32K", "L2": "1024K"})
    assert list(sizes.items()) == [("L1", 32 << 10), ("L2", 1 << 20), ("L3", 32 << 20)]


def test_threads_are_restored() -> None:
    before = torch.get_num_threads()
    with machine.pinned(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_a_cache_that_the_kernel_does_not_describe_is_left_out(tmp_path: Path) -> None:
    for name, facts in (
        ("index0", {"level": "1", "type": "Data", "size": "32K"}),
        ("index1", {"level": "1", "type": "Instruction", "size": "32K"}),
        ("index2", {"level": "2", "type": "Unified"}),
    ):
        (tmp_path / name).mkdir()
        for fact, text in facts.items():
            (tmp_path / name / fact).write_text(f"{text}\n")
    assert machine.caches(tmp_path) == {"L1": "32K"}
    assert machine.caches(tmp_path / "nowhere") == {}
