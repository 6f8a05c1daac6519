from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flopline import bench, records
from flopline.bench import Row
from flopline.sheet import Column, to_text

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `flopline bench --json` saved of three cases."""
    path = tmp_path_factory.mktemp("bench") / "bench.json"
    select = "full/n and 256] or column/n and 256] or manual/batch and 100]"
    command = [sys.executable, "-m", "flopline", "bench", "--json", str(path), "--", "-k", select]
    subprocess.run(
        [*command, "--benchmark-max-time=0.01"],
        cwd=ROOT,
        env=os.environ | {"FLOPLINE_DATA": "surrogate"},
        capture_output=True,
        check=True,
    )
    return path


def test_what_bench_saved_is_read_with_its_work_and_its_machine(saved: Path) -> None:
    record = bench.load(saved)
    cases = {row.case: row for row in record.rows}
    whole = cases["matmul/strategy=full/n=256"]
    assert (whole.flops, whole.bytes, whole.calls) == (2 * 256**3, 3 * 4 * 256**2, 1)
    assert whole.gflops == pytest.approx(2 * 256**3 / whole.seconds / 1e9)
    assert whole.low <= whole.seconds <= whole.high
    assert whole.spread == (whole.high - whole.low) / whole.seconds
    assert cases["sgd/strategy=manual/batch=100"].data == "surrogate"
    assert {"cpu", "torch"} <= set(record.machine)
    assert record.threads == 1


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "schema": ({"schema_version": 9}, "schema version 9; this flopline reads 1"),
    "kind": ({"kind": "train"}, "a record of `flopline train`"),
}


@pytest.mark.parametrize(("change", "message"), CHANGES.values(), ids=CHANGES)
def test_a_bench_of_another_schema_or_kind_is_refused(
    saved: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    content = json.loads(saved.read_text())
    content["flopline"] |= change
    path = tmp_path / "other.json"
    path.write_text(json.dumps(content))
    with pytest.raises(records.RecordError, match=message):
        bench.load(path)


FOREIGN: dict[str, tuple[dict[str, Any], str]] = {
    "not marked": ({"flopline": None}, "no record of flopline's"),
    "no machine": ({"machine_info": {}}, "'flopline'"),
    "no numbers": (
        {"benchmarks": [{"extra_info": {"case": "x"}, "stats": {}}]},
        "is not a record of `flopline bench`",
    ),
}


@pytest.mark.parametrize(("change", "message"), FOREIGN.values(), ids=FOREIGN)
def test_a_record_of_other_people_is_refused(
    saved: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = tmp_path / "other.json"
    path.write_text(json.dumps(json.loads(saved.read_text()) | change))
    with pytest.raises(records.RecordError, match=message):
        bench.load(path)


def row(case: str, seconds: float, *, overhead: float | None = None, flops: int = 0) -> Row:
    return Row(
        case=case,
        seconds=seconds,
        low=0.9 * seconds,
        high=1.1 * seconds,
        flops=flops,
        bytes=8,
        calls=10,
        overhead=overhead,
        data="",
    )


MEASURED = [
    row("matmul/strategy=full/n=256", 337.4e-6, overhead=0.01, flops=2 * 256**3),
    row("sgd/strategy=loader/batch=100", 7.473e-3, overhead=0.63, flops=36_000),
    row("matmul/strategy=column_block/n=256/block=64", 382.3e-6, flops=2 * 256**3),
    row("matmul/strategy=row/n=512", 1.5),
]
SHOWN = """\
matmul
strategy       n block     time   IQR GFLOPS of full overhead
─────────────────────────────────────────────────────────────
full         256       337.4 us 20.0%   99.5   1.000       1%
column_block 256    64 382.3 us 20.0%   87.8   0.883
row          512          1.5 s 20.0%      0
sgd
strategy batch  s/epoch   IQR  GFLOPS updates/s overhead
────────────────────────────────────────────────────────
loader     100 7.473 ms 20.0% 0.00482     1,338      63%
"""


def test_rows_are_shown_in_a_table_per_family() -> None:
    assert "".join(to_text(sheet) for sheet in bench.sheets(MEASURED)) == SHOWN


def test_columns_without_anything_to_show_are_left_out() -> None:
    (sheet,) = bench.sheets([row("sum/strategy=numpy/n=1024", 1e-6)])
    assert sheet.columns == (
        Column("strategy", "left"),
        Column("n"),
        Column("time"),
        Column("IQR"),
    )
    assert sheet.rows == (("numpy", "1024", "1 us", "20.0%"),)


@pytest.mark.parametrize(
    ("case", "cells"),
    [
        ("sum/strategy=a=b/share=0.5", ("a=b", "0.5")),
        ("sum/strategy=numpy", ("numpy",)),
        ("sum", ("",)),
    ],
)
def test_a_case_that_does_not_parse_is_shown_all_the_same(
    case: str, cells: tuple[str, ...]
) -> None:
    (sheet,) = bench.sheets([row(case, 1.0)])
    assert sheet.rows[0][: len(cells)] == cells


def test_nothing_measured_gives_no_table() -> None:
    assert bench.sheets([]) == []
