from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from sklearn.linear_model import SGDRegressor
from torch import Tensor

from flopline import sgd
from flopline.data import (
    Minibatches,
    MinibatchSizeError,
    Table,
    shuffled,
    surrogate,
    with_replacement,
)
from flopline.registry import UnknownStrategyError
from flopline.sgd import (
    epochs,
    gradient,
    gradient_covariance,
    gradient_std,
    hessian,
    learning_rate,
    loss,
    manual,
    minimum,
    prepare,
    reference,
    stability_limit,
)
from flopline.workload import (
    Case,
    ChangedOperandError,
    WrongAnswerError,
    verify,
    verify_again,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from flopline.sgd import Epoch

L_STAR = 0.24168795509193775
TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-9}
every_strategy = pytest.mark.parametrize("strategy", epochs)
every_dtype = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)


@pytest.fixture(scope="session", params=[None, 1, 2], ids=["rows", "surrogate 1", "surrogate 2"])
def moments(request: pytest.FixtureRequest, rows: Table) -> Table:
    """Tables with the moments of the real one, on which alone the loss depends."""
    if request.param is None:
        return rows
    return surrogate("a test", seed=request.param)


def zeros(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.zeros(6, dtype=dtype)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def everything() -> Minibatches:
    return Minibatches(torch.arange(1500), 1500)


def descend(
    strategy: Epoch, table: Table, lr: float, steps: int, dtype: torch.dtype = torch.float64
) -> list[float]:
    """The losses along full-batch gradient descent from zero, its start included."""
    w, X, y = zeros(dtype), table.X.to(dtype), table.y.to(dtype)
    losses = [float(loss(w.double(), table.X, table.y))]
    for _ in range(steps):
        strategy(w, X, y, everything(), lr)
        losses.append(float(loss(w.double(), table.X, table.y)))
    return losses


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-6)], ids=["f64", "f32"]
)
def test_the_loss_at_zero_at_its_minimum_and_the_share_explained(
    moments: Table, dtype: torch.dtype, tolerance: float
) -> None:
    X, y = moments.X.to(dtype), moments.y.to(dtype)
    lowest = float(loss(minimum(X, y), X, y))
    assert float(loss(zeros(dtype), X, y)) == pytest.approx(0.4932589719270366, abs=tolerance)
    assert lowest == pytest.approx(L_STAR, abs=tolerance)
    explained = 1 - 2 * lowest / float(y.var(correction=0))
    assert explained == pytest.approx(0.5100027933567279, abs=4 * tolerance)


def test_the_minimum_is_the_published_one_and_has_no_gradient(moments: Table) -> None:
    w = minimum(moments.X, moments.y)
    expected = [
        -0.58317834066495,
        -0.36551183869504,
        -0.48433443881493,
        0.22386519985339,
        -0.27133009065141,
        0.00196378532073,
    ]
    assert w.tolist() == pytest.approx(expected, abs=1e-7)
    assert float(gradient(w, moments.X, moments.y).abs().max()) < 1e-14


def test_the_hessian_has_the_published_spectrum_and_stability_limit(
    moments: Table,
) -> None:
    spectrum = torch.linalg.eigvalsh(hessian(moments.X))
    expected = [
        0.173686471122,
        0.66649573904,
        0.918059033147,
        1.000044605983,
        1.126163840386,
        2.098483413654,
    ]
    assert spectrum.tolist() == pytest.approx(expected, abs=1e-10)
    assert float(spectrum[-1] / spectrum[0]) == pytest.approx(12.082019976, abs=1e-8)
    assert float(spectrum.sum()) == pytest.approx(5.982933103332, abs=1e-10)
    assert stability_limit(moments.X) == pytest.approx(0.9530692437149594, abs=1e-12)


@every_strategy
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 2e-5)], ids=["f64", "f32"]
)
def test_full_batch_descent_follows_the_published_losses(
    moments: Table, strategy: str, dtype: torch.dtype, tolerance: float
) -> None:
    expected = [
        0.493258971927,
        0.2757101525912,
        0.2503121984285,
        0.2464935222348,
        0.2454979517952,
        0.2451315693503,
        *(0.2450781543007, 0.2452589169175, 0.2456422254661, 0.2462172909031, 0.2469880166651),
    ]
    losses = descend(epochs[strategy], moments, 1.0, 10, dtype)
    assert losses == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize(
    ("lr", "after_10", "after_50"),
    [
        (0.5, 0.243349514772, 0.241689064419),
        (0.8, 0.242179369569, 0.241687958207),
        (0.8802158735576804, 0.242070426384, 0.24168795575),
        (0.9, 0.2420878807194, 0.241687961289),
        (0.9054157815292113, 0.242101872114, 0.241687976091),
        (0.95, 0.242636305398, 0.24209511163),
    ],
)
def test_learning_rates_below_the_limit_converge_as_published(
    moments: Table, lr: float, after_10: float, after_50: float
) -> None:
    losses = descend(manual, moments, lr, 50)
    assert (losses[10], losses[50]) == pytest.approx((after_10, after_50), abs=1e-9)
    assert lr < stability_limit(moments.X)


def test_the_chapters_learning_rate_diverges_after_six_steps(moments: Table) -> None:
    losses = descend(manual, moments, 1.0, 200)
    assert losses.index(min(losses)) == 6
    assert [losses[25], losses[50], losses[200]] == pytest.approx(
        [0.3268141558, 9.568534795, 1.61356317e13], rel=1e-6
    )


@pytest.mark.parametrize(
    ("size", "lr"), [(1, 0.005), (10, 0.05), (100, 0.4), (1500, 0.9), (1500, 1.0)]
)
def test_no_trajectory_goes_below_the_minimum(moments: Table, size: int, lr: float) -> None:
    w, generator = zeros(), torch.Generator().manual_seed(size)
    lowest = float(loss(minimum(moments.X, moments.y), moments.X, moments.y))
    losses = []
    for _ in range(1 if size == 1 else 10):
        for rows in shuffled(1500, size, generator):
            manual(w, moments.X, moments.y, Minibatches(rows, size), lr)
            losses.append(float(loss(w, moments.X, moments.y)))
    assert lowest - 1e-15 <= min(losses) < 0.2475


@pytest.mark.parametrize(
    ("size", "updates"), [(1, 1500), (7, 215), (10, 150), (100, 15), (1500, 1)]
)
def test_an_epoch_makes_one_update_per_minibatch(rows: Table, size: int, updates: int) -> None:
    assert len(shuffled(1500, size, torch.Generator())) == updates
    assert prepare(Case("sgd", "manual", {"batch": size}), rows).calls == updates


def by_reference(w: Tensor, X: Tensor, y: Tensor, minibatches: Minibatches, lr: float) -> None:
    w.copy_(reference(w, X, y, minibatches, lr))


FILE_ORDER = {
    (1, 0.005): [
        0.4287608574,
        0.4430213036,
        0.3679020574,
        0.2998112968,
        0.2884818428,
        0.3444814887,
        0.2629255053,
        0.2581252178,
        0.2599577739,
        0.2701200775,
        0.3303354635,
        0.2651515457,
        0.3454925953,
        0.2856880546,
        0.2765197730,
    ],
    (100, 0.4): [
        0.4511993642,
        0.5255056763,
        0.4059480832,
        0.4522699543,
        0.3122257772,
        0.3687709681,
        0.3194070608,
        0.2705874598,
        0.2806254803,
        0.2838316748,
        0.3529663620,
        0.2683880033,
        0.3567770558,
        0.3126451917,
        0.3120202649,
    ],
    (10, 0.05): [
        0.4257508042,
        0.4467877640,
        0.3648862318,
        0.3152498955,
        0.2948807248,
        0.3532119289,
        0.2732590155,
        0.2603277621,
        0.2620052834,
        0.2717030945,
        0.3401370398,
        0.2670117107,
        0.3518119935,
        0.2952612814,
        0.2817236180,
    ],
}


@pytest.mark.parametrize("strategy", [*epochs, "reference"])
@pytest.mark.parametrize(("size", "lr"), FILE_ORDER)
def test_two_epochs_in_file_order_have_the_published_losses(
    table: Table, strategy: str, size: int, lr: float
) -> None:
    w = zeros()
    run = by_reference if strategy == "reference" else epochs[strategy]
    losses = []
    for chunk in torch.arange(1500).repeat(2).split(200):
        run(w, table.X, table.y, Minibatches(chunk, size), lr)
        losses.append(float(loss(w, table.X, table.y)))
    assert losses == pytest.approx(FILE_ORDER[size, lr], abs=1e-9)


@every_strategy
@every_dtype
@pytest.mark.parametrize("sampler", [shuffled, with_replacement])
@pytest.mark.parametrize("size", [1, 7, 10, 100, 1500])
def test_every_strategy_makes_the_updates_of_the_float64_loop(
    rows: Table,
    strategy: str,
    dtype: torch.dtype,
    sampler: Callable[[int, int, torch.Generator], Minibatches],
    size: int,
) -> None:
    minibatches = sampler(1500, size, torch.Generator().manual_seed(size))
    lr = learning_rate(size)
    w, X, y = normal(6).to(dtype), rows.X.to(dtype), rows.y.to(dtype)
    expected = reference(w, X, y, minibatches, lr)
    epochs[strategy](w, X, y, minibatches, lr)
    torch.testing.assert_close(w.double(), expected, rtol=0, atol=TOLERANCE[dtype])


@every_strategy
def test_the_last_short_minibatch_is_averaged_over_its_own_size(strategy: str) -> None:
    X = torch.zeros(5, 2, dtype=torch.float64)
    y = torch.tensor([1.0, 1.0, 1.0, 1.0, 3.0], dtype=torch.float64)
    w = torch.zeros(3, dtype=torch.float64)
    epochs[strategy](w, X, y, Minibatches(torch.arange(5), 4), 0.5)
    assert w.tolist() == [0.0, 0.0, 1.75]


@every_strategy
def test_minibatches_of_one_follow_scikit_learn(rows: Table, strategy: str) -> None:
    minibatches = shuffled(1500, 1, torch.Generator().manual_seed(0))
    w = zeros()
    epochs[strategy](w, rows.X, rows.y, minibatches, 0.005)
    order = minibatches.rows.numpy()
    regressor = SGDRegressor(
        loss="squared_error",
        penalty=None,
        learning_rate="constant",
        eta0=0.005,
        shuffle=False,
        fit_intercept=True,
    )
    regressor.partial_fit(rows.X.numpy()[order], rows.y.numpy()[order])
    np.testing.assert_allclose(
        w.numpy(), [*regressor.coef_, *regressor.intercept_], rtol=0, atol=1e-12
    )


@every_strategy
def test_an_epoch_changes_the_parameters_and_nothing_else(rows: Table, strategy: str) -> None:
    X, y = rows.X.clone(), rows.y.clone()
    minibatches = shuffled(1500, 7, torch.Generator().manual_seed(0))
    order = minibatches.rows.clone()
    w = zeros()
    epochs[strategy](w, X, y, minibatches, 0.035)
    assert float(w.abs().min()) > 0
    assert not w.requires_grad
    assert torch.equal(rows.X, X)
    assert torch.equal(rows.y, y)
    assert torch.equal(order, minibatches.rows)


@pytest.mark.parametrize("strategy", list(epochs))
def test_an_epoch_draws_nothing_from_the_global_generators(rows: Table, strategy: str) -> None:
    states = random.getstate(), torch.get_rng_state().tolist()
    epochs[strategy](zeros(), rows.X, rows.y, everything(), 0.4)
    assert states == (random.getstate(), torch.get_rng_state().tolist())


@pytest.mark.parametrize("seed", [0, 1])
def test_gradient_and_hessian_are_those_of_autograd(rows: Table, seed: int) -> None:
    def objective(w: Tensor) -> Tensor:
        return loss(w, rows.X, rows.y)

    w = normal(6, seed=seed)
    by_autograd: Tensor = torch.autograd.functional.jacobian(objective, w)
    torch.testing.assert_close(gradient(w, rows.X, rows.y), by_autograd, rtol=0, atol=1e-13)
    by_autograd = torch.autograd.functional.hessian(objective, w)
    torch.testing.assert_close(hessian(rows.X), by_autograd, rtol=0, atol=1e-13)


@pytest.mark.parametrize("replacement", [True, False])
@pytest.mark.parametrize("size", [1, 2, 4, 5])
def test_over_all_minibatches_bias_and_deviation_are_as_stated(
    size: int, *, replacement: bool
) -> None:
    X, y, w = normal(5, 3), normal(5, seed=1), normal(4, seed=2)
    draws: Iterable[tuple[int, ...]] = itertools.combinations(range(5), size)
    if replacement:
        draws = itertools.product(range(5), repeat=size)
    gradients = torch.stack([gradient(w, X[list(draw)], y[list(draw)]) for draw in draws])
    torch.testing.assert_close(gradients.mean(0), gradient(w, X, y), rtol=0, atol=1e-14)
    variance = float((gradients - gradient(w, X, y)).square().sum(1).mean())
    deviation = gradient_std(w, X, y, size, replacement=replacement)
    assert deviation**2 == pytest.approx(variance, rel=1e-12, abs=1e-28)


@pytest.mark.parametrize(
    ("size", "factor"), [(1, 1.0), (10, 0.996993), (100, 0.966414), (1024, 0.563511), (1500, 0.0)]
)
def test_the_gradients_deviation_falls_with_the_size_as_stated(
    rows: Table, size: int, factor: float
) -> None:
    w = normal(6)
    single = gradient_std(w, rows.X, rows.y, 1, replacement=True)
    replaced = gradient_std(w, rows.X, rows.y, size, replacement=True)
    not_replaced = gradient_std(w, rows.X, rows.y, size, replacement=False)
    assert replaced == pytest.approx(single * size**-0.5, rel=1e-12)
    assert not_replaced == pytest.approx(replaced * factor, abs=1e-6 * replaced)


def test_the_noise_of_the_real_rows_is_the_published_one(table: Table) -> None:
    for w, trace in ((zeros(), 6.71585016), (minimum(table.X, table.y), 3.243164529)):
        covariance = gradient_covariance(w, table.X, table.y)
        assert covariance.shape == (6, 6)
        assert float(covariance.trace()) == pytest.approx(trace, abs=1e-8)
        assert gradient_std(w, table.X, table.y, 100, replacement=True) == pytest.approx(
            (trace / 100) ** 0.5, abs=1e-8
        )
    slope = gradient(zeros(), table.X, table.y)
    assert float(slope @ slope) == pytest.approx(0.331257760924, abs=1e-11)


def test_the_noise_of_surrogates_is_lower_than_that_of_the_real_rows() -> None:
    # Of normal rows with the moments of the real ones the trace is 6.2335 at zero and 2.892 at the
    # minimum, which is 7 % and 11 % less; the bounds are four standard errors of 24 surrogates.
    traces = []
    for seed in range(24):
        X, y = surrogate("a test", seed=seed).X, surrogate("a test", seed=seed).y
        points = (zeros(), minimum(X, y))
        traces.append([float(gradient_covariance(w, X, y).trace()) for w in points])
    at_zero, at_minimum = np.mean(traces, axis=0)
    assert at_zero == pytest.approx(6.2335, abs=0.09)
    assert at_minimum == pytest.approx(2.892, abs=0.04)


@pytest.mark.parametrize("size", [0, 1501])
def test_the_deviation_of_an_impossible_minibatch_is_refused(rows: Table, size: int) -> None:
    message = f"the minibatch size is {size}; allowed are 1 to 1500"
    with pytest.raises(MinibatchSizeError, match=message):
        gradient_std(zeros(), rows.X, rows.y, size, replacement=True)


def test_learning_rates_are_the_chapters_and_below_the_limit() -> None:
    rates = [learning_rate(size) for size in (1, 10, 100, 1500)]
    assert rates == pytest.approx([0.005, 0.05, 0.4, 0.4], abs=1e-15)
    assert max(learning_rate(size) for size in range(1, 1501)) < 0.9530692437149594


@every_strategy
@every_dtype
@pytest.mark.parametrize("size", [7, 1500])
def test_a_prepared_epoch_verifies_and_starts_over_when_poisoned(
    rows: Table, strategy: str, dtype: torch.dtype, size: int
) -> None:
    workload = prepare(Case("sgd", strategy, {"batch": size}), rows, dtype=dtype)
    first = verify(workload)
    assert verify(workload) == first
    workload.run()
    assert not workload.check().right
    assert workload.tiny is not None
    assert workload.tiny.calls == 64
    verify(workload.tiny)
    assert workload.tiny.tiny is None


def still(w: Tensor, X: Tensor, y: Tensor, minibatches: Minibatches, lr: float) -> None: ...


def twice_as_far(w: Tensor, X: Tensor, y: Tensor, minibatches: Minibatches, lr: float) -> None:
    manual(w, X, y, minibatches, 2 * lr)


def without_bias(w: Tensor, X: Tensor, y: Tensor, minibatches: Minibatches, lr: float) -> None:
    bias = w[-1].clone()
    manual(w, X, y, minibatches, lr)
    w[-1] = bias


def in_file_order(w: Tensor, X: Tensor, y: Tensor, minibatches: Minibatches, lr: float) -> None:
    manual(w, X, y, Minibatches(minibatches.rows.sort().values, minibatches.size), lr)


def without_the_short_one(
    w: Tensor, X: Tensor, y: Tensor, minibatches: Minibatches, lr: float
) -> None:
    size = minibatches.size
    whole = Minibatches(minibatches.rows[: 1500 // size * size], size)
    manual(w, X, y, whole, lr)


def over_the_nominal_size(
    w: Tensor, X: Tensor, y: Tensor, minibatches: Minibatches, lr: float
) -> None:
    for rows in minibatches:
        manual(w, X, y, Minibatches(rows, minibatches.size), lr * len(rows) / minibatches.size)


def to_nan(w: Tensor, X: Tensor, y: Tensor, minibatches: Minibatches, lr: float) -> None:
    manual(w, X, y, minibatches, lr)
    w[2] = torch.nan


WRONG = [
    *itertools.product([still, twice_as_far, without_bias, to_nan], [1, 7, 100, 1500]),
    *itertools.product([in_file_order, without_the_short_one, over_the_nominal_size], [7, 1000]),
]


@every_dtype
@pytest.mark.parametrize(("wrong", "size"), WRONG)
def test_an_epoch_that_is_another_algorithm_is_refused(
    rows: Table, wrong: Epoch, dtype: torch.dtype, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sgd, "epochs", {"wrong": wrong})
    workload = prepare(Case("sgd", "wrong", {"batch": size}), rows, dtype=dtype)
    with pytest.raises(
        WrongAnswerError, match=rf"^sgd/strategy=wrong/batch={size}: wrong answer, worst at \["
    ):
        verify(workload)


def test_an_epoch_declares_its_work_and_where_its_data_came_from() -> None:
    workload = prepare(Case("sgd", "manual", {"batch": 10}), surrogate("a test"))
    assert (workload.flops, workload.bytes, workload.calls) == (36_000, 55_200, 150)
    assert workload.facts == {"dtype": "float32", "device": "cpu", "data": "surrogate"}


def test_start_and_minibatches_are_the_generators_and_by_default_the_same(
    rows: Table,
) -> None:
    case, state = Case("sgd", "manual", {"batch": 10}), torch.get_rng_state()
    worst = [
        verify(prepare(case, rows, generator=generator))
        for generator in (None, None, torch.Generator().manual_seed(5))
    ]
    assert worst[0] == worst[1] != worst[2]
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("axes", "dtype", "message"),
    [
        ({}, torch.float32, r"the axes are \[\]; allowed is batch"),
        ({"n": 10}, torch.float32, r"the axes are \['n'\]; allowed is batch"),
        (
            {"batch": 10, "block": 2},
            torch.float32,
            r"the axes are \['batch', 'block'\]; allowed is batch",
        ),
        ({"batch": 0}, torch.float32, "the minibatch size is 0; allowed are 1 to 1500"),
        ({"batch": 1501}, torch.float32, "the minibatch size is 1501; allowed are 1 to 1500"),
        (
            {"batch": 10},
            torch.bfloat16,
            "torch.bfloat16 drowns an epoch's updates in rounding; allowed are torch.float32",
        ),
        ({"batch": 10}, torch.int64, "torch.int64 .*; allowed are torch.float32, torch.float64"),
    ],
)
def test_an_epoch_that_cannot_be_prepared_is_refused(
    rows: Table, axes: dict[str, int], dtype: torch.dtype, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        prepare(Case("sgd", "manual", axes), rows, dtype=dtype)


def test_an_epoch_of_an_unknown_strategy_is_refused_with_the_nearest(rows: Table) -> None:
    with pytest.raises(
        UnknownStrategyError, match=r"no strategy 'manuel'\. Did you mean 'manual'\?"
    ):
        prepare(Case("sgd", "manuel", {"batch": 10}), rows)


@pytest.mark.cuda
@every_dtype
@every_strategy
@pytest.mark.parametrize("size", [7, 1500])
def test_epochs_verify_on_a_device(
    rows: Table, strategy: str, dtype: torch.dtype, size: int
) -> None:
    verify(prepare(Case("sgd", strategy, {"batch": size}), rows, dtype=dtype, device="cuda"))


def zeroes(w: Tensor, X: Tensor, y: Tensor, minibatches: Minibatches, lr: float) -> None:
    X.zero_()
    y.zero_()


def scales_back(w: Tensor, X: Tensor, y: Tensor, minibatches: Minibatches, lr: float) -> None:
    manual(w, X, y, minibatches, lr)
    y.mul_(0.5)


def sorts(w: Tensor, X: Tensor, y: Tensor, minibatches: Minibatches, lr: float) -> None:
    manual(w, X, y, minibatches, lr)
    minibatches.rows.copy_(minibatches.rows.sort().values)


@every_dtype
@pytest.mark.parametrize(
    ("strategy", "operand"), [(zeroes, "X"), (scales_back, "y"), (sorts, "the row numbers")]
)
def test_an_epoch_that_changes_its_data_is_refused_with_their_name(
    rows: Table,
    strategy: Epoch,
    operand: str,
    dtype: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = rows.X.clone(), rows.y.clone()
    monkeypatch.setattr(sgd, "epochs", {"strange": strategy})
    workload = prepare(Case("sgd", "strange", {"batch": 100}), rows, dtype=dtype)
    with pytest.raises(ChangedOperandError, match=f"the strategy changed {operand}: "):
        verify(workload)
    assert torch.equal(before[0], rows.X)
    assert torch.equal(before[1], rows.y)


def once_for(key: Callable[[Tensor, Tensor], object]) -> Epoch:
    """An epoch that computes again only if this key of w and X is new."""
    answers: dict[object, Tensor] = {}

    def memo(w: Tensor, X: Tensor, y: Tensor, minibatches: Minibatches, lr: float) -> None:
        name = key(w, X)
        if name not in answers:
            manual(w, X, y, minibatches, lr)
            answers[name] = w.clone()
        w.copy_(answers[name])

    return memo


def only_at_the_start() -> Epoch:
    """An epoch that computes only from the parameters of its first call."""
    starts: list[Tensor] = []

    def idle(w: Tensor, X: Tensor, y: Tensor, minibatches: Minibatches, lr: float) -> None:
        starts.append(w.clone())
        if torch.equal(w, starts[0]):
            manual(w, X, y, minibatches, lr)

    return idle


CHEATS: dict[str, Callable[[], Epoch]] = {
    "memory": lambda: once_for(lambda w, X: (w.data_ptr(), X.data_ptr())),
    "data without the start": lambda: once_for(lambda _, X: float(X.sum())),
    "start without the data": lambda: once_for(lambda w, _: tuple(w[:2].tolist())),
    "start": only_at_the_start,
}


@pytest.mark.parametrize("size", [1, 100, 1500])
@pytest.mark.parametrize("cheat", CHEATS)
def test_an_epoch_that_is_right_only_at_first_is_refused_afterwards(
    rows: Table, cheat: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sgd, "epochs", {"strange": CHEATS[cheat]()})
    workload = prepare(Case("sgd", "strange", {"batch": size}), rows)
    verify(workload)
    with pytest.raises(WrongAnswerError, match="although it was right at first"):
        verify_again(workload)


@every_dtype
@every_strategy
@pytest.mark.parametrize("size", [7, 1500])
def test_every_epoch_is_right_again_on_data_that_changed(
    rows: Table, strategy: str, dtype: torch.dtype, size: int
) -> None:
    workload = prepare(Case("sgd", strategy, {"batch": size}), rows, dtype=dtype)
    verify(workload)
    for _ in range(5):
        workload.run()
    verify_again(workload)
    verify_again(workload)
