"""Linear regression by minibatch SGD: the model's exact quantities, and ways to run one epoch.

The model is `X w[:-1] + w[-1]`: five weights and, last, the bias. The loss is the mean squared
residual over two. A strategy `f(w, X, y, minibatches, lr)` runs one epoch with a constant learning
rate and leaves the new parameters in `w`. If the last minibatch is shorter than the others, it is
averaged over its own size. Given the same minibatches, all strategies make the same updates:

- `loader`     DataLoader, which fetches and collates row by row, and autograd: the chapter's way
- `autograd`   minibatches by indexing, and autograd: from scratch
- `module`     nn.Linear, MSELoss and torch.optim.SGD, with the chapter's factor 1/2: concise
- `manual`     the gradient in closed form, in place, without autograd
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from flopline import FloplineError
from flopline.data import Minibatches, Table, check_size, shuffled
from flopline.registry import Registry
from flopline.workload import Accuracy, Case, Operands, Workload


class Epoch(Protocol):
    """A strategy: a function that runs one epoch and updates `w` in place."""

    def __call__(
        self, w: Tensor, X: Tensor, y: Tensor, minibatches: Minibatches, lr: float, /
    ) -> None:
        """Runs the epoch; all tensors are of one floating-point dtype and on one device.

        Args:
            w: (d + 1,), the weights and the bias, which are updated.
            X: (n, d), the features.
            y: (n,), the labels.
            minibatches: Which rows are used, and in which order.
            lr: The learning rate.
        """


epochs: Registry[Epoch] = Registry("flopline.sgd")
"""The strategies by name."""


@epochs.register
def loader(w: Tensor, X: Tensor, y: Tensor, minibatches: Minibatches, lr: float) -> None:
    """Feeds autograd from a TensorDataset and a DataLoader, which collate rows one by one."""
    weight = w[:-1].clone().requires_grad_()
    bias = w[-1].clone().requires_grad_()
    rows = [minibatch.tolist() for minibatch in minibatches]
    # Making an iterator draws a seed. The loader has a generator of its own, so that the seed does
    # not come from the global state.
    batches = DataLoader(TensorDataset(X, y), batch_sampler=rows, generator=torch.Generator())
    for features, labels in batches:
        _autograd_update(weight, bias, features, labels, lr)
    _write_parameters(w, weight, bias)


@epochs.register
def autograd(w: Tensor, X: Tensor, y: Tensor, minibatches: Minibatches, lr: float) -> None:
    """Indexes minibatches out of the table; autograd makes gradients, the update is explicit."""
    weight = w[:-1].clone().requires_grad_()
    bias = w[-1].clone().requires_grad_()
    for rows in minibatches:
        _autograd_update(weight, bias, X[rows], y[rows], lr)
    _write_parameters(w, weight, bias)


def _autograd_update(
    weight: Tensor, bias: Tensor, features: Tensor, labels: Tensor, lr: float
) -> None:
    objective = ((features @ weight + bias - labels) ** 2 / 2).mean()
    objective.backward()
    with torch.no_grad():
        for parameter in (weight, bias):
            assert parameter.grad is not None  # noqa: S101  # backward has just set it
            parameter.sub_(lr * parameter.grad)
            parameter.grad.zero_()


def _write_parameters(w: Tensor, weight: Tensor, bias: Tensor) -> None:
    w[:-1] = weight.detach()
    w[-1] = bias.detach()


@epochs.register
def module(w: Tensor, X: Tensor, y: Tensor, minibatches: Minibatches, lr: float) -> None:
    """Uses the library's layer, loss and optimiser.

    Start, bias and factor 1/2 are those of the other strategies, so that it is the same algorithm.
    """
    # The layer initialises itself and is overwritten at once; that must not draw from the global
    # generator.
    with torch.random.fork_rng(devices=[X.device] if X.is_cuda else []):
        net = nn.Linear(X.shape[1], 1, dtype=X.dtype, device=X.device)
    with torch.no_grad():
        net.weight.copy_(w[:-1])
        net.bias.copy_(w[-1:])
    mean_square = nn.MSELoss()
    optimiser = torch.optim.SGD(net.parameters(), lr=lr)
    for rows in minibatches:
        optimiser.zero_grad()
        objective = mean_square(net(X[rows]).squeeze(1), y[rows]) / 2
        objective.backward()
        optimiser.step()
    _write_parameters(w, net.weight[0], net.bias[0])


@epochs.register
def manual(w: Tensor, X: Tensor, y: Tensor, minibatches: Minibatches, lr: float) -> None:
    """Makes two calls per update, residual and step, on rows that were gathered once."""
    size = minibatches.size
    with torch.inference_mode():
        # As `with_ones` gives it, with one copy less.
        rows = X.new_ones(len(minibatches.rows), X.shape[1] + 1)
        rows[:, :-1] = X[minibatches.rows]
        parts = rows.split(size)
        transposed = rows.t().split(size, dim=1)
        starts = y[minibatches.rows].neg_().split(size)
        for part, across, start in zip(parts, transposed, starts, strict=True):
            residual = torch.addmv(start, part, w)
            w.addmv_(across, residual, alpha=-lr / len(start))


def with_ones(X: Tensor) -> Tensor:
    """Returns X with a column of ones added, (n, d + 1); the bias is then the last weight."""
    return torch.cat([X, X.new_ones(len(X), 1)], 1)


def _residual(w: Tensor, X: Tensor, y: Tensor) -> Tensor:
    return X @ w[:-1] + w[-1] - y


def loss(w: Tensor, X: Tensor, y: Tensor) -> Tensor:
    """Returns the mean squared residual over two, a scalar."""
    objective: Tensor = _residual(w, X, y).square().mean() / 2
    return objective


def gradient(w: Tensor, X: Tensor, y: Tensor) -> Tensor:
    """Returns the gradient of `loss` in w, (d + 1,)."""
    residual = _residual(w, X, y)
    return torch.cat([X.t() @ residual, residual.sum()[None]]) / len(y)


def hessian(X: Tensor) -> Tensor:
    """Returns the second derivative of `loss`, (d + 1, d + 1); it is the same at every w."""
    rows = with_ones(X)
    return rows.t() @ rows / len(X)


def minimum(X: Tensor, y: Tensor) -> Tensor:
    """Returns the w, (d + 1,), that minimises `loss`: the solution of the normal equations."""
    rows = with_ones(X)
    solution: Tensor = torch.linalg.solve(hessian(X), rows.t() @ y / len(y))
    return solution


def stability_limit(X: Tensor) -> float:
    """Returns the learning rate from which on full-batch gradient descent diverges.

    It is 2 over the largest eigenvalue of the Hessian.
    """
    return 2 / float(torch.linalg.eigvalsh(hessian(X))[-1])


def gradient_covariance(w: Tensor, X: Tensor, y: Tensor) -> Tensor:
    """Returns the covariance, (d + 1, d + 1), of the gradient of one example.

    The example is drawn uniformly from the table (ddof 0).
    """
    per_example = with_ones(X) * _residual(w, X, y)[:, None]
    centred = per_example - per_example.mean(0)
    return centred.t() @ centred / len(y)


def gradient_std(w: Tensor, X: Tensor, y: Tensor, size: int, *, replacement: bool) -> float:
    """Returns the root of the summed variances of a minibatch gradient's entries.

    With replacement it is `sqrt(tr S / size)`, where S is `gradient_covariance`. Without, it is
    smaller by the finite-population factor `sqrt((n - size) / (n - 1))`, which is 0 for the full
    batch (Cochran, Sampling Techniques, 2.5).

    Raises:
        MinibatchSizeError: The size is not between 1 and n.
    """
    n = len(y)
    check_size(n, size)
    variance = float(gradient_covariance(w, X, y).trace()) / size
    if not replacement and n > 1:
        variance *= (n - size) / (n - 1)
    return math.sqrt(variance)


def flops(n: int, d: int) -> int:
    """Returns the floating-point operations of an epoch: 4 n (d + 1).

    There are n examples with d features. Residual and gradient take 2 (d + 1) each, bias included.
    The step itself, 2 (d + 1) per minibatch, is left out: with one example per minibatch it can be
    folded into the gradient, and otherwise it is small.
    """
    return 4 * n * (d + 1)


def traffic(n: int, d: int, updates: int, itemsize: int) -> int:
    """Returns the bytes that an epoch reads and writes.

    Every row, label and row number is read once, and the parameters are read and written per
    update.
    """
    table = n * (d + 1) * itemsize
    row_numbers = n * 8
    parameters = updates * 2 * (d + 1) * itemsize
    return table + row_numbers + parameters


def learning_rate(size: int) -> float:
    """Returns the chapter's learning rate for a minibatch size; it is never an unstable one.

    The chapter has 0.005, 0.05 and 0.4 for minibatches of 1, 10 and 100.
    """
    return min(0.005 * size, 0.4)


TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-9}
"""The largest absolute error of a parameter after one epoch, by dtype.

The error is taken against the float64 loop on the same minibatches. The tolerance is ten times the
largest error that was seen for any built-in strategy and minibatch size; parameters are of order 1.
"""

TINY = 64
"""The number of examples, one to a minibatch, at which an epoch costs what its updates cost."""


def reference(w: Tensor, X: Tensor, y: Tensor, minibatches: Minibatches, lr: float) -> Tensor:
    """Returns the parameters after one epoch by the plain loop in float64; `w` stays as it is."""
    w, X, y = w.double().cpu(), X.double().cpu(), y.double().cpu()
    for minibatch in minibatches:
        rows = minibatch.cpu()
        w = w - lr * gradient(w, X[rows], y[rows])
    return w


class EpochError(FloplineError, ValueError):
    """An epoch cannot be prepared."""


def _check(case: Case, dtype: torch.dtype) -> None:
    """Raises an EpochError unless a case can be prepared in a dtype."""
    if set(case.axes) != {"batch"}:
        raise EpochError(f"{case.name}: the axes are {sorted(case.axes)}; allowed is batch")
    if dtype not in TOLERANCE:
        allowed = ", ".join(map(str, TOLERANCE))
        raise EpochError(f"{dtype} drowns an epoch's updates in rounding; allowed are {allowed}")


def prepare(
    case: Case,
    table: Table,
    *,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    generator: torch.Generator | None = None,
) -> Workload:
    """Returns one epoch over a table, ready to run.

    Minibatches and start are drawn here, outside of what is timed.

    Args:
        case: A case with the axis `batch`, the minibatch size, 1 to n.
        table: The training set.
        dtype: float32 or float64.
        device: Where the epoch runs.
        generator: The source of the minibatches and of the start, on the CPU; by default one with
            seed 0.

    Raises:
        EpochError: The case has other axes, or the dtype has no tolerance.
        MinibatchSizeError: The minibatch size is not between 1 and n.
        UnknownStrategyError: No strategy has the case's name.
    """
    function = epochs[case.strategy]
    _check(case, dtype)
    generator = generator or torch.Generator().manual_seed(0)
    n, d = table.X.shape
    size = case.axes["batch"]

    drawn = shuffled(n, size, generator)
    minibatches = Minibatches(drawn.rows.to(device), size)
    weights = 0.01 * torch.randn(d, generator=generator)
    start = torch.cat([weights, torch.zeros(1)]).to(device, dtype)
    w = start.clone()
    # Copies, because other workloads use the table, too.
    X = table.X.to(device, dtype, copy=True)
    y = table.y.to(device, dtype, copy=True)
    rows = minibatches.rows
    operands = Operands(case, {"X": X, "y": y, "the row numbers": rows}, w)
    lr = learning_rate(size)

    tiny = None
    if n > TINY:
        tiny_case = Case(case.family, case.strategy, {"batch": 1})
        tiny_table = Table(table.X[:TINY], table.y[:TINY], table.source)
        tiny = prepare(tiny_case, tiny_table, dtype=dtype, device=device)
    precision = str(dtype).removeprefix("torch.")

    def check() -> Accuracy:
        # The parameters are copied first, so that nothing that is written later counts.
        written = w.clone()
        operands.refuse_changes()
        kept = Minibatches(operands["the row numbers"], size)
        return accuracy(written, reference(start, operands["X"], operands["y"], kept, lr))

    change = _Change(operands, generator, start=start, w=w, X=X, y=y, minibatches=minibatches)
    return Workload(
        case=case,
        run=lambda: function(w, X, y, minibatches, lr),
        flops=flops(n, d),
        bytes=traffic(n, d, len(minibatches), X.element_size()),
        calls=len(minibatches),
        poison=lambda: w.copy_(start),
        check=check,
        tiny=tiny,
        facts={"dtype": precision, "device": device, "data": table.source.name},
        change=change,
    )


class _Change:
    """Changes an epoch in place: in turns one label, the start, and everything.

    A label is one that is used at the end of the epoch. The new start is where the last epoch
    ended, as when epochs are timed. Everything is that, the signs of features and labels, and the
    order of the rows. Signs leave the second moments as they are, and with them the learning rates
    that are stable.
    """

    def __init__(
        self,
        operands: Operands,
        generator: torch.Generator,
        *,
        start: Tensor,
        w: Tensor,
        X: Tensor,
        y: Tensor,
        minibatches: Minibatches,
    ) -> None:
        self._operands = operands
        self._seed = generator.initial_seed() + 1
        self._generator: torch.Generator | None = None
        self._start = start
        self._w = w
        self._X = X
        self._y = y
        self._minibatches = minibatches
        self._changes = 0

    def __call__(self) -> None:
        # A generator of its own, so that a change draws nothing from the caller's.
        self._generator = self._generator or torch.Generator().manual_seed(self._seed)
        turn = self._changes % 3
        if turn == 0:
            last = [*self._minibatches][-1]
            chosen = int(torch.randint(len(last), (), generator=self._generator))
            self._y[last[chosen]] += 1
            self._w.copy_(self._start)
        else:
            self._start.copy_(self._w)
        if turn == 2:  # noqa: PLR2004  # the third of three turns
            self._change_everything(self._generator)
        self._changes += 1
        self._operands.keep()

    def _change_everything(self, generator: torch.Generator) -> None:
        rows, d = self._minibatches.rows, self._X.shape[1]
        signs = 2 * torch.randint(2, (d + 1,), generator=generator) - 1
        signs[self._changes // 3 % (d + 1)] = -1
        self._X.mul_(signs[:d].to(self._X))
        self._y.mul_(signs[d].to(self._y))
        rows.copy_(rows[torch.randperm(len(rows), generator=generator).to(rows.device)])


def accuracy(w: Tensor, expected: Tensor) -> Accuracy:
    """Compares parameters with those of the float64 loop, at the entry that is furthest off.

    Args:
        w: (d + 1,), of a dtype in `TOLERANCE`.
        expected: (d + 1,), float64, on the CPU.
    """
    actual = w.double().cpu()
    error = (actual - expected).abs()
    worst = int(error.nan_to_num(nan=math.inf).argmax())
    return Accuracy(
        error=float(error[worst]),
        bound=TOLERANCE[w.dtype],
        index=(worst,),
        actual=float(actual[worst]),
        expected=float(expected[worst]),
    )
