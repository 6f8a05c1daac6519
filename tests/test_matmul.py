from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from flopline import matmul
from flopline.matmul import (
    LEAST,
    TF32_EPSILON,
    ProductError,
    accuracy,
    flops,
    multiply,
    prepare,
    products,
)
from flopline.registry import UnknownStrategyError
from flopline.workload import Case, WrongAnswerError, verify

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch._ops import OpOverload

    from flopline.matmul import Product

DTYPES = [torch.float32, torch.float64, torch.bfloat16]
LAYOUTS = ["contiguous", "transposed", "strided", "offset"]
EDGES = st.integers(0, 20)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
every_strategy = pytest.mark.parametrize("strategy", products)


def room(layout: str, rows: int, columns: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
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
def test_products_of_any_shape_block_and_stride_agree_with_mm_and_float64_and_stay_in_their_cells(
    strategy: str,
    dtype: torch.dtype,
    sizes: tuple[int, int, int, int],
    layouts: tuple[str, str, str],
    seed: int,
) -> None:
    m, k, p, block = sizes
    (_, b), (_, c) = room(layouts[0], m, k, dtype), room(layouts[1], k, p, dtype)
    b.copy_(normal(m, k, seed=seed))
    c.copy_(normal(k, p, seed=seed + 1))
    buffer, out = room(layouts[2], m, p, dtype)
    assert multiply(b, c, strategy=strategy, block=block, out=out) is out
    # The a priori bound with twice the roundings of one sum (Higham, Accuracy and Stability, 3.5), no statistics.
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
    b, c = (torch.randint(-1, 2, shape, generator=generator) for shape in ((m, k), (k, p)))
    out = multiply(b.to(dtype), c.to(dtype), strategy=strategy, block=block)
    assert torch.equal((b @ c).to(dtype), out)


@every_dtype
@every_strategy
@pytest.mark.parametrize("block", [7, 16, 64])
def test_prepared_products_verify(strategy: str, dtype: torch.dtype, block: int) -> None:
    workload = prepare(Case("matmul", strategy, {"n": 48, "block": block}), dtype=dtype)
    verify(workload)
    assert workload.least is not None
    verify(workload.least)
    assert workload.least.case == Case("matmul", strategy, {"n": 8, "block": 1})


@every_dtype
@pytest.mark.parametrize("strategy", ["outer", "cube", "full"])
@given(k=st.integers(1, 8), spread=st.floats(0, 3), seed=st.integers(0, 999))
def test_a_product_of_up_to_eight_terms_is_accepted_whatever_its_data(
    strategy: str, dtype: torch.dtype, k: int, spread: float, seed: int
) -> None:
    b, c = ((spread * normal(*shape, seed=seed)).exp().to(dtype) for shape in ((9, k), (k, 9)))
    assert accuracy(multiply(b, c, strategy=strategy, block=1), b, c).right


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
    found = accuracy(out, b, c)
    assert not found.right
    i, j = found.where
    assert rows.start <= i < rows.stop
    assert columns.start <= j < columns.stop
    assert found.found == pytest.approx(float(out[i, j]), nan_ok=True)
    assert found.expected == pytest.approx(float((b.double() @ c.double())[i, j]))


@pytest.mark.parametrize("rounding", [0, 0x1000], ids=["cut", "nearest"])
def test_factors_rounded_to_tf32_are_caught_in_float32_and_accepted_as_tf32(rounding: int) -> None:
    b, c = (normal(256, 256, seed=seed) for seed in (0, 1))
    out = torch.mm(
        *(
            ((factor.view(torch.int32) + rounding) & ~0x1FFF).view(torch.float32)
            for factor in (b, c)
        )
    )
    assert not accuracy(out, b, c).right
    assert accuracy(out, b, c, epsilon=TF32_EPSILON).right
    assert not accuracy(out + 1, b, c, epsilon=TF32_EPSILON).right


def test_where_the_oracle_is_zero_without_rounding_nothing_but_zero_is_right() -> None:
    zeros = torch.zeros(2, 3)
    assert accuracy(torch.zeros(2, 2), zeros, zeros.t()).right
    found = accuracy(torch.tensor([[0, 0], [1e-30, 0]]), zeros, zeros.t())
    assert (found.right, found.where, found.bound) == (False, (1, 0), 0.0)


# limits.md section 3 with n = 256, 4 bytes and b = 64 (c = 4 blocks to an edge); outer has k updates of the whole.
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


@pytest.mark.parametrize("strategy", [name for name in products if name.endswith("_assign")])
def test_an_assignment_writes_reads_and_writes_the_output_once_more(strategy: str) -> None:
    work = [
        prepare(Case("matmul", name, {"n": 64, "block": 8}))
        for name in (strategy, strategy.removesuffix("_assign"))
    ]
    assert work[0].bytes - work[1].bytes == 2 * 64 * 64 * 4
    assert work[0].calls == work[1].calls


def test_flops_count_a_multiplication_and_an_addition() -> None:
    assert flops(2, 3, 5) == 60


class Counter(TorchDispatchMode):
    """Counts the framework's product operators, and keeps the largest shape that one of them gives."""

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
    work = vars(products[strategy])["work"](m, 5, p, block)
    assert (
        tuple(size for size in (work.rows, work.columns) if size > 1) == counter.shape
    )  # dot gives (), mv one size


def test_a_strategy_without_a_declaration_is_taken_to_ask_for_what_full_asks_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def undeclared(out: Tensor, b: Tensor, c: Tensor, *, block: int) -> None:
        torch.mm(b, c, out=out)

    monkeypatch.setattr(matmul, "products", {"undeclared": undeclared})
    workload = prepare(Case("matmul", "undeclared", {"n": 256, "block": 64}))
    assert (workload.calls, workload.bytes) == (1, 786_432)


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


def test_prepared_inputs_are_those_of_the_generator_and_by_default_always_the_same() -> None:
    case = Case("matmul", "full", {"n": 16})
    worst = [
        verify(prepare(case, generator=generator))
        for generator in (None, None, torch.Generator().manual_seed(5))
    ]
    assert worst[0] == worst[1] != worst[2]


@pytest.mark.parametrize(("n", "has_less"), [(8, False), (9, True)])
def test_a_product_has_a_smaller_one_until_it_is_the_least(
    n: int, has_less: bool
) -> None:  # a parameter
    assert LEAST == 8
    assert (prepare(Case("matmul", "full", {"n": n})).least is not None) == has_less


def test_the_record_says_which_precision_was_allowed() -> None:
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
    ],
)
def test_a_case_with_other_axes_is_refused(axes: dict[str, int], message: str) -> None:
    with pytest.raises(ProductError, match=message):
        prepare(Case("matmul", "cube", axes))


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


def ones(*shape: int) -> Tensor:
    return torch.ones(shape)


STORAGE = torch.arange(60.0)
EXPANDED = torch.full((4, 1), torch.nan).expand(4, 5)
WINDOWS = torch.full((8,), torch.nan).as_strided((4, 5), (1, 1))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"b": ones(3)}, "b has shape (3,); allowed is a matrix"),
        ({"c": ones(1, 3, 5)}, "c has shape (1, 3, 5); allowed is a matrix"),
        ({"c": ones(4, 5)}, "b is (4, 3) and c is (4, 5); allowed is (m, k) and (k, p) with one k"),
        ({"out": ones(5, 4)}, "out has shape (5, 4); the product of (4, 3) and (3, 5) is (4, 5)"),
        ({"out": ones(20)}, "out has shape (20,)"),
        ({"b": ones(4, 3).long()}, "b has dtype torch.int64; allowed is a floating-point dtype"),
        ({"c": ones(3, 5).bool()}, "c has dtype torch.bool; allowed is a floating-point dtype"),
        (
            {"b": ones(4, 3).to(torch.complex64)},
            "b has dtype torch.complex64; allowed is a floating-point dtype",
        ),
        (
            {"c": ones(3, 5).double()},
            "c has dtype torch.float64 and b has torch.float32; allowed is one dtype",
        ),
        ({"out": ones(4, 5).bfloat16()}, "out has dtype torch.bfloat16 and b has torch.float32"),
        ({"c": ones(3, 5).to("meta")}, "c is on meta and b on cpu; allowed is one device for all"),
        (
            {"out": ones(4, 5).to("meta")},
            "out is on meta and b on cpu; allowed is one device for all",
        ),
        (
            {"b": STORAGE[:12].view(4, 3), "out": STORAGE[11:31].view(4, 5)},
            "out overlaps b in memory",
        ),
        (
            {"c": STORAGE[19:34].view(3, 5), "out": STORAGE[:20].view(4, 5)},
            "out overlaps c in memory",
        ),
        (
            {"c": STORAGE[:15].view(3, 5), "out": STORAGE[:40].view(8, 5)[::2]},
            "out overlaps c in memory",
        ),
        (
            {"out": EXPANDED},
            "out has strides (1, 0): cells share memory; allowed is an out of distinct cells",
        ),
        (
            {"out": WINDOWS},
            "out has strides (1, 1): cells share memory; allowed is an out of distinct cells",
        ),
        ({"b": ones(4, 3).requires_grad_()}, "requires a gradient, which out= cannot give"),
        ({"out": ones(4, 5).requires_grad_()}, "requires a gradient, which out= cannot give"),
        ({"block": 0}, "block is 0; allowed is a whole number of at least 1"),
        ({"block": -1}, "block is -1; allowed"),
        ({"block": True}, "block is True; allowed"),
        ({"block": 2.5}, "block is 2.5; allowed"),
        (
            {"strategy": "qube"},
            "flopline.matmul: no strategy 'qube'. Did you mean 'cube'? There are: element, ",
        ),
    ],
    ids=lambda value: re.sub(r"\W+", "-", value)[:40] if isinstance(value, str) else "",
)
def test_operands_that_make_no_product_are_refused_and_nothing_is_written(
    given: dict[str, Any], message: str
) -> None:
    operands: dict[str, Any] = {
        "strategy": "cube",
        "block": 2,
        "b": ones(4, 3),
        "c": ones(3, 5),
        "out": torch.full((4, 5), torch.nan),
    } | given
    before = {name: operands[name].clone() for name in ("b", "c", "out")}
    error = UnknownStrategyError if "strategy" in given else ProductError
    with pytest.raises(error, match=re.escape(message)):
        multiply(**operands)
    for name, tensor in before.items():
        assert tensor.is_meta or torch.allclose(
            tensor, operands[name], rtol=0, atol=0, equal_nan=True
        )


def test_neighbours_in_one_storage_do_not_overlap() -> None:
    storage = torch.ones(47)
    b, c, out = storage[:12].view(4, 3), storage[12:27].view(3, 5), storage[27:].view(4, 5)
    assert torch.equal(torch.full((4, 5), 3.0), multiply(b, c, out=out))


def test_operands_that_require_a_gradient_are_allowed_without_one() -> None:
    with torch.no_grad():
        out = multiply(ones(4, 3).requires_grad_(), ones(3, 5))
    assert torch.equal(torch.full((4, 5), 3.0), out)


@every_dtype
def test_a_product_without_an_out_is_new_and_of_the_operands_dtype(dtype: torch.dtype) -> None:
    b, c = ones(4, 3).to(dtype), ones(3, 5).to(dtype)
    out = multiply(b, c)
    assert out.dtype == dtype
    assert torch.equal(torch.full((4, 5), 3.0, dtype=dtype), out)
    assert torch.equal(ones(4, 3).to(dtype), b)
    assert torch.equal(ones(3, 5).to(dtype), c)
