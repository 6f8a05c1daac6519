"""C7 to C10: what the ways to multiply two matrices of 256 x 256 cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flopline import matmul
from flopline.chapter.claims.evidence import Finding, exact, jointly, median, ratio
from flopline.chapter.claims.measurements import WIDTHS, N
from flopline.chapter.claims.register import claim

if TYPE_CHECKING:
    from flopline.chapter.claims.measurements import Lab


@claim(
    7,
    "Column by column needs half the memory bandwidth of element by element",
    "confirmed if the bytes asked for fall by a factor of 2 within 1 %; what the time does is shown beside it",
)
def _traffic(lab: Lab) -> Finding:
    element, column = lab.product("element"), lab.product("column")
    asked = exact("bytes asked, element over column", element.bytes / column.bytes)
    loop, call = lab.product_seconds("element_assign"), lab.product_seconds("dispatch")
    share = median(
        "share of the element loop that calls cost",
        [element.calls * one / whole for one, whole in zip(call, loop, strict=True)],
    )
    speed = ratio("time, element over column", loop, lab.product_seconds("column_assign"))
    note = "The traffic halves; the time falls for another reason, 256 times fewer calls."
    return Finding(
        jointly(1.98 < asked.value < 2.02),
        (asked, speed, share, median("one call", call, "s")),
        note,
    )


@claim(
    8,
    "Element by element is much slower than column by column, and that than one product",
    "confirmed if both steps gain more than a factor of 2, refuted if one gains less",
)
def _ladder(lab: Lab) -> Finding:
    element, column, full = (
        lab.product_seconds(name) for name in ("element_assign", "column_assign", "full")
    )
    steps = ratio("element over column", element, column), ratio("column over full", column, full)
    work = matmul.flops(N, N, N)
    rates = [
        median(f"{name} GFLOPS", [work / seconds / 1e9 for seconds in samples])
        for name, samples in (("element", element), ("column", column), ("full", full))
    ]
    return Finding(jointly(*(step.above(2) for step in steps)), (*steps, *rates))


@claim(
    9,
    "Blocks of 64 columns are essentially as efficient as the whole product",
    "confirmed if they take less than 1 / 0.75 of the time of the whole, refuted if more",
)
def _block(lab: Lab) -> Finding:
    full = lab.product_seconds("full")
    literal = ratio("full over 64 columns", full, lab.product_seconds("column_block_assign", 64))
    widths = [
        ratio(f"full over {width} columns, out=", full, lab.product_seconds("column_block", width))
        for width in WIDTHS
    ]
    return Finding(
        jointly(literal.above(0.75)), (literal, *widths), "Speeds relative to the whole product."
    )


@claim(
    10,
    "The product takes 2 billion operations (first editions), or 0.03 billion (later ones)",
    "confirmed if one of the two is within 5 % of 2 x 256^3",
)
def _count(lab: Lab) -> Finding:
    del lab
    right = matmul.flops(N, N, N)
    old, new = (
        exact("2 billion over the count", 2e9 / right),
        exact("0.03 billion over the count", 0.03e9 / right),
    )
    near = any(abs(reading.value - 1) < 0.05 for reading in (old, new))
    return Finding(jointly(near), (exact("2 x 256^3", right), old, new))
