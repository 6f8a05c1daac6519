"""C7 to C10: the costs of different strategies for the product of two matrices of 256 x 256."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flopline import matmul
from flopline.chapter.claims.evidence import Finding, all_hold, exact, median, ratio
from flopline.chapter.claims.measurements.turns import (
    BLOCK_WIDTHS,
    CHAPTER_BLOCK,
    MATRIX_SIZE,
    product_case,
)
from flopline.chapter.claims.register import claim

if TYPE_CHECKING:
    from flopline.chapter.claims.evidence import Quantity
    from flopline.chapter.claims.measurements import Measurements

FLOPS = matmul.flops(MATRIX_SIZE, MATRIX_SIZE, MATRIX_SIZE)
"""Floating-point operations of the chapter's product."""


@claim(
    7,
    "Column by column needs half the memory bandwidth of element by element",
    "The claim is confirmed if the requested bytes fall by a factor of 2, within 1 %. "
    "The effect on the time is shown beside it.",
)
def _traffic(measurements: Measurements) -> Finding:
    element = matmul.prepare(product_case("element"))
    column = matmul.prepare(product_case("column"))
    bytes_saved = exact("bytes requested, element over column", element.bytes / column.bytes)

    loop_seconds = measurements.product_seconds("element_assign")
    column_seconds = measurements.product_seconds("column_assign")
    call_seconds = measurements.call_seconds()
    shares = [
        element.calls * call / loop for call, loop in zip(call_seconds, loop_seconds, strict=True)
    ]
    measured = (
        bytes_saved,
        ratio("time, element over column", loop_seconds, column_seconds),
        median("share of the element loop's time that calls cost", shares),
        median("one call", call_seconds, "s"),
    )
    note = "The traffic halves. The time falls for another reason: there are 256 times fewer calls."
    return Finding(all_hold(1.98 < bytes_saved.value < 2.02), measured, note)


@claim(
    8,
    "Element by element is much slower than column by column, and column by column is much slower "
    "than one product",
    "The claim is confirmed if both steps gain more than a factor of 2, and refuted if one of them "
    "gains less.",
)
def _ladder(measurements: Measurements) -> Finding:
    element = measurements.product_seconds("element_assign")
    column = measurements.product_seconds("column_assign")
    full = measurements.product_seconds("full")
    first_step = ratio("element over column", element, column)
    second_step = ratio("column over full", column, full)
    measured = (
        first_step,
        second_step,
        _rate("element GFLOPS", element),
        _rate("column GFLOPS", column),
        _rate("full GFLOPS", full),
    )
    return Finding(all_hold(first_step.above(2), second_step.above(2)), measured)


def _rate(what: str, seconds: list[float]) -> Quantity:
    """Returns the rate of the chapter's product, in billions of operations per second."""
    return median(what, [FLOPS / sample / 1e9 for sample in seconds])


@claim(
    9,
    "Blocks of 64 columns are essentially as efficient as the whole product",
    "The claim is confirmed if they take less than 1 / 0.75 of the time of the whole product, and "
    "refuted if they take more.",
)
def _block(measurements: Measurements) -> Finding:
    full = measurements.product_seconds("full")
    chapter = measurements.product_seconds("column_block_assign", CHAPTER_BLOCK)
    speed = ratio(f"full over {CHAPTER_BLOCK} columns", full, chapter)
    measured = [speed]
    for width in BLOCK_WIDTHS:
        block = measurements.product_seconds("column_block", width)
        measured.append(ratio(f"full over {width} columns, out=", full, block))
    note = "The numbers are speeds relative to the whole product."
    return Finding(all_hold(speed.above(0.75)), tuple(measured), note)


@claim(
    10,
    "The product takes 2 billion operations (first editions) or 0.03 billion (later editions)",
    "The claim is confirmed if one of the two numbers is within 5 % of 2 x 256^3.",
)
def _count(_measurements: Measurements) -> Finding:
    early = exact("2 billion over the count", 2e9 / FLOPS)
    later = exact("0.03 billion over the count", 0.03e9 / FLOPS)
    is_near = abs(early.value - 1) < 0.05 or abs(later.value - 1) < 0.05
    return Finding(all_hold(is_near), (exact("2 x 256^3", FLOPS), early, later))
