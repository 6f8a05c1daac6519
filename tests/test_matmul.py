from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from flopline import matmul
from flopline.matmul import (
    BLOCK,
    TF32_EPSILON,
    TINY,
    WHOLE,
    ProductError,
    Work,
    accuracy,
    declare,
    flops,
    prepare,
    products,
    work,
)
from flopline.registry import UnknownStrategyError
from flopline.workload import (
    Case,
    ChangedOperandError,
    WrongAnswerError,
    verify,
    verify_again,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch._ops import OpOverload

    from flopline.matmul import Product, TileShape
    from flopline.workload import Workload

DTYPES = [torch.float32, torch.float64, torch.bfloat16]
LAYOUTS = ["contiguous", "transposed", "strided", "offset"]
EDGES = st.integers(0, 20)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
every_strategy = pytest.mark.parametrize("strategy", products)


def buffer_and_view(
    layout: str, rows: int, columns: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """A buffer full of NaN and a (rows, columns) view into it."""
    if layout == "transposed":
        buffer = torch.full((columns, rows), torch.nan, dtype=dtype)
        return buffer, buffer.t()
    if layout == "strided":
        buffer = torch.full((2 * rows + 1, 3 * columns + 1), torch.nan, dtype=dtype)
        return buffer, buffer[1::2, 1::3]
    if layout == "offset":
        buffer = torch.full((rows + 2, columns + 3), torch.nan, dtype=dtype)
        return buffer, buffer[1 : rows + 1, 2 : columns + 2]
    buffer = torch.full((rows, columns), torch.nan, dtype=dtype)
    return buffer, buffer


def multiplied(strategy: str, b: Tensor, c: Tensor, block: int) -> Tensor:
    out = torch.full((len(b), c.shape[1]), torch.nan, dtype=b.dtype)
    products[strategy](out, b, c, block=block)
    return out


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


@every_dtype
@every_strategy
@settings(max_examples=60)
@given(
    sizes=st.tuples(EDGES, EDGES, EDGES, st.integers(1, 25)),
    layouts=st.tuples(*[st.sampled_from(LAYOUTS)] * 3),
    seed=st.integers(0, 999),
)
def test_products_of_any_shape_agree_with_float64_and_stay_in_their_cells(
    strategy: str,
    dtype: torch.dtype,
    sizes: tuple[int, int, int, int],
    layouts: tuple[str, str, str],
    seed: int,
) -> None:
    m, k, p, block = sizes
    _, b = buffer_and_view(layouts[0], m, k, dtype)
    _, c = buffer_and_view(layouts[1], k, p, dtype)
    buffer, out = buffer_and_view(layouts[2], m, p, dtype)
    b.copy_(normal(m, k, seed=seed))
    c.copy_(normal(k, p, seed=seed + 1))
    products[strategy](out, b, c, block=block)
    # The a priori bound, without statistics, with twice the roundings of one sum (Higham, Accuracy
    # and Stability, 3.5).
    bound = (k + 1) * torch.finfo(dtype).eps * (b.double().abs() @ c.double().abs())
    assert bool(((out.double() - b.double() @ c.double()).abs() <= bound).all())
    assert bool(((out.double() - torch.mm(b, c).double()).abs() <= 2 * bound).all())
    assert accuracy(out, b, c).right
    out.fill_(torch.nan)
    assert bool(buffer.isnan().all())


@every_dtype
@every_strategy
@pytest.mark.parametrize("sizes", [(24, 64, 17, 7), (8, 9, 10, 1), (5, 64, 3, 64)])
def test_products_whose_partial_sums_are_representable_are_exact(
    strategy: str, dtype: torch.dtype, sizes: tuple[int, int, int, int]
) -> None:
    m, k, p, block = sizes
    generator = torch.Generator().manual_seed(0)
    b = torch.randint(-1, 2, (m, k), generator=generator)
    c = torch.randint(-1, 2, (k, p), generator=generator)
    out = multiplied(strategy, b.to(dtype), c.to(dtype), block)
    assert torch.equal((b @ c).to(dtype), out)


@every_dtype
@every_strategy
@pytest.mark.parametrize("block", [7, 16, 64])
def test_prepared_products_verify(strategy: str, dtype: torch.dtype, block: int) -> None:
    workload = prepare(Case("matmul", strategy, {"n": 48, "block": block}), dtype=dtype)
    verify(workload)
    assert workload.tiny is not None
    verify(workload.tiny)
    assert workload.tiny.case == Case("matmul", strategy, {"n": 8, "block": 1})


@every_dtype
@pytest.mark.parametrize("strategy", ["outer", "cube", "full"])
@given(k=st.integers(1, 8), spread=st.floats(0, 3), seed=st.integers(0, 999))
def test_a_product_of_up_to_eight_terms_is_accepted_whatever_its_data(
    strategy: str, dtype: torch.dtype, k: int, spread: float, seed: int
) -> None:
    b = (spread * normal(9, k, seed=seed)).exp().to(dtype)
    c = (spread * normal(k, 9, seed=seed)).exp().to(dtype)
    assert accuracy(multiplied(strategy, b, c, 1), b, c).right


def miss_a_panel(out: Tensor, b: Tensor, c: Tensor) -> tuple[slice, slice]:
    torch.mm(b[:, 64:], c[64:], out=out)
    return slice(0, 256), slice(0, 256)


def repeat_a_row(out: Tensor, b: Tensor, c: Tensor) -> tuple[slice, slice]:
    torch.mm(b, c, out=out)
    out[17] = out[18]
    return slice(17, 18), slice(0, 256)


def leave_a_cell_unwritten(out: Tensor, b: Tensor, c: Tensor) -> tuple[slice, slice]:
    repeat_a_row(out, b, c)
    out[3, 200] = torch.nan
    return slice(3, 4), slice(200, 201)


def write_zeros(out: Tensor, b: Tensor, c: Tensor) -> tuple[slice, slice]:
    out.zero_()
    return slice(0, 256), slice(0, 256)


@every_dtype
@pytest.mark.parametrize(
    "sabotage", [miss_a_panel, repeat_a_row, leave_a_cell_unwritten, write_zeros]
)
def test_wrong_products_are_caught_where_they_are_wrong(
    sabotage: Callable[[Tensor, Tensor, Tensor], tuple[slice, slice]], dtype: torch.dtype
) -> None:
    b, c = (normal(256, 256, seed=seed, dtype=dtype) for seed in (0, 1))
    out = torch.mm(b, c)
    assert accuracy(out, b, c).right
    rows, columns = sabotage(out, b, c)
    worst = accuracy(out, b, c)
    assert not worst.right
    i, j = worst.index
    assert rows.start <= i < rows.stop
    assert columns.start <= j < columns.stop
    assert worst.actual == pytest.approx(float(out[i, j]), nan_ok=True)
    assert worst.expected == pytest.approx(float((b.double() @ c.double())[i, j]))


@pytest.mark.parametrize("rounding", [0, 0x1000], ids=["cut", "nearest"])
def test_factors_rounded_to_tf32_are_right_only_as_tf32(rounding: int) -> None:
    def rounded(factor: Tensor) -> Tensor:
        return ((factor.view(torch.int32) + rounding) & ~0x1FFF).view(torch.float32)

    b, c = normal(256, 256, seed=0), normal(256, 256, seed=1)
    out = torch.mm(rounded(b), rounded(c))
    assert not accuracy(out, b, c).right
    assert accuracy(out, b, c, epsilon=TF32_EPSILON).right
    assert not accuracy(out + 1, b, c, epsilon=TF32_EPSILON).right


def test_where_the_oracle_has_no_rounding_only_zero_is_right() -> None:
    zeros = torch.zeros(2, 3)
    assert accuracy(torch.zeros(2, 2), zeros, zeros.t()).right
    worst = accuracy(torch.tensor([[0, 0], [1e-30, 0]]), zeros, zeros.t())
    assert (worst.right, worst.index, worst.bound) == (False, (1, 0), 0.0)


# With n = 256 and block = 64, in numbers of 4 bytes: a row takes n^2 + 2 n of them, a panel of rows
# n^2 + 2 block n, a tile 2 block n + block^2, a cube 4 block^2, and an update of outer 2 n^2 + 2 n.
@pytest.mark.parametrize(
    ("strategy", "block", "calls", "bytes_"),
    [
        ("element", None, 65_536, 134_479_872),
        ("row", None, 256, 67_633_152),
        ("column", None, 256, 67_633_152),
        ("outer", None, 256, 134_742_016),
        ("row_block", 64, 4, 1_572_864),
        ("column_block", 64, 4, 1_572_864),
        ("tile", 64, 16, 2_359_296),
        ("cube", 64, 64, 4_194_304),
        ("full", None, 1, 786_432),
    ],
)
def test_the_work_at_n_256_is_what_the_formulas_say(
    strategy: str, block: int | None, calls: int, bytes_: int
) -> None:
    axes = {"n": 256} if block is None else {"n": 256, "block": block}
    workload = prepare(Case("matmul", strategy, axes))
    assert (workload.flops, workload.calls, workload.bytes) == (33_554_432, calls, bytes_)
    assert prepare(Case("matmul", strategy, axes), dtype=torch.bfloat16).bytes == bytes_ / 2


# Counted by hand for m = 6, k = 10, p = 7 and block = 4, which cuts them into 2, 3 and 2 pieces: a
# row of the output takes 10 x 7 + 10 + 7 numbers, a column 6 x 10 + 10 + 6, and so on.
@pytest.mark.parametrize(
    ("strategy", "calls", "elements", "product"),
    [
        ("element", 42, 882, (1, 1)),
        ("element_assign", 42, 966, (1, 1)),
        ("row", 6, 522, (1, 7)),
        ("column", 7, 532, (6, 1)),
        ("column_assign", 7, 616, (6, 1)),
        ("outer", 10, 970, (6, 7)),
        ("row_block", 2, 242, (4, 7)),
        ("column_block", 2, 232, (6, 4)),
        ("column_block_assign", 2, 316, (6, 4)),
        ("tile", 4, 302, (4, 4)),
        ("cube", 12, 512, (4, 4)),
        ("full", 1, 172, (6, 7)),
        ("full_assign", 1, 256, (6, 7)),
    ],
)
def test_the_work_of_a_product_that_is_not_square_is_what_its_tile_says(
    strategy: str, calls: int, elements: int, product: tuple[int, int]
) -> None:
    assert work(products[strategy], 6, 10, 7, 4) == Work(calls, elements, product)


@pytest.mark.parametrize(
    "strategy", ["row_block", "column_block", "column_block_assign", "tile", "cube"]
)
def test_a_block_larger_than_the_product_makes_one_call_of_it(strategy: str) -> None:
    declared = work(products[strategy], 5, 3, 4, 100)
    assert (declared.calls, declared.product) == (1, (5, 4))


@pytest.mark.parametrize("strategy", [name for name in products if name.endswith("_assign")])
def test_an_assignment_touches_every_output_number_twice_more(strategy: str) -> None:
    direct = work(products[strategy.removesuffix("_assign")], 64, 64, 64, 8)
    assigned = work(products[strategy], 64, 64, 64, 8)
    assert assigned.elements - direct.elements == 2 * 64 * 64
    assert assigned.calls == direct.calls


def test_flops_count_a_multiplication_and_an_addition() -> None:
    assert flops(2, 3, 5) == 60


class Counter(TorchDispatchMode):
    """Counts the framework's product operators, and keeps the largest shape of a result."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.calls = 0
        self.shape: tuple[int, ...] = ()

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ in {"dot", "mv", "mm", "addr_", "addmm_"}:
            self.calls += 1
            self.shape = max(self.shape, tuple(cast("Tensor", result).shape))
        return result


@every_strategy
@pytest.mark.parametrize(("n", "block"), [(0, 1), (1, 1), (5, 2), (8, 8), (7, 3), (6, 100)])
def test_the_declared_calls_are_the_calls_that_are_made(strategy: str, n: int, block: int) -> None:
    workload = prepare(Case("matmul", strategy, {"n": n, "block": block}))
    with Counter() as counter:
        workload.run()
    assert workload.calls == counter.calls


@every_strategy
@pytest.mark.parametrize(("m", "p", "block"), [(6, 4, 3), (4, 6, 3), (5, 7, 2), (3, 9, 100)])
def test_the_declared_product_is_the_largest_that_a_call_makes(
    strategy: str, m: int, p: int, block: int
) -> None:
    b, c = torch.randn(m, 5), torch.randn(5, p)
    with Counter() as counter:
        products[strategy](torch.empty(m, p), b, c, block=block)
    declared = work(products[strategy], m, 5, p, block).product
    sizes = tuple(size for size in declared if size > 1)
    assert sizes == counter.shape  # dot gives (), mv one size


def foreign(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
    torch.mm(b, c, out=out)


def test_a_strategy_without_a_declaration_is_taken_to_do_the_work_of_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(matmul, "products", {"foreign": foreign})
    workload = prepare(Case("matmul", "foreign", {"n": 256, "block": 64}))
    assert (workload.calls, workload.bytes) == (1, 786_432)


def test_a_strategy_that_is_not_registered_declares_its_tile_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @declare(tile=(BLOCK, 2, WHOLE), assigns=True)
    def foreign(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
        torch.mm(b, c, out=out)

    assert "foreign" not in products
    assert work(foreign, 6, 10, 7, 4) == Work(2 * 4, 4 * 60 + 2 * 70 + 3 * 42, (4, 2))
    monkeypatch.setattr(matmul, "products", {"foreign": foreign})
    assert prepare(Case("matmul", "foreign", {"n": 8, "block": 4})).calls == 2 * 4


def test_a_declaration_is_an_attribute_that_can_be_set_without_flopline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(foreign, "tile", ("whole", "block", "whole"), raising=False)
    assert work(foreign, 6, 10, 7, 4) == work(products["column_block"], 6, 10, 7, 4)


@pytest.mark.parametrize(
    ("tile", "message"),
    [
        ((BLOCK, WHOLE), r"the tile is \('block', 'whole'\); allowed are three extents"),
        ((BLOCK, WHOLE, 0), "the tile's depth is 0; allowed are whole numbers of at least 1"),
        (("all", WHOLE, WHOLE), "the tile's rows is 'all'; allowed are whole numbers"),
        ((WHOLE, 2.5, WHOLE), "the tile's columns is 2.5; allowed are whole numbers"),
    ],
    ids=["two", "zero", "word", "fraction"],
)
def test_a_tile_that_is_not_three_extents_is_refused(tile: TileShape, message: str) -> None:
    with pytest.raises(ProductError, match=message):
        declare(tile=tile)


def transposed(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
    out.copy_(torch.mm(b, c).t())


def lazy(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None: ...


def without_a_remainder(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
    for j in range(0, out.shape[1] - block + 1, block):
        out[:, j : j + block] = b @ c[:, j : j + block]


@every_dtype
@pytest.mark.parametrize("wrong", [transposed, lazy, without_a_remainder])
def test_a_wrong_strategy_is_refused_on_every_run(
    wrong: Product, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matmul, "products", {"wrong": wrong})
    workload = prepare(Case("matmul", "wrong", {"n": 48, "block": 7}), dtype=dtype)
    for _ in range(2):
        with pytest.raises(
            WrongAnswerError,
            match=r"^matmul/strategy=wrong/n=48/block=7: wrong answer, worst at \[",
        ):
            verify(workload)


def test_inputs_are_those_of_the_generator_and_by_default_the_same() -> None:
    case = Case("matmul", "full", {"n": 16})
    worst = [
        verify(prepare(case, generator=generator))
        for generator in (None, None, torch.Generator().manual_seed(5))
    ]
    assert worst[0] == worst[1] != worst[2]


@pytest.mark.parametrize(("n", "has_tiny"), [(8, False), (9, True)])
def test_a_product_has_a_tiny_one_unless_it_is_tiny_itself(n: int, has_tiny: bool) -> None:
    assert TINY == 8
    assert (prepare(Case("matmul", "full", {"n": n})).tiny is not None) == has_tiny


def test_the_facts_include_the_precision_that_was_allowed() -> None:
    case = Case("matmul", "full", {"n": 4})
    assert prepare(case, dtype=torch.bfloat16).facts == {"dtype": "bfloat16", "device": "cpu"}
    assert prepare(case, tf32=True).facts == {"dtype": "tf32", "device": "cpu"}
    assert verify(prepare(case, tf32=True)).bound > 1000 * verify(prepare(case)).bound


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({}, r"the axes are \[\]; allowed are n and block"),
        ({"block": 4}, r"the axes are \['block'\]"),
        ({"n": 4, "batch": 2}, r"the axes are \['batch', 'n'\]"),
        ({"n": 4, "block": 0}, "block is 0; allowed is a whole number of at least 1"),
        ({"n": 4, "block": -1}, "block is -1; allowed is a whole number of at least 1"),
    ],
)
def test_a_case_with_other_axes_or_an_impossible_block_is_refused(
    axes: dict[str, int], message: str
) -> None:
    with pytest.raises(ProductError, match=message):
        prepare(Case("matmul", "cube", axes))


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64], ids=str)
def test_a_product_in_a_dtype_without_a_rounding_bound_is_refused(dtype: torch.dtype) -> None:
    message = f"the dtype is {dtype}; allowed is a floating-point dtype"
    with pytest.raises(ProductError, match=message):
        prepare(Case("matmul", "full", {"n": 4}), dtype=dtype)


def test_a_case_of_an_unknown_strategy_is_refused_with_the_nearest() -> None:
    with pytest.raises(
        UnknownStrategyError, match=r"no strategy 'colum'\. Did you mean 'column'\?"
    ):
        prepare(Case("matmul", "colum", {"n": 4}))


@pytest.mark.cuda
@every_dtype
@every_strategy
def test_products_verify_on_a_device(strategy: str, dtype: torch.dtype) -> None:
    verify(prepare(Case("matmul", strategy, {"n": 48, "block": 7}), dtype=dtype, device="cuda"))


def zeroes_both(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
    b.zero_()
    out.zero_()


def swaps(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
    torch.mm(b, c, out=out)
    kept = b.clone()
    b.copy_(c)
    c.copy_(kept)


def rounds(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
    c.copy_(c.bfloat16())
    torch.mm(b, c, out=out)


def transposes_in_place(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
    torch.mm(b, c, out=out)
    c.t_()


def puts_another_output(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
    out.set_(torch.mm(b, c))  # type: ignore[call-overload]


def prepared(strategy: Product, monkeypatch: pytest.MonkeyPatch, n: int = 48) -> Workload:
    monkeypatch.setattr(matmul, "products", {"strange": strategy})
    return prepare(Case("matmul", "strange", {"n": n, "block": 7}))


@pytest.mark.parametrize(
    ("strategy", "operand"),
    [
        (zeroes_both, "b"),
        (swaps, "b"),
        (rounds, "c"),
        (transposes_in_place, "c"),
        (puts_another_output, "the output"),
    ],
)
def test_a_product_that_changes_an_operand_is_refused_with_its_name(
    strategy: Product, operand: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    workload = prepared(strategy, monkeypatch)
    message = f"^matmul/strategy=strange/n=48/block=7: the strategy changed {operand}: "
    with pytest.raises(ChangedOperandError, match=message):
        verify(workload)


def right_until(runs: int) -> Product:
    """A product that computes as often as this, and then writes zeros."""
    done: list[int] = []

    def late(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
        done.append(1)
        if len(done) > runs:
            out.zero_()
        else:
            torch.mm(b, c, out=out)

    return late


def once_for(key: Callable[[Tensor, Tensor], object]) -> Product:
    """A product that computes again only if this key of its factors is new."""
    answers: dict[object, Tensor] = {}

    def memo(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
        name = key(b, c)
        if name not in answers:
            answers[name] = torch.mm(b, c)
        out.copy_(answers[name])

    return memo


def only_on_poison(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
    if out.isnan().any():
        torch.mm(b, c, out=out)


CHEATS: dict[str, Callable[[], Product]] = {
    "late": lambda: right_until(3),
    "identity": lambda: once_for(lambda b, c: (id(b), id(c))),
    "memory": lambda: once_for(lambda b, c: (b.data_ptr(), c.data_ptr())),
    "shape": lambda: once_for(lambda b, _: b.shape),
    "sample": lambda: once_for(lambda b, c: (float(b[0, 0]), float(c[0, 0]))),
    "one factor": lambda: once_for(lambda b, _: float(b.sum())),
    "poison": lambda: only_on_poison,
}


@pytest.mark.parametrize("cheat", CHEATS)
def test_a_product_that_is_right_only_at_first_is_refused_afterwards(
    cheat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    workload = prepared(CHEATS[cheat](), monkeypatch)
    verify(workload)
    for _ in range(3):
        workload.run()
    with pytest.raises(WrongAnswerError, match="although it was right at first"):
        verify_again(workload)


def test_a_product_that_is_written_later_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []

    def later(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
        thread = threading.Thread(target=torch.mm, args=(b, c), kwargs={"out": out})
        threads.append(thread)
        threading.Timer(0.05, thread.start).start()

    with pytest.raises(WrongAnswerError, match="not written"):
        verify(prepared(later, monkeypatch))
    time.sleep(0.1)
    threads[0].join()


@every_dtype
@every_strategy
def test_every_product_is_right_again_on_operands_that_changed(
    strategy: str, dtype: torch.dtype
) -> None:
    workload = prepare(Case("matmul", strategy, {"n": 20, "block": 7}), dtype=dtype)
    verify(workload)
    workload.run()
    verify_again(workload)
    verify_again(workload)


def test_a_change_draws_nothing_from_the_callers_generator() -> None:
    generator = torch.Generator().manual_seed(3)
    workload = prepare(Case("matmul", "full", {"n": 8}), generator=generator)
    before = generator.get_state()
    assert workload.change is not None
    workload.change()
    workload.change()
    assert torch.equal(before, generator.get_state())
