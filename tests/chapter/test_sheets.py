from __future__ import annotations

from pathlib import Path

import pytest

from flopline.chapter import sheets
from flopline.chapter.claims.evidence import Quantity
from flopline.sheet import to_text
from tests.support import chapter

TABLES = Path(__file__).parent / "tables"
"""What the terminal shows of the made-up records."""


def test_a_machine_is_shown_by_its_ceilings_and_predictions() -> None:
    tables = [to_text(sheet) for sheet in sheets.machine(chapter.machine_record())]
    assert "\n".join(tables) == (TABLES / "machine.txt").read_text()


def test_training_shows_losses_and_times_over_seeds() -> None:
    table = to_text(sheets.training(chapter.training_record()))
    assert table == (TABLES / "training.txt").read_text()


def test_claims_wrap_their_sentences_and_count_the_answers() -> None:
    table = to_text(sheets.claims(chapter.claims_record()), width=100)
    assert table == (TABLES / "claims.txt").read_text()


def test_one_seed_has_no_deviation() -> None:
    row = sheets.training(chapter.training_record(seeds=1)).rows[0]
    assert row[6:8] == ("0.24008", "")


def test_every_short_head_is_explained_in_a_legend() -> None:
    predictions = sheets.predictions(chapter.machine_record())
    training = sheets.training(chapter.training_record())
    for sheet, heads in (
        (predictions, ["level", "as narrow", "predicted", "explained", "of peak", "of roof"]),
        (predictions, ["overhead"]),
        (training, ["final loss", "sd", "s/epoch", "IQR", "to L*+1%"]),
    ):
        names = [column.name for column in sheet.columns]
        legend = "\n".join(sheet.notes)
        for head in heads:
            assert head in names
            assert f"{head}:" in legend or f"{head}," in legend


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        ([2.0, 1.0, 3.0], "2 s"),
        ([2.0, None, 1.0], "1.5 s (2)"),
        ([None, None], "never"),
    ],
)
def test_seeds_that_never_reach_a_loss_are_counted(seconds: list[float | None], words: str) -> None:
    assert sheets.reached(seconds) == words


@pytest.mark.parametrize(
    ("quantity", "words"),
    [
        (Quantity("slope", -0.5, -0.52, -0.48), "slope: -0.5 [-0.52, -0.48]"),
        (Quantity("count", 1500, 1500, 1500), "count: 1500"),
        (Quantity("time", 0.0021, 0.002, 0.0025, "s"), "time: 2.1 ms [2 ms, 2.5 ms]"),
        (Quantity("copy", 1.5e9, 1.5e9, 1.5e9, "B/s"), "copy: 1.5 GB/s"),
        (Quantity("peak", 9.5e10, 9.5e10, 9.5e10, "flop/s"), "peak: 95 GFLOPS"),
    ],
)
def test_a_quantity_is_shown_with_its_interval_and_unit(quantity: Quantity, words: str) -> None:
    assert sheets.quantity(quantity) == words


def test_a_machines_caches_are_one_fact() -> None:
    rows = sheets.facts(chapter.machine_record()).rows
    assert ("caches", "L1 32K, L2 1024K") in rows
    assert ("cores", "2") in rows
