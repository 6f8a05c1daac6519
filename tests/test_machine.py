from __future__ import annotations

import json
import re

import torch

from flopline import machine


def test_a_machine_describes_itself_in_facts_that_json_keeps() -> None:
    facts = machine.describe()
    assert json.loads(json.dumps(facts)) == facts
    assert {key for key, value in facts.items() if value in ("", "unknown")} == set()
    assert int(str(facts["cores"])) >= int(str(facts["usable_cores"])) >= 1
    assert int(str(facts["memory_bytes"])) > 2**20
    assert facts["torch"] == torch.__version__
    assert ("gpu" in facts) == torch.cuda.is_available()


def test_caches_are_the_data_caches_with_their_sizes() -> None:
    assert all(re.fullmatch(r"L\d \d+[KM]?", f"{name} {size}") for name, size in machine.caches().items())
