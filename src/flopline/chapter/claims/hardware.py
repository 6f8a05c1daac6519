"""C1 to C6: processors, memory, and how many examples keep a cluster busy."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import torch

from flopline import machine, timing
from flopline.chapter.claims.evidence import (
    Finding,
    all_hold,
    exact,
    holds_in_every_setting,
    median,
    ratio,
)
from flopline.chapter.claims.measurements.memory import STRIDES
from flopline.chapter.claims.register import claim

if TYPE_CHECKING:
    from flopline.chapter.claims.measurements import Measurements


@claim(
    1,
    "A processor of 16 cores at 2 GHz with AVX-512 processes about 10^12 bytes per second",
    "The claim is confirmed if 2e9 x 16 x 32 is within 10 % of 1e12. "
    "What this machine does is shown beside it.",
)
def _peak(measurements: Measurements) -> Finding:
    chapter = exact("2e9 x 16 x 32", 2e9 * 16 * 32)
    flops = [ceilings.flops for ceilings in measurements.ceilings]
    reads = [ceilings.levels[0].read for ceilings in measurements.ceilings]
    measured = (
        chapter,
        median("fastest product, all cores", flops, "flop/s"),
        median("reads from L1, all cores", reads, "B/s"),
    )
    cores = len(os.sched_getaffinity(0))
    note = (
        "The product is right, but its unit is not: 32 is the number of float32 operations per "
        "cycle of one AVX-512 unit, and an AVX-512 register holds 64 bytes. "
        f"This machine has {cores} cores and {machine.describe()['instructions']}."
    )
    return Finding(all_hold(0.9e12 < chapter.value < 1.1e12), measured, note)


GPU_EDGE = 8192
"""The edge of the matrices that are multiplied and copied on a GPU."""

GPU_SAMPLES = 15
"""Batches of products, and of copies, that are timed on a GPU."""


@claim(
    2,
    "A GPU exceeds that by a factor of 100",
    "The claim is confirmed if both the bfloat16 product rate and the memory rate of a GPU exceed "
    "1e14 per second, and refuted if neither does. It is not testable without a GPU.",
)
def _gpu(_measurements: Measurements) -> Finding:
    if not torch.cuda.is_available():
        return Finding("not testable here", (), "torch finds no CUDA device here.")
    clock = timing.event_clock()
    matrix = torch.randn(GPU_EDGE, GPU_EDGE, device="cuda", dtype=torch.bfloat16)
    out = torch.empty_like(matrix)
    copied = torch.empty_like(matrix)
    flops = 2 * GPU_EDGE**3
    bytes_copied = 2 * matrix.numel() * matrix.element_size()

    def multiply() -> object:
        return torch.mm(matrix, matrix, out=out)

    def copy() -> object:
        return copied.copy_(matrix)

    for _ in range(3):
        multiply()
    products = [flops * 5 / timing.batch(multiply, 5, clock) for _ in range(GPU_SAMPLES)]
    copies = [bytes_copied * 50 / timing.batch(copy, 50, clock) for _ in range(GPU_SAMPLES)]
    product_rate = median("bfloat16 product", products, "flop/s")
    copy_rate = median("copy", copies, "B/s")
    answer = holds_in_every_setting(product_rate.above(1e14), copy_rate.above(1e14))
    return Finding(answer, (product_rate, copy_rate))


@claim(
    3,
    "Memory delivers less than a tenth of what the processor could consume "
    "(about 100 GB/s on a server)",
    "The claim is confirmed if the fastest product does more than 10 operations in the time in "
    "which one byte is copied, with all cores at work.",
)
def _balance(measurements: Measurements) -> Finding:
    copies = [ceilings.copy for ceilings in measurements.ceilings]
    balances = [ceilings.flops / ceilings.copy for ceilings in measurements.ceilings]
    balance = median("operations per byte copied", balances)
    measured = (
        balance,
        median("copy in main memory, all cores", copies, "B/s"),
        exact("the chapter's 0.1 / 1.024", 0.1 / 1.024),
    )
    return Finding(all_hold(balance.above(10)), measured)


@claim(
    4,
    "Memory is read over a wide interface, so single numbers are expensive",
    "The claim is confirmed if reading one float32 in every 64 bytes delivers less than a quarter "
    "of the useful bytes per second.",
)
def _strided(measurements: Measurements) -> Finding:
    in_order = measurements.strided_sums[1]
    losses = {}
    for stride in STRIDES[1:]:
        what = f"useful bandwidth lost at stride {4 * stride} B"
        losses[stride] = ratio(what, measurements.strided_sums[stride], in_order)
    cache_line = losses[16]
    note = (
        "The chapter's widths (64 and 384 bit) are dated. What counts is the cache line of "
        "64 bytes."
    )
    return Finding(all_hold(cache_line.above(4)), tuple(losses.values()), note)


@claim(
    5,
    "The first access to memory is expensive, sequential access is cheap",
    "The claim is confirmed if fetching random numbers beyond the last cache takes more than "
    "5 times as long as fetching them in order.",
)
def _sequential(measurements: Measurements) -> Finding:
    fetches = measurements.fetches
    what = "random over sequential, main memory"
    beyond_caches = ratio(what, fetches["memory"], fetches["sequential"])
    by_level = [
        median(f"random from {level}", samples, "s")
        for level, samples in fetches.items()
        if level != "sequential"
    ]
    note = "Independent fetches overlap. The latency of a single one is higher still."
    return Finding(all_hold(beyond_caches.above(5)), (beyond_caches, *by_level), note)


@claim(
    6,
    "8 GPUs in each of 16 servers want minibatches of at least 128",
    "The claim is confirmed if 8 x 16 is 128.",
)
def _cluster(_measurements: Measurements) -> Finding:
    examples = exact("8 x 16", 8 * 16)
    note = "This counts one example for each GPU."
    return Finding(all_hold(examples.value == 128), (examples,), note)
