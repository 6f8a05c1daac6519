"""Training runs reproduce the chapter's numbers: exact ones exactly, statistical ones over seeds.

The statistical tests compare with means over 400 or 4000 seeds that were computed elsewhere, with numpy. Seeds are
fixed; with fresh ones, each comparison at four standard errors would fail once in 16 000 times.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flopline import records, sgd
from flopline.chapter import training
from flopline.chapter.training import EXPERIMENTS, Experiment, ensemble, points, run, train

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from flopline.data import Table
    from flopline.timing import Clock

L_STAR = 0.24168795509193775
FOUR = 4.0
"""Standard errors."""
SEEDS = 2000


def many(experiment: Experiment, table: Table, seeds: int = SEEDS) -> Tensor:
    return ensemble(experiment, table, seeds, torch.Generator().manual_seed(0))


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 3), st.integers(1, 400))
def test_points_are_ends_of_minibatches_as_dense_as_asked(
    n: int, batch: int, epochs: int, every: int
) -> None:
    batch = min(batch, n)
    found, updates = points(n, batch, epochs, every), math.ceil(n / batch)
    assert found[0] == (0, 0)
    assert found[-1] == (epochs * n, epochs * updates)
    assert {epoch * n for epoch in range(epochs + 1)} <= {examples for examples, _ in found}
    for (before, k), (after, m) in itertools.pairwise(found):
        assert before < after <= before + every + batch
        assert k < m
    for examples, made in found[1:]:
        epoch, left = divmod(made - 1, updates)
        assert examples == epoch * n + min(n, (left + 1) * batch)


@pytest.mark.parametrize(
    ("name", "records_of_the_book", "updates"),
    [
        ("gd", 5, 10),
        ("sgd", 15, 3000),
        ("batch100", 15, 30),
        ("batch10", 15, 300),
        ("concise", 30, 600),
    ],
)
def test_updates_and_the_books_own_records_are_counted(
    name: str, records_of_the_book: int, updates: int
) -> None:
    experiment = EXPERIMENTS[name]
    found = points(1500, experiment.batch, experiment.epochs, 200)
    assert found[-1][1] == updates
    assert sum(examples % 200 == 0 for examples, _ in found[1:]) == records_of_the_book


def test_a_batch_size_that_divides_nothing_is_recorded_too() -> None:
    assert points(1500, 64, 1, 200)[:4] == [(0, 0), (256, 4), (448, 7), (640, 10)]
    assert points(1500, 1500, 1, 200) == [(0, 0), (1500, 1)]


@pytest.mark.parametrize(
    ("name", "mean", "deviation"),
    [
        ("gd", 0.24766, 0.00385),
        ("sgd", 0.24487, 0.00229),
        ("batch100", 0.24544, 0.00298),
        ("batch10", 0.24500, 0.00241),
        ("concise", 0.24262, 0.00065),
    ],
)
def test_final_losses_have_the_mean_and_deviation_of_4000_seeds(
    table: Table, name: str, mean: float, deviation: float
) -> None:
    found = many(EXPERIMENTS[name], table)[-1]
    error = deviation * math.sqrt(1 / 4000 + 1 / SEEDS)
    assert float(found.mean()) == pytest.approx(mean, abs=FOUR * error)
    assert float(found.std()) == pytest.approx(deviation, rel=0.15)


@pytest.mark.parametrize(
    ("epochs", "mean", "deviation"),
    [(4, 0.24954, 0.00579), (2, 0.24964, 0.00565)],
    ids=["torch", "TensorFlow"],
)
def test_the_concise_version_with_the_larger_rate_ends_where_it_did(
    table: Table, epochs: int, mean: float, deviation: float
) -> None:
    experiment = replace(EXPERIMENTS["concise"], lr=0.05, epochs=epochs)
    found = many(experiment, table)[-1]
    assert float(found.mean()) == pytest.approx(
        mean, abs=FOUR * deviation * math.sqrt(1 / 4000 + 1 / SEEDS)
    )


@pytest.mark.parametrize(
    ("name", "curve"),
    [
        ("gd", "2504 2457 2454 2461 2476"),
        ("sgd", "3170 2669 2529 2485 2470 2462 2458 2459 2455 2453 2451 2450 2449 2450 2447"),
        ("batch100", "3244 2715 2554 2500 2484 2473 2469 2466 2462 2462 2459 2456 2455 2456 2455"),
        ("batch10", "3148 2662 2524 2485 2469 2460 2458 2458 2456 2453 2454 2451 2455 2450 2451"),
    ],
)
def test_mean_curves_are_those_of_400_seeds(table: Table, name: str, curve: str) -> None:
    experiment = EXPERIMENTS[name]
    where = points(1500, experiment.batch, experiment.epochs, 200)
    found = many(experiment, table)
    taken = [found[i] for i, (examples, _) in enumerate(where) if examples and examples % 200 == 0]
    for losses, expected in zip(taken, curve.split(), strict=True):
        error = float(losses.std()) * math.sqrt(1 / 400 + 1 / SEEDS)
        assert float(losses.mean()) == pytest.approx(int(expected) / 1e4, abs=FOUR * error + 5e-5)


def test_descent_with_the_chapters_rate_is_lowest_around_step_six_and_then_rises(
    table: Table,
) -> None:
    losses = many(EXPERIMENTS["gd"], table)
    lowest = losses.argmin(0)
    shares = {4: 0.12, 5: 0.32, 6: 0.28, 7: 0.15}
    for step, share in shares.items():
        error = math.sqrt(share * (1 - share) * (1 / 4000 + 1 / SEEDS))
        assert float((lowest == step).double().mean()) == pytest.approx(
            share, abs=FOUR * error + 5e-3
        )
    rises = float((losses[10] > losses[6]).double().mean())
    assert rises == pytest.approx(0.90, abs=FOUR * math.sqrt(0.09 * (1 / 4000 + 1 / SEEDS)) + 5e-3)


@pytest.mark.parametrize(
    ("name", "mean", "deviation"),
    [("sgd", 0.24579, 0.0030), ("batch100", 0.24634, 0.0040), ("batch10", 0.24601, 0.0033)],
)
def test_with_replacement_the_loss_ends_higher_as_published(
    table: Table, name: str, mean: float, deviation: float
) -> None:
    shuffled = many(EXPERIMENTS[name], table)[-1]
    drawn = many(replace(EXPERIMENTS[name], sampling="replacement"), table)[-1]
    assert float(drawn.mean()) == pytest.approx(
        mean, abs=FOUR * deviation * math.sqrt(1 / 400 + 1 / SEEDS)
    )
    assert float(drawn.mean() - shuffled.mean()) > 0


@pytest.mark.parametrize(
    ("name", "mean"), [("sgd", 0.24524), ("batch100", 0.24588), ("batch10", 0.24550)]
)
def test_an_epoch_of_the_doubled_table_ends_as_published(
    table: Table, name: str, mean: float
) -> None:
    found = many(replace(EXPERIMENTS[name], epochs=1, copies=2), table)[-1]
    assert float(found.mean()) == pytest.approx(
        mean, abs=FOUR * 0.003 * math.sqrt(1 / 400 + 1 / SEEDS)
    )


def test_full_batch_descent_does_not_notice_that_the_table_is_doubled(rows: Table) -> None:
    experiment = replace(EXPERIMENTS["gd"], strategy="manual")
    once = run(experiment, rows, 0, dtype=torch.float64)
    twice = run(replace(experiment, batch=3000, copies=2), rows, 0, dtype=torch.float64)
    assert twice.losses == pytest.approx(once.losses, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "limit"),
    [("sgd", 0.256), ("batch100", 0.261), ("batch10", 0.256), ("concise", 0.249), ("gd", 0.2667)],
)
def test_single_runs_end_within_the_published_range(table: Table, name: str, limit: float) -> None:
    experiment = EXPERIMENTS[name]
    if experiment.strategy == "loader":
        experiment = replace(experiment, strategy="manual")
    for seed in range(3):
        assert L_STAR - 1e-6 <= run(experiment, table, seed).losses[-1] <= limit


@pytest.mark.parametrize(
    ("name", "mean", "tolerance"),
    [("sgd", 0.24473, 0.0013), ("batch100", 0.24546, 0.002), ("batch10", 0.24509, 0.0016)],
)
def test_the_mean_of_twenty_seeds_is_the_published_one(
    table: Table, name: str, mean: float, tolerance: float
) -> None:
    experiment = replace(EXPERIMENTS[name], strategy="manual")
    finals = [run(experiment, table, seed).losses[-1] for seed in range(20)]
    assert sum(finals) / 20 == pytest.approx(mean, abs=tolerance)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_no_loss_is_below_the_minimum(rows: Table, name: str) -> None:
    assert float(many(EXPERIMENTS[name], rows, 50).min()) >= L_STAR - 1e-12


@pytest.mark.parametrize(
    "experiment",
    [
        replace(EXPERIMENTS["gd"], strategy="manual"),
        Experiment("one", "manual", 1, 0.005, 1, sampling="replacement"),
        Experiment("ragged", "autograd", 64, 0.2, 2, sampling="replacement", decay=0.1),
        Experiment("library", "module", 100, 0.1, 2, sampling="replacement", library=True),
    ],
    ids=lambda experiment: experiment.name,
)
def test_runs_and_ensembles_are_the_same_algorithm(rows: Table, experiment: Experiment) -> None:
    # One run draws the same numbers from the same generator either way, as long as nothing is shuffled.
    alone = run(experiment, rows, 7, dtype=torch.float64)
    together = ensemble(experiment, rows, 1, torch.Generator().manual_seed(7))
    assert alone.losses == pytest.approx(together[:, 0].tolist(), abs=1e-9)


@pytest.mark.parametrize("strategy", sgd.epochs)
def test_every_strategy_trains_alike(rows: Table, strategy: str) -> None:
    experiment = Experiment("any", strategy, 64, 0.2, 2)
    expected = run(replace(experiment, strategy="manual"), rows, 3, dtype=torch.float64)
    assert run(experiment, rows, 3, dtype=torch.float64).losses == pytest.approx(
        expected.losses, abs=1e-9
    )
    assert run(experiment, rows, 3).losses == pytest.approx(expected.losses, abs=2e-5)


def ticks(steps: list[float]) -> Clock:
    total = itertools.accumulate(itertools.cycle(steps), initial=0.0)
    return lambda: next(total)


def test_seconds_are_those_of_whole_epochs_and_points_within_get_their_share(rows: Table) -> None:
    experiment = Experiment("timed", "manual", 100, 0.1, 2)
    found = run(experiment, rows, 0, clock=ticks([3.0, 100.0, 6.0, 100.0]))
    assert found.epochs == (3.0, 6.0)
    where = points(1500, 100, 2, 200)
    expected = [k / 15 * 3.0 if k <= 15 else 3.0 + (k - 15) / 15 * 6.0 for _, k in where]
    assert found.seconds == pytest.approx(expected)


def test_the_time_to_a_loss_is_that_of_the_first_point_at_or_below_it() -> None:
    found = training.Run(0, (2.0,), (0.0, 1.0, 2.0), (0.5, 0.3, 0.2))
    assert [found.reaches(loss) for loss in (0.6, 0.3, 0.25, 0.1)] == [0.0, 1.0, 2.0, None]


def test_a_rate_above_the_stability_limit_is_named_with_the_limit(rows: Table) -> None:
    manual = replace(EXPERIMENTS["gd"], strategy="manual")
    (high,) = train([manual], rows, range(3))
    (low,) = train([replace(manual, lr=0.9)], rows, range(3))
    assert (
        "the learning rate 1 is above the stability limit 2/lambda_max = 0.9531 (lambda_max = 2.0985)"
        in high.diverged
    )
    assert low.diverged == ""
    (doubled,) = train([replace(manual, lr=0.5, library=True)], rows, range(2))
    assert "the learning rate 1 is above" in doubled.diverged


def test_runs_that_blow_up_end_at_the_last_finite_loss_and_say_so(rows: Table) -> None:
    (found,) = train([Experiment("wild", "manual", 10, 3.0, 4)], rows, range(3))
    assert found.diverged.startswith(
        "diverges in 3 of 3 seeds: the learning rate 3 is above the full batch's"
    )
    assert found.finals() == []
    for each in found.runs:
        assert 1 < len(each.losses) < len(found.examples)
        assert all(math.isfinite(loss) for loss in each.losses)


def test_the_chapters_own_experiments_but_descent_converge(rows: Table) -> None:
    chosen = [
        replace(EXPERIMENTS[name], strategy="manual")
        for name in ("sgd", "batch100", "batch10", "decayed")
    ]
    assert [trained.diverged for trained in train(chosen, rows, range(2))] == [""] * 4


def test_an_interrupt_keeps_the_seeds_that_every_experiment_has_finished(rows: Table) -> None:
    chosen = [replace(EXPERIMENTS[name], strategy="manual") for name in ("gd", "batch100")]

    def interrupt(name: str, _share: float) -> None:
        if name == "batch100, seed 2":
            raise KeyboardInterrupt

    found = train(chosen, rows, range(5), report=interrupt)
    assert [[each.seed for each in trained.runs] for trained in found] == [[0, 1], [0, 1]]

    def at_once(name: str, _share: float) -> None:
        if name == "batch100, seed 0":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(chosen, rows, range(5), report=at_once)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"batch": 0}, "the batch size is 0; allowed are 1 to 1500"),
        ({"batch": 1501}, "the batch size is 1501; allowed are 1 to 1500"),
        ({"lr": math.nan}, "the learning rate is nan; allowed is a number above 0"),
        ({"lr": 0.0}, "the learning rate is 0.0"),
        ({"lr": math.inf}, "the learning rate is inf"),
        ({"epochs": 0}, "the number of epochs is 0; allowed is 1 or more"),
    ],
    ids=str,
)
def test_an_experiment_that_cannot_be_run_is_refused(
    rows: Table, change: dict[str, float], said: str
) -> None:
    with pytest.raises(training.ExperimentError, match=said):
        train([replace(EXPERIMENTS["batch10"], **change)], rows, [0])  # type: ignore[arg-type]  # wrong on purpose


def test_a_strategy_that_remembers_more_than_the_parameters_is_refused(
    rows: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def tiring(w: Tensor, X: Tensor, y: Tensor, batches: object, lr: float) -> None:
        calls.append(1)
        sgd.manual(w, X, y, batches, lr / len(calls))  # type: ignore[arg-type]  # handed on

    monkeypatch.setitem(sgd.epochs._functions, "tiring", tiring)  # noqa: SLF001  # gone after the test
    with pytest.raises(training.ExperimentError, match="ends elsewhere when it is stopped"):
        run(Experiment("tired", "tiring", 100, 0.4, 1), rows, 0)


def test_seeds_repeat_and_differ(rows: Table) -> None:
    experiment = replace(EXPERIMENTS["batch100"], strategy="manual")
    assert run(experiment, rows, 1).losses == run(experiment, rows, 1).losses
    assert run(experiment, rows, 1).losses != run(experiment, rows, 2).losses


def test_training_is_saved_and_read_again(rows: Table, tmp_path: Path) -> None:
    chosen = [
        Experiment("wild", "manual", 10, 3.0, 4),
        replace(EXPERIMENTS["gd"], strategy="manual"),
    ]
    found = training.Training(
        machine={}, threads=1, started="", seconds=1.0, flopline="1",
        problem=training.problem(rows), experiments=train(chosen, rows, range(2)),
    )  # fmt: skip
    records.save(found, tmp_path / "train.json")
    assert records.load(tmp_path / "train.json", training.Training) == found
