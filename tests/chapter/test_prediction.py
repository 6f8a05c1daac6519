from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from flopline import machine, matmul, records
from flopline.chapter import ceilings, prediction
from flopline.workload import Case, WrongAnswerError

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


def test_caches_are_the_data_caches_with_their_sizes() -> None:
    assert all(
        re.fullmatch(r"L\d \d+[KM]?", f"{name} {size}") for name, size in machine.caches().items()
    )


def test_cache_sizes_are_read_in_bytes_smallest_first() -> None:
    found = machine.cache_bytes({"L3": "32M", "L1": "32K", "L2": "1024K"})
    assert list(found.items()) == [("L1", 32 << 10), ("L2", 1 << 20), ("L3", 32 << 20)]


def test_a_level_is_probed_by_what_fits_in_it_and_memory_by_what_fits_in_no_cache() -> None:
    sizes = {"L1": 32 << 10, "L2": 1 << 20, "L3": 128 << 20}
    found = ceilings.working_sets(sizes, 64 << 30)
    assert list(found) == ["L1", "L2", "L3", "memory"]
    assert all(found[level] < sizes[level] for level in sizes)
    assert found["L2"] < found["L3"] == 3 << 20  # it is shared: only as much as does not fit in L2
    assert ceilings.working_sets({"L2": 2 << 20, "L3": 6 << 20}, 64 << 30)["L3"] == 3 << 20
    assert found["memory"] >= 4 * sum(sizes.values())
    assert ceilings.working_sets(sizes, 1 << 30)["memory"] == 1 << 27
    assert ceilings.working_sets({}, 64 << 30) == {"memory": 1 << 28}


CEILINGS = ceilings.Ceilings(
    threads=1,
    flops=100e9,
    rows=(ceilings.Narrow(1, 20e9), ceilings.Narrow(2, 40e9), ceilings.Narrow(64, 90e9)),
    columns=(ceilings.Narrow(1, 10e9), ceilings.Narrow(2, 5e9), ceilings.Narrow(64, 80e9)),
    levels=(
        ceilings.Level("L1", 32 << 10, 200e9),
        ceilings.Level("L2", 1 << 20, 100e9),
        ceilings.Level("memory", 1 << 34, 10e9),
    ),
    copy=10e9,
    dispatch=1e-6,
)


@pytest.mark.parametrize(
    ("working_set", "level"),
    [(1, "L1"), (32 << 10, "L1"), ((32 << 10) + 1, "L2"), (1 << 30, "memory"), (1e18, "memory")],
)
def test_a_working_set_is_read_from_the_smallest_level_that_holds_it(
    working_set: float, level: str
) -> None:
    assert CEILINGS.level(working_set).name == level


def test_a_time_is_predicted_from_flops_bytes_and_calls() -> None:
    workload = matmul.prepare(Case("matmul", "column", {"n": 256}))
    found = prediction.explain(workload, 8e-3, 4e-6, CEILINGS)
    assert found.level == "L2"
    assert found.as_narrow == 10e9
    assert found.predicted == pytest.approx(
        2 * 256**3 / 10e9 + 256 * 4e-6
    )  # the rate of one column outweighs bytes
    assert found.explained == pytest.approx(found.predicted / 8e-3)
    assert found.of_peak == pytest.approx(2 * 256**3 / 100e9 / 8e-3)
    assert found.overhead_share == pytest.approx(256 * 4e-6 / 8e-3)
    each = 256 * 256 + 2 * 256  # the matrix, a column read and a column written
    assert found.of_roof == pytest.approx(
        256 * 4 * each / 100e9 / 8e-3
    )  # the roof knows bytes and the peak alone
    one = prediction.explain(replace(workload, product=None), 8e-3, 4e-6, CEILINGS)
    assert one.predicted == pytest.approx(256 * 4 * each / 100e9 + 256 * 4e-6)
    whole = prediction.explain(
        matmul.prepare(Case("matmul", "full", {"n": 256})), 400e-6, 1e-6, CEILINGS
    )
    assert whole.predicted == pytest.approx(2 * 256**3 / 100e9 + 1e-6)
    assert whole.of_roof == pytest.approx(2 * 256**3 / 100e9 / 400e-6)


@pytest.mark.parametrize(
    ("rows", "columns", "rate"),
    [
        (256, 256, 100e9),
        (256, 1, 10e9),
        (1, 256, 20e9),
        (1, 1, 10e9),
        (2, 64, 40e9),
        (65, 2, 5e9),
        (
            256,
            33,
            33 / ((2 / 5e9 + 64 / 80e9) / 2),
        ),  # half way between two known widths: half way between their times
    ],
)
def test_a_product_is_as_fast_as_its_narrower_side_allows(
    rows: int, columns: int, rate: float
) -> None:
    assert CEILINGS.as_narrow(rows, columns) == pytest.approx(rate)


@pytest.mark.parametrize(
    ("costs", "calls", "rate"),
    [
        (
            [1.0] * 50,
            1 + 1 + 10,
            1.0,
        ),  # an untimed call, a first rate, and ten seconds in which nothing rises
        ([1.0] * 6 + [0.5] + [1.0] * 50, 1 + 6 + 10, 2.0),  # a rise, and ten seconds more
        ([1.0] * 6 + [0.995] + [1.0] * 50, 1 + 1 + 11, 1 / 0.995),  # half a percent is no news
        (
            [1.01 * 0.995**i for i in range(19)] + [0.92] * 50,
            1 + 18 + 10,
            1 / 0.92,
        ),  # half a percent, again and again, is
        (
            [0.985**i for i in range(500)],
            1 + 95,
            1 / 0.985**95,
        ),  # ever rising: it ends after fifty seconds
    ],
)
def test_probes_are_repeated_until_no_rate_has_risen_for_a_while(
    costs: list[float], calls: int, rate: float
) -> None:
    now, made = 0.0, 0

    def run() -> None:
        nonlocal now, made
        now += costs[made]
        made += 1

    found = ceilings.best_rates({"probe": ceilings.Probe(1, run)}, 10.0, lambda: now)
    assert made == calls
    assert found["probe"] == pytest.approx(rate)


def test_ceilings_are_measured_for_every_level_and_are_rates() -> None:
    found = ceilings.ceilings(patience=0.1)
    assert [level.name for level in found.levels] == [
        *machine.cache_bytes(machine.caches()),
        "memory",
    ]
    assert (
        [each.width for each in found.rows]
        == [each.width for each in found.columns]
        == list(ceilings.WIDTHS)
    )
    assert found.flops >= max(each.flops for each in found.rows + found.columns)
    rates = [found.flops, found.copy, 1 / found.dispatch, *(level.read for level in found.levels)]
    assert all(math.isfinite(rate) and rate > 0 for rate in rates)


def test_threads_are_restored() -> None:
    before = torch.get_num_threads()
    with machine.pinned(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_no_wrong_answer_is_measured() -> None:
    workload = matmul.prepare(Case("matmul", "full", {"n": 64}))
    with pytest.raises(WrongAnswerError):
        prediction.measure([replace(workload, run=lambda: None)])


def test_a_machine_is_saved_with_what_was_measured(tmp_path: Path) -> None:
    workloads = [matmul.prepare(Case("matmul", name, {"n": 32})) for name in ("row", "full")]
    with machine.pinned(1):
        rows = [
            prediction.explain(w, *times, CEILINGS)
            for w, times in zip(workloads, prediction.measure(workloads), strict=True)
        ]
    found = prediction.Machine(
        machine=machine.describe(),
        threads=1,
        started="",
        seconds=1,
        flopline="1",
        ceilings=CEILINGS,
        cases=tuple(rows),
    )
    records.save(found, tmp_path / "machine.json")
    assert records.load(tmp_path / "machine.json", prediction.Machine) == found
    assert [row.case for row in found.cases] == [
        "matmul/strategy=row/n=32",
        "matmul/strategy=full/n=32",
    ]
