"""C1 to C6: processors, memory, and how many examples a cluster keeps busy."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import torch

from flopline import machine, timing
from flopline.chapter.claims.evidence import (
    Finding,
    Quantity,
    everywhere,
    exact,
    jointly,
    median,
    ratio,
)
from flopline.chapter.claims.register import claim

if TYPE_CHECKING:
    from flopline.chapter.claims.measurements import Lab


@claim(
    1,
    "A processor of 16 cores at 2 GHz with AVX-512 processes about 10^12 bytes per second",
    "2e9 x 16 x 32 is within 10 % of 1e12; what this machine does is shown beside it",
)
def _peak(lab: Lab) -> Finding:
    product = exact("2e9 x 16 x 32", 2e9 * 16 * 32)
    found = median("fastest product, all cores", [top.flops for top in lab.ceilings], "flop/s")
    reads = median("reads from L1, all cores", [top.levels[0].read for top in lab.ceilings], "B/s")
    note = (
        "The product is right and its unit is not: 32 is the flops per cycle of one AVX-512 unit on float32, and a "
        f"register holds 64 bytes. Here: {len(os.sched_getaffinity(0))} cores, {machine.describe()['instructions']}."
    )
    return Finding(jointly(0.9e12 < product.value < 1.1e12), (product, found, reads), note)


@claim(
    2,
    "A GPU exceeds that by a factor of 100",
    "with a GPU: confirmed if both its bfloat16 product rate and its memory rate exceed 1e14 per second, refuted if "
    "neither does",
)
def _gpu(lab: Lab) -> Finding:
    if not torch.cuda.is_available():
        return Finding("not testable here", (), "torch finds no CUDA device here.")
    del lab
    clock = timing.event_clock()
    b = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    out, copied = torch.empty_like(b), torch.empty_like(b)
    for _ in range(3):
        torch.mm(b, b, out=out)
    products = [
        2 * 8192**3 / timing.batch(lambda: torch.mm(b, b, out=out), 5, clock) * 5 for _ in range(15)
    ]
    copies = [
        4 * b.numel() / timing.batch(lambda: copied.copy_(b), 50, clock) * 50 for _ in range(15)
    ]
    rates = median("bfloat16 product", products, "flop/s"), median("copy", copies, "B/s")
    return Finding(everywhere(*(rate.above(1e14) for rate in rates)), rates)


@claim(
    3,
    "Memory delivers less than a tenth of what the processor could consume (about 100 GB/s on a server)",
    "confirmed if the fastest product does more than 10 flops in the time of one byte copied, all cores at work",
)
def _balance(lab: Lab) -> Finding:
    copy = median("copy in main memory, all cores", [top.copy for top in lab.ceilings], "B/s")
    balance = median("flops per byte copied", [top.flops / top.copy for top in lab.ceilings])
    return Finding(
        jointly(balance.above(10)), (balance, copy, exact("the chapter's 0.1 / 1.024", 0.1 / 1.024))
    )


@claim(
    4,
    "Memory is read over a wide interface, so single numbers are expensive",
    "confirmed if reading one float32 in every 64 bytes delivers less than a quarter of the useful bytes per second",
)
def _strided(lab: Lab) -> Finding:
    losses = [
        ratio(
            f"useful bandwidth lost at stride {4 * stride} B", lab.strides[stride], lab.strides[1]
        )
        for stride in (2, 4, 8, 16, 32)
    ]
    note = "The chapter's widths (64 and 384 bit) are dated; what counts is the cache line of 64 bytes."
    return Finding(jointly(losses[3].above(4)), tuple(losses), note)


@claim(
    5,
    "The first access to memory is expensive, sequential access is cheap",
    "confirmed if fetching random numbers beyond the last cache takes more than 5 times as long as doing so in order",
)
def _sequential(lab: Lab) -> Finding:
    beyond = ratio(
        "random over sequential, main memory", lab.gathers["memory"], lab.gathers["sequential"]
    )
    each: list[Quantity] = [
        median(f"random from {level}", samples, "s")
        for level, samples in lab.gathers.items()
        if level != "sequential"
    ]
    note = "Independent fetches overlap; the latency of one alone is higher still."
    return Finding(jointly(beyond.above(5)), (beyond, *each), note)


@claim(6, "8 GPUs in each of 16 servers want minibatches of at least 128", "8 x 16 is 128")
def _cluster(lab: Lab) -> Finding:
    del lab
    return Finding(jointly(8 * 16 == 128), (exact("8 x 16", 8 * 16),), "At one example per GPU.")
