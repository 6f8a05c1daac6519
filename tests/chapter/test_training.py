"""Training runs reproduce the chapter's numbers: exact ones exactly, statistical ones over seeds.

The statistical tests compare with means over 400 or 4000 seeds that were computed elsewhere, with
numpy. Seeds are fixed. With fresh seeds, each comparison at four standard errors would fail once in
16 000 times.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flopline import records, sgd
from flopline.chapter import training
from flopline.chapter.training import (
    EXPERIMENTS,
    Experiment,
    ensemble,
    points,
    points_of,
    run_experiment,
    train,
)
from flopline.workload import RefusedError, WrongAnswerError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from flopline.data import Table
    from flopline.progress import Progress
    from flopline.timing import Clock

L_STAR = 0.24168795509193775
FOUR = 4.0
"""Standard errors."""
SEEDS = 2000


@cache
def losses_of_many(experiment: Experiment, table: Table, seeds: int = SEEDS) -> Tensor:
    return ensemble(experiment, table, seeds, torch.Generator().manual_seed(0))


def manual(name: str, **changes: Any) -> Experiment:  # noqa: ANN401  # fields of an experiment
    """Returns one of the experiments, run in the fastest way."""
    return replace(EXPERIMENTS[name], strategy="manual", **changes)


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 3), st.integers(1, 400))
def test_points_are_ends_of_minibatches_as_dense_as_requested(
    n: int, minibatch: int, epochs: int, every: int
) -> None:
    minibatch = min(minibatch, n)
    updates = math.ceil(n / minibatch)
    places = points(n, minibatch, epochs, every)
    assert places[0] == (0, 0)
    assert places[-1] == (epochs * n, epochs * updates)
    assert {epoch * n for epoch in range(epochs + 1)} <= {place.examples for place in places}
    for before, after in itertools.pairwise(places):
        assert before.examples < after.examples <= before.examples + every + minibatch
        assert before.updates < after.updates
    for place in places[1:]:
        epoch, finished = divmod(place.updates - 1, updates)
        assert place.examples == epoch * n + min(n, (finished + 1) * minibatch)


@pytest.mark.parametrize(
    ("name", "points_of_the_book", "updates"),
    [
        ("gd", 5, 10),
        ("sgd", 15, 3000),
        ("batch100", 15, 30),
        ("batch10", 15, 300),
        ("concise", 30, 600),
    ],
)
def test_updates_and_the_books_own_points_are_counted(
    name: str, points_of_the_book: int, updates: int
) -> None:
    places = points_of(EXPERIMENTS[name], 1500)
    assert places[-1].updates == updates
    assert sum(place.examples % 200 == 0 for place in places[1:]) == points_of_the_book


def test_a_minibatch_size_that_divides_nothing_is_recorded_too() -> None:
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
    final = losses_of_many(EXPERIMENTS[name], table)[-1]
    error = deviation * math.sqrt(1 / 4000 + 1 / SEEDS)
    assert float(final.mean()) == pytest.approx(mean, abs=FOUR * error)
    assert float(final.std()) == pytest.approx(deviation, rel=0.15)


@pytest.mark.parametrize(
    ("epochs", "mean", "deviation"),
    [(4, 0.24954, 0.00579), (2, 0.24964, 0.00565)],
    ids=["torch", "TensorFlow"],
)
def test_the_concise_version_with_the_larger_rate_ends_where_it_did(
    table: Table, epochs: int, mean: float, deviation: float
) -> None:
    experiment = replace(EXPERIMENTS["concise"], lr=0.05, epochs=epochs)
    final = losses_of_many(experiment, table)[-1]
    error = deviation * math.sqrt(1 / 4000 + 1 / SEEDS)
    assert float(final.mean()) == pytest.approx(mean, abs=FOUR * error)


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
    losses = losses_of_many(experiment, table)
    rows = []
    for row, place in enumerate(points_of(experiment, 1500)):
        if place.examples and place.examples % 200 == 0:
            rows.append(row)
    for row, expected in zip(rows, curve.split(), strict=True):
        mean, deviation = float(losses[row].mean()), float(losses[row].std())
        error = deviation * math.sqrt(1 / 400 + 1 / SEEDS)
        assert mean == pytest.approx(int(expected) / 1e4, abs=FOUR * error + 5e-5)


def test_descent_with_the_chapters_rate_is_lowest_near_step_six_then_rises(
    table: Table,
) -> None:
    losses = losses_of_many(EXPERIMENTS["gd"], table)
    lowest = losses.argmin(0)
    shares = {4: 0.12, 5: 0.32, 6: 0.28, 7: 0.15}
    for step, share in shares.items():
        error = math.sqrt(share * (1 - share) * (1 / 4000 + 1 / SEEDS))
        measured = float((lowest == step).double().mean())
        assert measured == pytest.approx(share, abs=FOUR * error + 5e-3)
    rises = float((losses[10] > losses[6]).double().mean())
    error = math.sqrt(0.09 * (1 / 4000 + 1 / SEEDS))
    assert rises == pytest.approx(0.90, abs=FOUR * error + 5e-3)


@pytest.mark.parametrize(
    ("name", "mean", "deviation"),
    [("sgd", 0.24579, 0.0030), ("batch100", 0.24634, 0.0040), ("batch10", 0.24601, 0.0033)],
)
def test_with_replacement_the_loss_ends_higher_as_published(
    table: Table, name: str, mean: float, deviation: float
) -> None:
    shuffled = losses_of_many(EXPERIMENTS[name], table)[-1]
    drawn = losses_of_many(replace(EXPERIMENTS[name], sampling="replacement"), table)[-1]
    error = deviation * math.sqrt(1 / 400 + 1 / SEEDS)
    assert float(drawn.mean()) == pytest.approx(mean, abs=FOUR * error)
    assert float(drawn.mean() - shuffled.mean()) > 0


@pytest.mark.parametrize(
    ("name", "mean"), [("sgd", 0.24524), ("batch100", 0.24588), ("batch10", 0.24550)]
)
def test_an_epoch_of_the_doubled_table_ends_as_published(
    table: Table, name: str, mean: float
) -> None:
    final = losses_of_many(replace(EXPERIMENTS[name], epochs=1, copies=2), table)[-1]
    error = 0.003 * math.sqrt(1 / 400 + 1 / SEEDS)
    assert float(final.mean()) == pytest.approx(mean, abs=FOUR * error)


def test_full_batch_descent_does_not_notice_that_the_table_is_doubled(rows: Table) -> None:
    doubled = manual("gd", minibatch=3000, copies=2)
    once = run_experiment(manual("gd"), rows, 0, dtype=torch.float64)
    twice = run_experiment(doubled, rows, 0, dtype=torch.float64)
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
        assert L_STAR - 1e-6 <= run_experiment(experiment, table, seed).losses[-1] <= limit


@pytest.mark.parametrize(
    ("name", "mean", "tolerance"),
    [("sgd", 0.24473, 0.0013), ("batch100", 0.24546, 0.002), ("batch10", 0.24509, 0.0016)],
)
def test_the_mean_of_twenty_seeds_is_the_published_one(
    table: Table, name: str, mean: float, tolerance: float
) -> None:
    finals = [run_experiment(manual(name), table, seed).losses[-1] for seed in range(20)]
    assert sum(finals) / 20 == pytest.approx(mean, abs=tolerance)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_no_loss_is_below_the_minimum(rows: Table, name: str) -> None:
    assert float(losses_of_many(EXPERIMENTS[name], rows, 50).min()) >= L_STAR - 1e-12


@pytest.mark.parametrize(
    "experiment",
    [
        manual("gd"),
        Experiment("one", "manual", 1, 0.005, 1, sampling="replacement"),
        Experiment("ragged", "autograd", 64, 0.2, 2, sampling="replacement", decay=0.1),
        Experiment(
            "library", "module", 100, 0.1, 2, sampling="replacement", framework_defaults=True
        ),
    ],
    ids=lambda experiment: experiment.name,
)
def test_runs_and_ensembles_are_the_same_algorithm(rows: Table, experiment: Experiment) -> None:
    # One run draws the same numbers either way, as long as nothing is shuffled.
    alone = run_experiment(experiment, rows, 7, dtype=torch.float64)
    together = ensemble(experiment, rows, 1, torch.Generator().manual_seed(7))
    assert alone.losses == pytest.approx(together[:, 0].tolist(), abs=1e-9)


@pytest.mark.parametrize("strategy", sgd.epochs)
def test_every_strategy_trains_alike(rows: Table, strategy: str) -> None:
    experiment = Experiment("any", strategy, 64, 0.2, 2)
    written_out = replace(experiment, strategy="manual")
    expected = run_experiment(written_out, rows, 3, dtype=torch.float64).losses
    exact = run_experiment(experiment, rows, 3, dtype=torch.float64).losses
    assert exact == pytest.approx(expected, abs=1e-9)
    assert run_experiment(experiment, rows, 3).losses == pytest.approx(expected, abs=2e-5)


def ticks(steps: list[float]) -> Clock:
    total = itertools.accumulate(itertools.cycle(steps), initial=0.0)
    return lambda: next(total)


def test_points_within_an_epoch_get_their_share_of_its_seconds(rows: Table) -> None:
    experiment = Experiment("timed", "manual", 100, 0.1, 2)
    timed = run_experiment(experiment, rows, 0, clock=ticks([3.0, 100.0, 6.0, 100.0]))
    assert timed.epoch_seconds == (3.0, 6.0)
    expected = []
    for place in points_of(experiment, 1500):
        first, second = min(place.updates, 15), max(place.updates - 15, 0)
        expected.append(first / 15 * 3.0 + second / 15 * 6.0)
    assert timed.seconds == pytest.approx(expected)


def test_the_time_to_a_loss_is_that_of_the_first_point_at_or_below_it() -> None:
    run = training.TrainingRun(0, (2.0,), (0.0, 1.0, 2.0), (0.5, 0.3, 0.2))
    assert [run.reaches(loss) for loss in (0.6, 0.3, 0.25, 0.1)] == [0.0, 1.0, 2.0, None]


def test_a_rate_above_the_stability_limit_is_named_with_the_limit(rows: Table) -> None:
    (high,) = train([manual("gd")], rows, range(3))
    (low,) = train([manual("gd", lr=0.9)], rows, range(3))
    assert (
        "the learning rate 1 is above the stability limit "
        "2/lambda_max = 0.9531 (lambda_max = 2.0985)"
    ) in high.diverged
    assert low.diverged == ""
    (doubled,) = train([manual("gd", lr=0.5, framework_defaults=True)], rows, range(2))
    assert "the learning rate 1 is above" in doubled.diverged


def test_runs_that_blow_up_end_at_the_last_finite_loss_and_say_so(rows: Table) -> None:
    (wild,) = train([Experiment("wild", "manual", 10, 3.0, 4)], rows, range(3))
    assert wild.diverged.startswith(
        "diverges in 3 of 3 seeds: the learning rate 3 is above the full batch's"
    )
    assert wild.final_losses() == []
    for run in wild.runs:
        assert 1 < len(run.losses) < len(wild.examples)
        assert all(math.isfinite(loss) for loss in run.losses)


def test_the_chapters_own_experiments_but_descent_converge(rows: Table) -> None:
    experiments = [manual(name) for name in ("sgd", "batch100", "batch10", "decayed")]
    assert [result.diverged for result in train(experiments, rows, range(2))] == [""] * 4


def test_an_interrupt_keeps_the_seeds_that_every_experiment_has_finished(rows: Table) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.detail == "batch100, seed 2":
            raise KeyboardInterrupt

    results = train([manual("gd"), manual("batch100")], rows, range(5), report=interrupt)
    assert len(results) == 2
    for result in results:
        assert [run.seed for run in result.runs] == [0, 1]


def test_an_interrupt_before_the_first_seed_is_finished_keeps_nothing(rows: Table) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.detail == "batch100, seed 0":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train([manual("gd"), manual("batch100")], rows, range(5), report=interrupt)


def test_progress_is_reported_for_each_experiment_and_seed(rows: Table) -> None:
    reports: list[Progress] = []
    train([manual("gd"), manual("batch100")], rows, range(2), report=reports.append)
    assert [(report.stage, report.done, report.of, report.detail) for report in reports] == [
        ("verifying", 0, 2, "gd: manual"),
        ("verifying", 1, 2, "batch100: manual"),
        ("training", 0, 2, "gd, seed 0"),
        ("training", 0, 2, "batch100, seed 0"),
        ("training", 1, 2, "gd, seed 1"),
        ("training", 1, 2, "batch100, seed 1"),
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"minibatch": 0}, "the minibatch size is 0; allowed are 1 to 1500"),
        ({"minibatch": 1501}, "the minibatch size is 1501; allowed are 1 to 1500"),
        ({"lr": math.nan}, "the learning rate is nan; allowed is a number above 0"),
        ({"lr": 0.0}, "the learning rate is 0.0"),
        ({"lr": math.inf}, "the learning rate is inf"),
        ({"epochs": 0}, "the number of epochs is 0; allowed is 1 or more"),
        ({"epochs": 10**8}, "the number of epochs is 100000000; allowed is 1 or more, and at most"),
    ],
    ids=str,
)
def test_an_experiment_that_cannot_be_run_is_refused(
    rows: Table, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(training.ExperimentError, match=message):
        train([replace(EXPERIMENTS["batch10"], **change)], rows, [0])


def test_a_strategy_that_remembers_more_than_the_parameters_is_refused(
    rows: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def tiring(w: Tensor, X: Tensor, y: Tensor, batches: object, lr: float) -> None:
        calls.append(1)
        sgd.manual(w, X, y, batches, lr / len(calls))  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr(sgd, "epochs", {**sgd.epochs, "tiring": tiring})
    with pytest.raises(training.ExperimentError, match="ends elsewhere when it is stopped"):
        run_experiment(Experiment("tired", "tiring", 100, 0.4, 1), rows, 0)


def test_seeds_repeat_and_differ(rows: Table) -> None:
    first = run_experiment(manual("batch100"), rows, 1)
    again = run_experiment(manual("batch100"), rows, 1)
    other = run_experiment(manual("batch100"), rows, 2)
    assert first.losses == again.losses
    assert first.losses != other.losses


def test_training_is_saved_and_read_again(rows: Table, tmp_path: Path) -> None:
    experiments = [Experiment("wild", "manual", 10, 3.0, 4), manual("gd")]
    record = training.record_training(experiments, rows, range(2))
    records.save(record, tmp_path / "train.json")
    assert records.load(tmp_path / "train.json", training.TrainingRecord) == record
    assert record.loss == training.exact_loss(rows)
    assert record.threads == 1


def test_more_runs_than_can_be_kept_are_refused_before_the_first(rows: Table) -> None:
    with pytest.raises(training.ExperimentError, match="the number of seeds is above 1000000"):
        train([manual("gd")], rows, range(10**20))
    with pytest.raises(training.ExperimentError, match=r"20 seeds take about [0-9]+ losses"):
        train([manual("sgd", epochs=5000, every=1)], rows, range(20))


def raises(w: Tensor, X: Tensor, y: Tensor, batches: object, lr: float) -> None:
    raise RuntimeError("boom")


def takes_less(w: Tensor, X: Tensor) -> None: ...


def exits(w: Tensor, X: Tensor, y: Tensor, batches: object, lr: float) -> None:
    raise SystemExit(0)


def destroys(w: Tensor, X: Tensor, y: Tensor, batches: object, lr: float) -> None:
    sgd.manual(w, X, y, batches, lr)  # type: ignore[arg-type]  # handed on
    X.zero_()


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (raises, "gd: the strategy 'strange' raised RuntimeError: boom"),
        (takes_less, "gd: the strategy 'strange' raised TypeError: .*positional arguments"),
        (exits, "gd: the strategy 'strange' raised SystemExit: 0"),
        (destroys, "the strategy changed X: "),
    ],
)
def test_a_strategy_that_cannot_train_is_refused_by_name(
    rows: Table, strategy: object, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sgd, "epochs", {**sgd.epochs, "strange": strategy})
    with pytest.raises(RefusedError, match=message):
        train([replace(manual("gd"), strategy="strange")], rows, [0])


def test_a_strategy_that_turns_wrong_while_it_trains_is_refused(
    rows: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def late(w: Tensor, X: Tensor, y: Tensor, batches: object, lr: float) -> None:
        calls.append(1)
        if len(calls) <= 20:
            sgd.manual(w, X, y, batches, lr)  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr(sgd, "epochs", {**sgd.epochs, "late": late})
    with pytest.raises((WrongAnswerError, training.ExperimentError)):
        train([replace(manual("gd"), strategy="late")], rows, range(3))
