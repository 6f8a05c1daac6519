from __future__ import annotations

from dataclasses import replace

import pytest

from flopline.chapter import figures
from flopline.workload import Case
from tests.support import chapter

NAMES = ["ladder", "roofline", "blocks", "epochs", "loss", "noise"]


@pytest.fixture(scope="module")
def pictures() -> dict[str, figures.Picture]:
    shown = chapter.chapter_records()
    drawn = figures.pictures(shown.bench, shown.training, shown.claims, shown.machine)
    return {picture.name: picture for picture in drawn}


def test_records_with_noise_make_six_pictures(pictures: dict[str, figures.Picture]) -> None:
    assert list(pictures) == NAMES
    shown = chapter.chapter_records()
    silent = replace(shown.claims, noise=())
    drawn = figures.pictures(shown.bench, shown.training, silent, shown.machine)
    assert [picture.name for picture in drawn] == NAMES[:-1]


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_says_in_words_what_it_shows(
    pictures: dict[str, figures.Picture], name: str
) -> None:
    picture = pictures[name]
    assert len(picture.alternative) > 30
    assert len(picture.caption) > 30
    for row in picture.data.rows:
        assert len(row) == len(picture.data.columns)


def test_pictures_of_the_same_records_are_the_same_bytes() -> None:
    first, second = (figures.loss(chapter.training_record()).svg("light") for _ in range(2))
    assert first == second


def test_the_data_of_the_ladder_are_the_products(pictures: dict[str, figures.Picture]) -> None:
    rows = {(n, label): float(gflops) for n, label, gflops, _ in pictures["ladder"].data.rows}
    bench = chapter.bench_record()
    assert len(rows) == sum(row.case.startswith("matmul") for row in bench.rows)
    for row in bench.rows:
        case = Case.parse(row.case)
        if case.family == "matmul":
            block = case.axes.get("block")
            label = f"{case.strategy} {block}" if block else case.strategy
            gflops = rows[str(case.axes["n"]), label]
            assert gflops == pytest.approx(row.gflops, rel=1e-3, abs=1e-4)


def test_the_data_of_epochs_are_their_seconds(pictures: dict[str, figures.Picture]) -> None:
    rows = {(row[0], row[1]): row[2] for row in pictures["epochs"].data.rows}
    for row in chapter.bench_record().rows:
        case = Case.parse(row.case)
        if case.family == "sgd":
            assert rows[case.strategy, str(case.axes["batch"])] == f"{row.seconds:.6g}"


def test_the_data_of_the_loss_are_its_points(pictures: dict[str, figures.Picture]) -> None:
    results = chapter.training_record().experiments
    assert len(pictures["loss"].data.rows) == sum(len(result.examples) for result in results)
    first = results[0]
    medians = [row[4] for row in pictures["loss"].data.rows[: len(first.examples)]]
    middle = first.runs[1]  # of three seeds whose losses are ordered
    assert medians == [figures.digits(loss) for loss in middle.losses]


def test_a_surrogate_is_named_in_every_caption_of_training(
    pictures: dict[str, figures.Picture],
) -> None:
    for name in ("epochs", "loss", "noise"):
        assert "surrogate" in pictures[name].caption


def test_every_thing_has_a_colour_and_a_marker_of_its_own() -> None:
    everything = [*figures.LOOKS.values(), *figures.SPARE_LOOKS]
    assert len({look.light for look in everything}) == len(everything)
    assert len({look.dark for look in everything}) == len(everything)
    assert all(look.marker for look in everything)


def test_strategies_of_others_are_told_apart_too() -> None:
    looks = figures.looks(["loader", "compiled", "fused"])
    assert looks["loader"] == figures.LOOKS["loader"]
    assert looks["compiled"] != looks["fused"]
    assert {looks["compiled"], looks["fused"]} <= set(figures.SPARE_LOOKS)


def test_a_curve_ends_where_the_first_seed_diverged() -> None:
    result = chapter.experiment_result("gd", 3)
    cut = replace(result.runs[1], losses=result.runs[1].losses[:4])
    curve = figures.curve(replace(result, runs=(result.runs[0], cut, result.runs[2])))
    assert len(curve.median) == len(curve.seconds) == len(curve.examples) == 4
    assert curve.low[0] < curve.median[0] < curve.high[0]
