from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flopline import bench, records

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `flopline bench --json` saved of three cases."""
    path = tmp_path_factory.mktemp("bench") / "bench.json"
    select = "full/n and 256] or column/n and 256] or manual/batch and 100]"
    command = [sys.executable, "-m", "flopline", "bench", "--json", str(path), "--", "-k", select]
    subprocess.run(
        [*command, "--benchmark-max-time=0.01"],
        cwd=ROOT, env=os.environ | {"FLOPLINE_DATA": "surrogate"}, capture_output=True, check=True,
    )  # fmt: skip
    return path


def test_what_bench_saved_is_read_with_its_work_and_its_machine(saved: Path) -> None:
    found = bench.load(saved)
    cases = {row.case: row for row in found.rows}
    whole = cases["matmul/strategy=full/n=256"]
    assert (whole.flops, whole.bytes, whole.calls) == (2 * 256**3, 3 * 4 * 256**2, 1)
    assert whole.gflops == pytest.approx(2 * 256**3 / whole.seconds / 1e9)
    assert whole.low <= whole.seconds <= whole.high
    assert cases["sgd/strategy=manual/batch=100"].data == "surrogate"
    assert {"cpu", "torch"} <= set(found.machine)
    assert found.threads == 1


def test_a_bench_of_another_schema_or_of_other_people_is_refused(
    saved: Path, tmp_path: Path
) -> None:
    path = tmp_path / "other.json"
    original = json.loads(saved.read_text())
    for change, said in (
        (
            {"flopline": original["flopline"] | {"schema_version": 9}},
            "schema version 9; this flopline reads 1",
        ),
        ({"flopline": None}, "no record of flopline's"),
        ({"machine_info": {}}, "'flopline'"),
        (
            {"benchmarks": [{"extra_info": {"case": "x"}, "stats": {}}]},
            "is not a record of `flopline bench`",
        ),
    ):
        path.write_text(json.dumps(original | change))
        with pytest.raises(records.RecordError, match=said):
            bench.load(path)
