"""The matrix product `out (m, p) = b (m, k) @ c (k, p)`, from one dot product per entry to one call for everything.

A strategy writes into `out`, which is distinct from its inputs, and is not checked when it runs: `multiply` is the
checked door, `prepare` the one to the benchmarks. From naive to whole:

- `element`       one `dot` per entry
- `row`, `column` one `mv` per row or column
- `outer`         k rank-1 updates of the whole
- `row_block`, `column_block`   panels of `block` rows or columns, one `mm` each
- `tile`          block x block of the output, the whole of k at once
- `cube`          block x block x block, accumulated
- `full`          one `mm`

`element_assign`, `column_assign`, `column_block_assign` and `full_assign` are the chapter's literal forms: they assign
the result of a call, which allocates it and then copies it, where the others hand their cells to the call as `out=`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar, cast

import torch
from torch import Tensor

from flopline.registry import Registry
from flopline.workload import Accuracy, Case, Workload


class Product(Protocol):
    """A strategy: writes `b @ c` into every cell of `out`."""

    def __call__(self, out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
        """Writes the product; `block` is the edge of a block where the strategy has blocks."""


class Work(NamedTuple):
    """What a strategy asks of the framework and of memory.

    Attributes:
        calls: Framework calls.
        elements: Elements those calls ask of memory, caches left out of account.
        rows: Rows of the product that one call makes.
        columns: Its columns.
    """

    calls: int
    elements: int
    rows: int
    columns: int


Formula = Callable[[int, int, int, int], Work]
"""(m, k, p, block) -> what they ask for."""

Strategy = TypeVar("Strategy", bound=Product)

products: Registry[Product] = Registry("flopline.matmul")
"""The strategies by name."""


def asks(work: Formula) -> Callable[[Strategy], Strategy]:
    """Declares the work of a strategy; kept as the function's attribute `work`.

    A strategy without a declaration is taken to ask for what `full` asks for.
    """

    def declare(function: Strategy) -> Strategy:
        vars(function)["work"] = work
        return function

    return declare


@products.strategy
@asks(lambda m, k, p, _: Work(m * p, m * p * (2 * k + 1), 1, 1))
def element(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
    """One dot product per entry, into its cell."""
    columns = range(out.shape[1])
    for i in range(out.shape[0]):
        row, cells = b[i], out[i]
        for j in columns:
            torch.dot(row, c[:, j], out=cells[j])


@products.strategy
@asks(lambda m, k, p, _: Work(m * p, m * p * (2 * k + 3), 1, 1))
def element_assign(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
    """One dot product per entry, allocated and copied: the chapter's element loop."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = torch.dot(b[i], c[:, j])


@products.strategy
@asks(lambda m, k, p, _: Work(m, m * (k * p + k + p), 1, p))
def row(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
    """One matrix-vector product per row: contiguous writes."""
    transposed = c.t()
    for i in range(out.shape[0]):
        torch.mv(transposed, b[i], out=out[i])


@products.strategy
@asks(lambda m, k, p, _: Work(p, p * (m * k + k + m), m, 1))
def column(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
    """One matrix-vector product per column: strided writes."""
    for j in range(out.shape[1]):
        torch.mv(b, c[:, j], out=out[:, j])


@products.strategy
@asks(lambda m, k, p, _: Work(p, p * (m * k + k + 3 * m), m, 1))
def column_assign(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
    """One matrix-vector product per column, allocated and copied: the chapter's column loop."""
    for j in range(out.shape[1]):
        out[:, j] = torch.mv(b, c[:, j])


@products.strategy
@asks(lambda m, k, p, _: Work(k, k * (m + p + 2 * m * p), m, p))
def outer(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
    """k rank-1 updates of the whole output; the first does not read it."""
    if not b.shape[1]:
        out.zero_()
    for i in range(b.shape[1]):
        out.addr_(b[:, i], c[i], beta=min(i, 1))


@products.strategy
@asks(
    lambda m, k, p, block: Work(
        math.ceil(m / block), m * k + math.ceil(m / block) * k * p + m * p, min(m, block), p
    )
)
def row_block(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
    """Panels of `block` rows."""
    for i in range(0, out.shape[0], block):
        torch.mm(b[i : i + block], c, out=out[i : i + block])


@products.strategy
@asks(
    lambda m, k, p, block: Work(
        math.ceil(p / block), math.ceil(p / block) * m * k + k * p + m * p, m, min(p, block)
    )
)
def column_block(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
    """Panels of `block` columns."""
    for j in range(0, out.shape[1], block):
        torch.mm(b, c[:, j : j + block], out=out[:, j : j + block])


@products.strategy
@asks(
    lambda m, k, p, block: Work(
        math.ceil(p / block), math.ceil(p / block) * m * k + k * p + 3 * m * p, m, min(p, block)
    )
)
def column_block_assign(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
    """Panels of `block` columns, allocated and copied: the chapter's minibatch of 64 columns."""
    for j in range(0, out.shape[1], block):
        out[:, j : j + block] = torch.mm(b, c[:, j : j + block])


@products.strategy
@asks(
    lambda m, k, p, block: Work(
        math.ceil(m / block) * math.ceil(p / block),
        math.ceil(p / block) * m * k + math.ceil(m / block) * k * p + m * p,
        min(m, block),
        min(p, block),
    )
)
def tile(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
    """Output tiles of block x block, each over the whole of k."""
    for i in range(0, out.shape[0], block):
        rows, cells = b[i : i + block], out[i : i + block]
        for j in range(0, out.shape[1], block):
            torch.mm(rows, c[:, j : j + block], out=cells[:, j : j + block])


@products.strategy
@asks(
    lambda m, k, p, block: Work(
        math.ceil(m / block) * math.ceil(p / block) * math.ceil(k / block),
        math.ceil(p / block) * m * k
        + math.ceil(m / block) * k * p
        + 2 * math.ceil(k / block) * m * p,
        min(m, block),
        min(p, block),
    )
)
def cube(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
    """Blocks in all three directions, accumulated in the output; the first along k does not read it."""
    if not b.shape[1]:
        out.zero_()
    for i in range(0, out.shape[0], block):
        for j in range(0, out.shape[1], block):
            cells = out[i : i + block, j : j + block]
            for h in range(0, b.shape[1], block):
                cells.addmm_(
                    b[i : i + block, h : h + block], c[h : h + block, j : j + block], beta=min(h, 1)
                )


@products.strategy
@asks(lambda m, k, p, _: Work(1, m * k + k * p + m * p, m, p))
def full(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
    """One call for the whole product."""
    torch.mm(b, c, out=out)


@products.strategy
@asks(lambda m, k, p, _: Work(1, m * k + k * p + 3 * m * p, m, p))
def full_assign(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
    """One call for the whole product, allocated and copied."""
    out[:] = torch.mm(b, c)


class ProductError(ValueError):
    """The operands do not make a matrix product."""


def multiply(
    b: Tensor, c: Tensor, *, strategy: str = "full", block: int = 64, out: Tensor | None = None
) -> Tensor:
    """The product `b @ c` by a named strategy, its operands checked before any work.

    Args:
        b: (m, k), floating point, any strides.
        c: (k, p), dtype and device of `b`.
        strategy: A name in `products`.
        block: Edge of a block, at least 1; it need not divide the shape.
        out: (m, p) of the same dtype and device, its cells distinct from each other and from the inputs'.

    Returns:
        `out`, or a new tensor.

    Raises:
        ProductError: The operands do not fit; the message says what was given and what is allowed.
        UnknownStrategyError: No such strategy.
    """
    function = products[strategy]
    _check_operands(b, c, block)
    if out is None:
        out = torch.empty(b.shape[0], c.shape[1], dtype=b.dtype, device=b.device)
    _check_output(out, b, c)
    function(out, b, c, block=block)
    return out


def _check_operands(b: Tensor, c: Tensor, block: int) -> None:
    if isinstance(block, bool) or not isinstance(block, int) or block < 1:
        raise ProductError(f"block is {block!r}; allowed is a whole number of at least 1")
    for name, operand in (("b", b), ("c", c)):
        if operand.dim() != 2:  # noqa: PLR2004  # a matrix
            raise ProductError(
                f"{name} has shape {tuple(operand.shape)}; allowed is a matrix, two dimensions"
            )
        if not operand.is_floating_point():
            raise ProductError(
                f"{name} has dtype {operand.dtype}; allowed is a floating-point dtype"
            )
    if b.shape[1] != c.shape[0]:
        raise ProductError(
            f"b is {tuple(b.shape)} and c is {tuple(c.shape)}; allowed is (m, k) and (k, p) with one k"
        )
    _check_alike("c", c, b)


def _check_output(out: Tensor, b: Tensor, c: Tensor) -> None:
    shape = (b.shape[0], c.shape[1])
    if tuple(out.shape) != shape:
        given = f"{tuple(b.shape)} and {tuple(c.shape)}"
        raise ProductError(f"out has shape {tuple(out.shape)}; the product of {given} is {shape}")
    _check_alike("out", out, b)
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (out, b, c)):
        raise ProductError(
            "an operand requires a gradient, which out= cannot give; allowed under torch.no_grad()"
        )
    if _folds(out):
        raise ProductError(
            f"out has strides {out.stride()}: cells share memory; allowed is an out of distinct cells"
        )
    for name, operand in (("b", b), ("c", c)):
        if _overlap(out, operand):
            raise ProductError(
                f"out overlaps {name} in memory; allowed is an out of its own: torch.empty{shape}"
            )


def _check_alike(name: str, tensor: Tensor, b: Tensor) -> None:
    if tensor.dtype != b.dtype:
        raise ProductError(
            f"{name} has dtype {tensor.dtype} and b has {b.dtype}; allowed is one dtype for all"
        )
    if tensor.device != b.device:
        raise ProductError(
            f"{name} is on {tensor.device} and b on {b.device}; allowed is one device for all"
        )


def _folds(matrix: Tensor) -> bool:
    """Whether two cells of a matrix share memory: whether its two strides have a common multiple within it."""
    (m, p), (down, across) = matrix.shape, matrix.stride()
    common = math.gcd(down, across)
    if not matrix.numel() or not common:
        return matrix.numel() > 1
    return across // common < m and down // common < p


def _overlap(one: Tensor, other: Tensor) -> bool:
    """Whether the address ranges of two tensors meet; cells that interleave without touching count as overlapping."""
    return (
        bool(one.numel() and other.numel())
        and one.data_ptr() < _end(other)
        and other.data_ptr() < _end(one)
    )


def _end(tensor: Tensor) -> int:
    reach = sum(
        (size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True)
    )
    return tensor.data_ptr() + (reach + 1) * tensor.element_size()


def flops(m: int, k: int, p: int) -> int:
    """Floating-point operations of a product: 2mkp, a multiplication and an addition each counting one."""
    return 2 * m * k * p


def accuracy(out: Tensor, b: Tensor, c: Tensor, *, epsilon: float | None = None) -> Accuracy:
    """Compares a product with the float64 one, at the cell nearest to (or furthest beyond) its error bound.

    The bound of a cell is `4 epsilon sqrt(k) S` with `S^2 = sum over k of (b c)^2`. Each of at most k roundings is off
    by no more than epsilon/2 of a partial sum, and no partial sum exceeds sqrt(k) S (Cauchy-Schwarz): up to k = 8 no
    order of summation can break the bound. Beyond, roundings of zero-mean data add up like a random walk
    (Higham and Mary, SIAM J. Sci. Comput. 41, 2019), to 0.4 epsilon/2 sqrt(k) S: the bound is 20 standard deviations
    wide, and still ten times narrower than a missing block of 64 in bfloat16. The worst case over all data,
    `k epsilon |b| |c|`, would accept an output of zeros in bfloat16 from k = 128 on.

    Args:
        out: (m, p), the product to judge.
        b: (m, k).
        c: (k, p).
        epsilon: Spacing of the numbers after 1 in the precision of the products; by default that of `out`'s dtype.
    """
    if not out.numel():
        return Accuracy(0.0, 0.0, (), 0.0, 0.0)
    wide_b, wide_c, found = b.double(), c.double(), out.double()
    expected = wide_b @ wide_c
    unit = torch.finfo(out.dtype).eps if epsilon is None else epsilon
    bound = 4 * unit * math.sqrt(b.shape[1]) * (wide_b.square() @ wide_c.square()).sqrt()
    error = (found - expected).abs()
    # Where the bound is 0 (k = 0, or zeros), any error is beyond it; NaN is worse than any number.
    excess = torch.where(
        error <= bound, error / bound.clamp_min(torch.finfo(torch.float64).tiny), torch.inf
    )
    excess = torch.where(
        torch.isfinite(excess), excess, torch.where(error.isnan(), torch.inf, 1 + error)
    )
    worst = int(excess.argmax())
    where = divmod(worst, out.shape[1])
    return Accuracy(
        float(error[where]), float(bound[where]), where, float(found[where]), float(expected[where])
    )


TF32_EPSILON = 2.0**-11
"""For `accuracy`: both factors of a product are cut to TF32's 10 bits, so a sum is off by 2^-9 sqrt(k) S at most."""

LEAST = 8
"""The edge at which arithmetic is negligible and a strategy's time is what its calls cost."""


def prepare(
    case: Case,
    *,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    generator: torch.Generator | None = None,
    tf32: bool = False,
) -> Workload:
    """A product of two n x n matrices of standard normal numbers, ready to run.

    Args:
        case: Axes `n`, and `block` for the strategies that have blocks.
        dtype: Of inputs and output.
        device: Where they lie.
        generator: Source of the inputs, on the CPU; by default one seeded with 0.
        tf32: Whether float32 products are allowed to round their factors to TF32 (CUDA); it widens the bound.

    Raises:
        ProductError: The case lacks `n`, has other axes, or its block is below 1.
        UnknownStrategyError: No such strategy.
    """
    function = products[case.strategy]
    if not {"n"} <= set(case.axes) <= {"n", "block"}:
        raise ProductError(
            f"{case.name}: the axes are {sorted(case.axes)}; allowed are n and block"
        )
    n, block = case.axes["n"], case.axes.get("block", 1)
    generator = generator or torch.Generator().manual_seed(0)
    b, c = (torch.randn(n, n, generator=generator).to(device, dtype) for _ in range(2))
    out = torch.empty(n, n, dtype=dtype, device=device)
    _check_operands(b, c, block)
    formula = cast("Formula", getattr(function, "work", full.work))  # type: ignore[attr-defined]  # set by asks
    work = formula(n, n, n, block)
    least = Case(
        case.family, case.strategy, {axis: LEAST if axis == "n" else 1 for axis in case.axes}
    )
    return Workload(
        case=case,
        run=lambda: function(out, b, c, block=block),
        flops=flops(n, n, n),
        bytes=work.elements * b.element_size(),
        calls=work.calls,
        product=(work.rows, work.columns),
        poison=lambda: out.fill_(torch.nan),
        check=lambda: accuracy(out, b, c, epsilon=TF32_EPSILON if tf32 else None),
        least=prepare(least, dtype=dtype, device=device, tf32=tf32) if n > LEAST else None,
        facts={"dtype": "tf32" if tf32 else str(dtype).removeprefix("torch."), "device": device},
    )
