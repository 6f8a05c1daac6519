"""The matrix product `out (m, p) = b (m, k) @ c (k, p)`, from a dot product per entry to one call.

A strategy is a plain function that writes into `out`, which shares no memory with its inputs. It
does not check its arguments: `prepare` does, once, before anything is timed. From naive to whole:

- `element`       one `dot` per entry
- `row`, `column` one `mv` per row or column
- `outer`         k rank-1 updates of the whole output
- `row_block`, `column_block`   panels of `block` rows or columns, one `mm` each
- `tile`          block x block of the output, over the whole of k at once
- `cube`          block x block x block, accumulated
- `full`          one `mm`

`element_assign`, `column_assign`, `column_block_assign` and `full_assign` are the chapter's literal
forms. They assign the result of a call, which allocates it and then copies it, while the others
hand their cells to the call as `out=`.

What one call multiplies is a tile, and a strategy declares its shape. Operations, bytes and the
number of calls follow from the shape (see `work`).

To add a strategy, write and decorate it here, and add its cases to benchmarks/cases.py. If it calls
an operator that no other strategy calls, the test that counts calls must know that operator too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeVar

import torch
from torch import Tensor

from flopline import FloplineError
from flopline.registry import Registry
from flopline.workload import Accuracy, Case, Operands, Workload

if TYPE_CHECKING:
    from collections.abc import Callable


class Product(Protocol):
    """A strategy: a function that writes `b @ c` into every cell of `out`."""

    def __call__(self, out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
        """Writes the product.

        Args:
            out: (m, p), where the product is written.
            b: (m, k), of the dtype and on the device of `out`.
            c: (k, p), likewise.
            block: The edge of a block, if the strategy has blocks.
        """


Strategy = TypeVar("Strategy", bound=Product)

BLOCK: Final = "block"
"""In a tile shape: the edge of a block."""

WHOLE: Final = "whole"
"""In a tile shape: the whole of m, p or k."""

Extent = int | Literal["block", "whole"]
"""How far a tile reaches in one direction: a whole number, `BLOCK`, or `WHOLE`."""

TileShape = tuple[Extent, Extent, Extent]
"""Rows, columns and depth of the product that one framework call makes."""


class ProductError(FloplineError, ValueError):
    """A product cannot be prepared, or its tile shape is not one."""


def declare(*, tile: TileShape, assigns: bool = False) -> Callable[[Strategy], Strategy]:
    """Declares what one framework call of a strategy multiplies; a decorator.

    The declaration is kept in the function's attributes `tile` and `assigns`. A strategy without
    one is taken to do the work of `full`: a single call for everything.

    Args:
        tile: Rows, columns and depth of the product that one call makes.
        assigns: True if the result of a call is allocated and then copied into the output.

    Raises:
        ProductError: The tile is not three extents.
    """
    _check_tile(tile)

    def decorate(function: Strategy) -> Strategy:
        vars(function)["tile"] = tile
        vars(function)["assigns"] = assigns
        return function

    return decorate


def _check_tile(tile: TileShape) -> None:
    names = ("rows", "columns", "depth")
    if len(tile) != len(names):
        raise ProductError(f"the tile is {tile!r}; allowed are three extents: rows, columns, depth")
    for name, extent in zip(names, tile, strict=True):
        positive = isinstance(extent, int) and extent >= 1
        if not positive and extent not in (BLOCK, WHOLE):
            raise ProductError(
                f"the tile's {name} is {extent!r}; "
                "allowed are whole numbers of at least 1, BLOCK and WHOLE"
            )


class Products(Registry[Product]):
    """The product strategies by name; a built-in one is registered with its tile shape."""

    def strategy(self, *, tile: TileShape, assigns: bool = False) -> Callable[[Strategy], Strategy]:
        """Registers a function under its own name and declares its work; a decorator.

        Args:
            tile: As for `declare`.
            assigns: As for `declare`.
        """
        declared = declare(tile=tile, assigns=assigns)

        def decorate(function: Strategy) -> Strategy:
            self.register(declared(function))
            return function

        return decorate


products = Products("flopline.matmul")
"""The strategies by name."""


@products.strategy(tile=(1, 1, WHOLE))
def element(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
    """Writes one dot product per entry into its cell."""
    columns = range(out.shape[1])
    for i in range(out.shape[0]):
        row, cells = b[i], out[i]
        for j in columns:
            torch.dot(row, c[:, j], out=cells[j])


@products.strategy(tile=(1, 1, WHOLE), assigns=True)
def element_assign(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
    """Allocates and copies one dot product per entry: the chapter's element loop."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = torch.dot(b[i], c[:, j])


@products.strategy(tile=(1, WHOLE, WHOLE))
def row(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
    """Makes one matrix-vector product per row; its writes are contiguous."""
    transposed = c.t()
    for i in range(out.shape[0]):
        torch.mv(transposed, b[i], out=out[i])


@products.strategy(tile=(WHOLE, 1, WHOLE))
def column(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
    """Makes one matrix-vector product per column; its writes are strided."""
    for j in range(out.shape[1]):
        torch.mv(b, c[:, j], out=out[:, j])


@products.strategy(tile=(WHOLE, 1, WHOLE), assigns=True)
def column_assign(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
    """Allocates and copies one matrix-vector product per column: the chapter's column loop."""
    for j in range(out.shape[1]):
        out[:, j] = torch.mv(b, c[:, j])


@products.strategy(tile=(WHOLE, WHOLE, 1))
def outer(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
    """Makes k rank-1 updates of the whole output; the first of them does not read it."""
    if not b.shape[1]:
        out.zero_()
    for i in range(b.shape[1]):
        out.addr_(b[:, i], c[i], beta=min(i, 1))


@products.strategy(tile=(BLOCK, WHOLE, WHOLE))
def row_block(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
    """Multiplies panels of `block` rows."""
    for i in range(0, out.shape[0], block):
        torch.mm(b[i : i + block], c, out=out[i : i + block])


@products.strategy(tile=(WHOLE, BLOCK, WHOLE))
def column_block(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
    """Multiplies panels of `block` columns."""
    for j in range(0, out.shape[1], block):
        torch.mm(b, c[:, j : j + block], out=out[:, j : j + block])


@products.strategy(tile=(WHOLE, BLOCK, WHOLE), assigns=True)
def column_block_assign(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
    """Allocates and copies panels of `block` columns: the chapter's minibatch of 64 columns."""
    for j in range(0, out.shape[1], block):
        out[:, j : j + block] = torch.mm(b, c[:, j : j + block])


@products.strategy(tile=(BLOCK, BLOCK, WHOLE))
def tile(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
    """Computes output tiles of block x block, each over the whole of k."""
    for i in range(0, out.shape[0], block):
        rows, cells = b[i : i + block], out[i : i + block]
        for j in range(0, out.shape[1], block):
            torch.mm(rows, c[:, j : j + block], out=cells[:, j : j + block])


@products.strategy(tile=(BLOCK, BLOCK, BLOCK))
def cube(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
    """Accumulates blocks in all three directions; the first along k does not read the output."""
    if not b.shape[1]:
        out.zero_()
    for i in range(0, out.shape[0], block):
        for j in range(0, out.shape[1], block):
            cells = out[i : i + block, j : j + block]
            for h in range(0, b.shape[1], block):
                left = b[i : i + block, h : h + block]
                cells.addmm_(left, c[h : h + block, j : j + block], beta=min(h, 1))


@products.strategy(tile=(WHOLE, WHOLE, WHOLE))
def full(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
    """Makes the whole product in one call."""
    torch.mm(b, c, out=out)


@products.strategy(tile=(WHOLE, WHOLE, WHOLE), assigns=True)
def full_assign(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
    """Makes the whole product in one call, allocates it and copies it."""
    out[:] = torch.mm(b, c)


def flops(m: int, k: int, p: int) -> int:
    """Returns the floating-point operations of a product: 2mkp.

    A multiplication and an addition count as one operation each.
    """
    return 2 * m * k * p


@dataclass(frozen=True)
class Work:
    """What a strategy asks of the framework and of memory.

    Attributes:
        calls: How many framework calls it makes.
        elements: How many numbers those calls read and write, as if there were no caches.
        product: Rows and columns of the product that one call makes.
    """

    calls: int
    elements: int
    product: tuple[int, int]


def work(function: Product, m: int, k: int, p: int, block: int) -> Work:
    """Returns the work of a strategy, from the tile that it declares.

    The tile cuts m, p and k into pieces. There is a call for every combination of pieces. All of
    `b` is read once for every piece of p, and all of `c` once for every piece of m. The output is
    written once. If k is cut into pieces, every piece reads and writes the output, to add to it.
    If results are assigned, they are written, read and copied, which touches the output's numbers
    twice more.

    Args:
        function: The strategy; without a declaration it is taken to do the work of `full`.
        m: Rows of the product.
        k: Columns of the first factor and rows of the second.
        p: Columns of the product.
        block: The edge of a block.

    Raises:
        ProductError: The function's attribute `tile` is not three extents.
    """
    shape: TileShape = getattr(function, "tile", (WHOLE, WHOLE, WHOLE))
    _check_tile(shape)
    rows, columns, depth = shape
    row_pieces = _pieces(m, rows, block)
    column_pieces = _pieces(p, columns, block)
    depth_pieces = _pieces(k, depth, block)

    reads = column_pieces * m * k + row_pieces * k * p
    writes = m * p
    if depth != WHOLE:
        writes = 2 * depth_pieces * m * p
    if getattr(function, "assigns", False):
        writes += 2 * m * p
    return Work(
        calls=row_pieces * column_pieces * depth_pieces,
        elements=reads + writes,
        product=(_reach(m, rows, block), _reach(p, columns, block)),
    )


def _reach(size: int, extent: Extent, block: int) -> int:
    """Returns how much of a direction one tile covers."""
    if extent == WHOLE:
        return size
    return min(size, block if extent == BLOCK else extent)


def _pieces(size: int, extent: Extent, block: int) -> int:
    """Returns into how many pieces the tiles cut a direction; a WHOLE one stays in one piece."""
    if extent == WHOLE:
        return 1
    return math.ceil(size / (block if extent == BLOCK else extent))


def accuracy(out: Tensor, b: Tensor, c: Tensor, *, epsilon: float | None = None) -> Accuracy:
    """Compares a product with the float64 one, at its worst cell.

    That is the cell whose error is nearest to its bound, or furthest beyond it. The bound of a cell
    is `4 epsilon sqrt(k) S` with `S^2 = sum over k of (b c)^2`, for three reasons:

    - Up to k = 8 no order of summation can break it. Each of at most k roundings is off by no more
      than epsilon/2 of a partial sum, and no partial sum exceeds sqrt(k) S (Cauchy-Schwarz).
    - For larger k it is 20 standard deviations wide. Roundings of zero-mean data add up like a
      random walk (Higham and Mary, SIAM J. Sci. Comput. 41, 2019), to 0.4 epsilon/2 sqrt(k) S.
    - It is ten times narrower than the error of a missing block of 64 in bfloat16. The worst case
      over all data, `k epsilon |b| |c|`, would accept an output of zeros there from k = 128 on.

    Args:
        out: (m, p), the product to assess.
        b: (m, k).
        c: (k, p).
        epsilon: The distance from 1 to the next larger number in the precision of the products;
            by default that of the dtype of `out`.
    """
    if not out.numel():
        return Accuracy(error=0.0, bound=0.0, index=(), actual=0.0, expected=0.0)
    if epsilon is None:
        epsilon = torch.finfo(out.dtype).eps
    wide_b = b.double()
    wide_c = c.double()
    actual = out.double()
    expected = wide_b @ wide_c
    error = (actual - expected).abs()
    root_sum = (wide_b.square() @ wide_c.square()).sqrt()
    bound = 4 * epsilon * math.sqrt(b.shape[1]) * root_sum

    # The worst cell is the one whose error is the largest multiple of its bound. A bound may be 0
    # (k = 0, or zeros); any error is then beyond it. NaN is worse than any number.
    smallest = torch.finfo(torch.float64).tiny
    excess = torch.where(error <= bound, error / bound.clamp_min(smallest), torch.inf)
    beyond = torch.where(error.isnan(), torch.inf, 1 + error)
    excess = torch.where(torch.isfinite(excess), excess, beyond)
    i, j = divmod(int(excess.argmax()), out.shape[1])
    return Accuracy(
        error=float(error[i, j]),
        bound=float(bound[i, j]),
        index=(i, j),
        actual=float(actual[i, j]),
        expected=float(expected[i, j]),
    )


TF32_EPSILON = 2.0**-11
"""The epsilon of `accuracy` for products in TF32.

Both factors are cut to TF32's 10 bits, so that a sum is off by at most 2^-9 sqrt(k) S.
"""

TINY = 8
"""The edge at which arithmetic is negligible and a strategy's time is what its calls cost."""


def _check(case: Case, dtype: torch.dtype) -> None:
    """Raises a ProductError unless a case can be prepared in a dtype."""
    axes = set(case.axes)
    if not {"n"} <= axes <= {"n", "block"}:
        raise ProductError(f"{case.name}: the axes are {sorted(axes)}; allowed are n and block")
    block = case.axes.get("block", 1)
    if block < 1:
        raise ProductError(
            f"{case.name}: block is {block}; allowed is a whole number of at least 1"
        )
    if not dtype.is_floating_point:
        raise ProductError(f"{case.name}: the dtype is {dtype}; allowed is a floating-point dtype")


def prepare(
    case: Case,
    *,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    generator: torch.Generator | None = None,
    tf32: bool = False,
) -> Workload:
    """Returns a product of two n x n matrices of standard normal numbers, ready to run.

    Args:
        case: A case with the axis `n`, and with `block` if the strategy has blocks.
        dtype: The floating-point dtype of inputs and output.
        device: Where they are.
        generator: The source of the inputs, on the CPU; by default one with seed 0.
        tf32: True if float32 products may round their factors to TF32 (CUDA); it widens the bound.

    Raises:
        ProductError: The case lacks `n` or has other axes, its block is below 1, or the dtype is
            not a floating-point one.
        UnknownStrategyError: No strategy has the case's name.
    """
    function = products[case.strategy]
    _check(case, dtype)
    n, block = case.axes["n"], case.axes.get("block", 1)
    generator = generator or torch.Generator().manual_seed(0)
    b = torch.randn(n, n, generator=generator).to(device, dtype)
    c = torch.randn(n, n, generator=generator).to(device, dtype)
    out = torch.empty(n, n, dtype=dtype, device=device)
    operands = Operands(case, {"b": b, "c": c}, out)

    tiny = None
    if n > TINY:
        sizes = dict.fromkeys(case.axes, 1) | {"n": TINY}
        tiny_case = Case(case.family, case.strategy, sizes)
        tiny = prepare(tiny_case, dtype=dtype, device=device, tf32=tf32)
    precision = "tf32" if tf32 else str(dtype).removeprefix("torch.")
    epsilon = TF32_EPSILON if tf32 else None
    declared = work(function, n, n, n, block)

    def check() -> Accuracy:
        # The output is copied first, so that nothing that is written later counts.
        written = out.clone()
        operands.refuse_changes()
        return accuracy(written, operands["b"], operands["c"], epsilon=epsilon)

    return Workload(
        case=case,
        run=lambda: function(out, b, c, block=block),
        flops=flops(n, n, n),
        bytes=declared.elements * b.element_size(),
        calls=declared.calls,
        product=declared.product,
        poison=lambda: out.fill_(torch.nan),
        check=check,
        tiny=tiny,
        facts={"dtype": precision, "device": device},
        change=_Change(b, c, operands, generator),
    )


ONE_CHANGE = 100.0
"""What is added to one entry of a factor: far beyond the bound in every precision."""


class _Change:
    """Changes the factors in place: first one entry of one of them, then all of both, in turns.

    An answer that is kept for the same tensors, or for the same sample of their entries, is wrong
    after the first; one that is kept in parts is wrong after the second.
    """

    def __init__(
        self, b: Tensor, c: Tensor, operands: Operands, generator: torch.Generator
    ) -> None:
        self._factors = (b, c)
        self._operands = operands
        self._seed = generator.initial_seed() + 1
        self._generator: torch.Generator | None = None
        self._changes = 0

    def __call__(self) -> None:
        # A generator of its own, so that a change draws nothing from the caller's.
        self._generator = self._generator or torch.Generator().manual_seed(self._seed)
        if self._changes % 2:
            for factor in self._factors:
                factor.copy_(torch.randn(factor.shape, generator=self._generator))
        else:
            factor = self._factors[int(torch.randint(2, (), generator=self._generator))]
            place = torch.randint(len(factor), (2,), generator=self._generator).tolist()
            factor[tuple(place)] += ONE_CHANGE
        self._changes += 1
        self._operands.keep()
