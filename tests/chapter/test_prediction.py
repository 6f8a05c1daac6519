from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from flopline import matmul, records
from flopline.chapter import prediction
from flopline.chapter.prediction import Timing
from flopline.workload import Case, WrongAnswerError
from tests.support.chapter import CEILINGS

if TYPE_CHECKING:
    from pathlib import Path

    from flopline.chapter.ceilings import Ceilings
    from flopline.progress import Progress
    from flopline.workload import Workload

FLOPS = 2 * 256**3
BYTES_PER_COLUMN = 4 * (256 * 256 + 2 * 256)
"""The matrix, a column read and a column written."""


@pytest.fixture(scope="module")
def column() -> Workload:
    return matmul.prepare(Case("matmul", "column", {"n": 256}))


def test_a_time_is_predicted_from_flops_and_calls(column: Workload) -> None:
    predicted = prediction.predict(column, Timing(8e-3, 4e-6), CEILINGS)
    assert predicted.level == "L2"
    assert predicted.as_narrow == 10e9  # the rate of one column outweighs bytes
    assert predicted.predicted == pytest.approx(FLOPS / 10e9 + 256 * 4e-6)
    assert predicted.explained == pytest.approx(predicted.predicted / 8e-3)
    assert predicted.of_peak == pytest.approx(FLOPS / 100e9 / 8e-3)
    assert predicted.overhead_share == pytest.approx(256 * 4e-6 / 8e-3)


def test_the_roof_knows_only_bytes_and_the_peak(column: Workload) -> None:
    predicted = prediction.predict(column, Timing(8e-3, 4e-6), CEILINGS)
    assert predicted.of_roof == pytest.approx(256 * BYTES_PER_COLUMN / 100e9 / 8e-3)


def test_a_time_is_predicted_from_bytes_where_calls_make_no_product(column: Workload) -> None:
    predicted = prediction.predict(replace(column, product=None), Timing(8e-3, 4e-6), CEILINGS)
    assert predicted.predicted == pytest.approx(256 * BYTES_PER_COLUMN / 100e9 + 256 * 4e-6)


def test_the_whole_product_is_predicted_from_the_peak() -> None:
    full = matmul.prepare(Case("matmul", "full", {"n": 256}))
    predicted = prediction.predict(full, Timing(400e-6, 1e-6), CEILINGS)
    assert predicted.predicted == pytest.approx(FLOPS / 100e9 + 1e-6)
    assert predicted.of_roof == pytest.approx(FLOPS / 100e9 / 400e-6)


def test_no_wrong_answer_is_measured() -> None:
    workload = matmul.prepare(Case("matmul", "full", {"n": 64}))
    with pytest.raises(WrongAnswerError):
        prediction.measure_times([replace(workload, run=lambda: None)])


def test_progress_is_reported_for_each_workload_and_each_round() -> None:
    reports: list[Progress] = []
    workload = matmul.prepare(Case("matmul", "full", {"n": 32}))
    prediction.measure_times([workload], report=reports.append)
    assert (reports[0].stage, reports[0].detail) == ("verifying", workload.case.name)
    rounds = [report.done for report in reports if report.stage == "timing"]
    assert rounds == list(range(prediction.ROUNDS))


def test_a_machine_is_saved_with_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction, "measure_ceilings", made_up_ceilings)
    cases = [Case("matmul", strategy, {"n": 32}) for strategy in ("row", "full")]
    record = prediction.record_machine([matmul.prepare(case) for case in cases])
    records.save(record, tmp_path / "machine.json")
    assert records.load(tmp_path / "machine.json", prediction.MachineRecord) == record
    assert [predicted.case for predicted in record.cases] == [case.name for case in cases]
    assert all(predicted.explained > 0 for predicted in record.cases)


def made_up_ceilings(*, threads: int) -> Ceilings:
    assert threads == 1
    return CEILINGS
