"""Linear regression by minibatch SGD: the model's exact quantities, and ways to run one epoch.

The model is `X w[:-1] + w[-1]`: five weights and, last, the bias. The loss is the mean squared residual over two. A
strategy `f(w, X, y, batches, lr)` runs one epoch with a constant learning rate and leaves the new parameters in `w`; a
last short minibatch is averaged over its own size. Given the same minibatches, all do the same updates:

- `loader`     DataLoader, which fetches and collates row by row, and autograd: the chapter's way
- `autograd`   minibatches by indexing, and autograd: from scratch
- `module`     nn.Linear, MSELoss and torch.optim.SGD, with the chapter's factor 1/2: the concise way
- `manual`     the gradient in closed form, in place, without autograd
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from flopline.data import Batches, Table, shuffled
from flopline.registry import Registry
from flopline.workload import Accuracy, Case, Workload


class Epoch(Protocol):
    """A strategy: runs one epoch and updates `w` in place."""

    def __call__(self, w: Tensor, X: Tensor, y: Tensor, batches: Batches, lr: float) -> None:
        """Runs the epoch: w (d + 1,), X (n, d), y (n,), all of one floating-point dtype and on one device."""


epochs: Registry[Epoch] = Registry("flopline.sgd")
"""The strategies by name."""


@epochs.strategy
def loader(w: Tensor, X: Tensor, y: Tensor, batches: Batches, lr: float) -> None:
    """TensorDataset and DataLoader feed autograd: rows are fetched and collated one by one."""
    weight, bias = (part.clone().requires_grad_() for part in (w[:-1], w[-1]))
    rows = [minibatch.tolist() for minibatch in batches]
    # A generator of its own: making an iterator draws a seed, which must not come from the global state.
    for features, labels in DataLoader(
        TensorDataset(X, y), batch_sampler=rows, generator=torch.Generator()
    ):
        _autograd_update(weight, bias, features, labels, lr)
    _put(w, weight, bias)


@epochs.strategy
def autograd(w: Tensor, X: Tensor, y: Tensor, batches: Batches, lr: float) -> None:
    """Minibatches are indexed out of the table, gradients come from autograd, the update is written out."""
    weight, bias = (part.clone().requires_grad_() for part in (w[:-1], w[-1]))
    for rows in batches:
        _autograd_update(weight, bias, X[rows], y[rows], lr)
    _put(w, weight, bias)


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


def _put(w: Tensor, weight: Tensor, bias: Tensor) -> None:
    w[:-1] = weight.detach()
    w[-1] = bias.detach()


@epochs.strategy
def module(w: Tensor, X: Tensor, y: Tensor, batches: Batches, lr: float) -> None:
    """The library's layer, loss and optimiser, with equal start, bias and factor 1/2: the same algorithm."""
    # Its own initialisation, overwritten at once, must not draw from the global generator.
    with torch.random.fork_rng(devices=[X.device] if X.is_cuda else []):
        net = nn.Linear(X.shape[1], 1, dtype=X.dtype, device=X.device)
    with torch.no_grad():
        net.weight.copy_(w[:-1])
        net.bias.copy_(w[-1:])
    mean_square = nn.MSELoss()
    optimiser = torch.optim.SGD(net.parameters(), lr=lr)
    for rows in batches:
        optimiser.zero_grad()
        objective = mean_square(net(X[rows]).squeeze(1), y[rows]) / 2
        objective.backward()
        optimiser.step()
    _put(w, net.weight[0], net.bias[0])


@epochs.strategy
def manual(w: Tensor, X: Tensor, y: Tensor, batches: Batches, lr: float) -> None:
    """Two calls per update, residual and step, on rows that were gathered once; no autograd."""
    with torch.inference_mode():
        rows = X.new_ones(len(batches.rows), X.shape[1] + 1)
        rows[:, :-1] = X[batches.rows]
        parts, transposed = rows.split(batches.size), rows.t().split(batches.size, dim=1)
        starts = y[batches.rows].neg_().split(batches.size)
        for part, across, start in zip(parts, transposed, starts, strict=True):
            residual = torch.addmv(start, part, w)
            w.addmv_(across, residual, alpha=-lr / len(start))


def loss(w: Tensor, X: Tensor, y: Tensor) -> Tensor:
    """Mean squared residual over two, a scalar."""
    objective: Tensor = _residual(w, X, y).square().mean() / 2
    return objective


def gradient(w: Tensor, X: Tensor, y: Tensor) -> Tensor:
    """Gradient of `loss` in w, (d + 1,)."""
    residual = _residual(w, X, y)
    return torch.cat([X.t() @ residual, residual.sum()[None]]) / len(y)


def hessian(X: Tensor) -> Tensor:
    """Second derivative of `loss`, (d + 1, d + 1); the same at every w."""
    rows = _with_ones(X)
    return rows.t() @ rows / len(X)


def minimum(X: Tensor, y: Tensor) -> Tensor:
    """The w, (d + 1,), at which `loss` is least: the solution of the normal equations."""
    rows = _with_ones(X)
    solution: Tensor = torch.linalg.solve(hessian(X), rows.t() @ y / len(y))
    return solution


def stability_limit(X: Tensor) -> float:
    """The learning rate from which full-batch gradient descent diverges: 2 over the Hessian's largest eigenvalue."""
    return 2 / float(torch.linalg.eigvalsh(hessian(X))[-1])


def gradient_covariance(w: Tensor, X: Tensor, y: Tensor) -> Tensor:
    """Covariance (d + 1, d + 1) of one example's gradient, the example drawn uniformly from the table (ddof 0)."""
    per_example = _with_ones(X) * _residual(w, X, y)[:, None]
    centred = per_example - per_example.mean(0)
    return centred.t() @ centred / len(y)


def gradient_std(w: Tensor, X: Tensor, y: Tensor, size: int, *, replacement: bool) -> float:
    """Root of the summed variances of a minibatch gradient's entries.

    With replacement `sqrt(tr S / size)`, S being `gradient_covariance`; without, times the finite-population factor
    `sqrt((n - size) / (n - 1))`, which is 0 for the full batch (Cochran, Sampling Techniques, 2.5).

    Raises:
        ValueError: The size is not between 1 and n.
    """
    n = len(y)
    if not 1 <= size <= n:
        raise ValueError(
            f"the minibatch size is {size}; allowed are 1 to {n}, the number of examples"
        )
    factor = 1 if replacement or n == 1 else (n - size) / (n - 1)
    return math.sqrt(float(gradient_covariance(w, X, y).trace()) / size * factor)


def _with_ones(X: Tensor) -> Tensor:
    return torch.cat([X, X.new_ones(len(X), 1)], 1)


def _residual(w: Tensor, X: Tensor, y: Tensor) -> Tensor:
    return X @ w[:-1] + w[-1] - y


def flops(n: int, d: int) -> int:
    """Floating-point operations of an epoch over n examples with d features and a bias: 4 n (d + 1).

    Residual and gradient take 2 (d + 1) each. The step itself, 2 (d + 1) per minibatch, is left out: with one example
    per minibatch it can be folded into the gradient, and otherwise it is small.
    """
    return 4 * n * (d + 1)


def traffic(n: int, d: int, updates: int, itemsize: int) -> int:
    """Bytes an epoch asks for: every row, label and row number once, the parameters read and written per update."""
    return n * (d + 1) * itemsize + n * 8 + updates * 2 * (d + 1) * itemsize


def learning_rate(size: int) -> float:
    """The chapter's learning rates 0.005, 0.05 and 0.4 for minibatches of 1, 10 and 100; never an unstable one."""
    return min(0.005 * size, 0.4)


TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-9}
"""Largest absolute error of a parameter after one epoch, against the float64 loop on the same minibatches.

Ten times what was seen for any built-in strategy and minibatch size; parameters are of order 1.
"""


LEAST = 64
"""Examples, one to a minibatch, at which an epoch costs what its updates cost and little for itself."""


def reference(w: Tensor, X: Tensor, y: Tensor, batches: Batches, lr: float) -> Tensor:
    """The parameters after one epoch by the plain loop in float64; `w` stays as it is."""
    w, X, y = (tensor.double().cpu() for tensor in (w, X, y))
    for rows in batches:
        w = w - lr * gradient(w, X[rows.cpu()], y[rows.cpu()])
    return w


def prepare(
    case: Case,
    table: Table,
    *,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    generator: torch.Generator | None = None,
) -> Workload:
    """One epoch over a table, ready to run; minibatches and start are drawn here, outside of what is timed.

    Args:
        case: Axis `batch`, the minibatch size, 1 to n.
        table: The training set.
        dtype: float32 or float64.
        device: Where the epoch runs.
        generator: Source of the start and of the minibatches, on the CPU; by default one seeded with 0.

    Raises:
        ValueError: The case has other axes, the minibatch size is out of range, or the dtype has no tolerance.
        UnknownStrategyError: No such strategy.
    """
    function = epochs[case.strategy]
    if set(case.axes) != {"batch"}:
        raise ValueError(f"{case.name}: the axes are {sorted(case.axes)}; allowed is batch")
    if dtype not in TOLERANCE:
        raise ValueError(
            f"{dtype} drowns an epoch's updates in rounding; allowed are {', '.join(map(str, TOLERANCE))}"
        )
    generator = generator or torch.Generator().manual_seed(0)
    n, d = table.X.shape
    size = case.axes["batch"]
    batches, lr = shuffled(n, size, generator), learning_rate(size)
    batches = Batches(batches.rows.to(device), size)
    X, y = table.X.to(device, dtype), table.y.to(device, dtype)
    start = torch.cat([0.01 * torch.randn(d, generator=generator), torch.zeros(1)]).to(
        device, dtype
    )
    w = start.clone()
    least = Table(table.X[:LEAST], table.y[:LEAST], table.source)
    return Workload(
        case=case,
        run=lambda: function(w, X, y, batches, lr),
        flops=flops(n, d),
        bytes=traffic(n, d, len(batches), X.element_size()),
        calls=len(batches),
        poison=lambda: w.copy_(start),
        check=lambda: accuracy(w, reference(start, X, y, batches, lr)),
        least=prepare(
            Case(case.family, case.strategy, {"batch": 1}), least, dtype=dtype, device=device
        )
        if n > LEAST
        else None,
        facts={
            "dtype": str(dtype).removeprefix("torch."),
            "device": device,
            "data": table.source.name,
        },
    )


def accuracy(w: Tensor, expected: Tensor) -> Accuracy:
    """Compares parameters with those of the float64 loop, at the worst entry."""
    found = w.double().cpu()
    error = (found - expected).abs()
    worst = int(error.nan_to_num(nan=math.inf).argmax())
    return Accuracy(
        float(error[worst]),
        TOLERANCE[w.dtype],
        (worst,),
        float(found[worst]),
        float(expected[worst]),
    )
