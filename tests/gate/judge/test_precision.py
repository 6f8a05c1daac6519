"""Why block values scatter, told from made-up quads, and how many blocks are precise enough."""

from __future__ import annotations

import math
import random
import statistics

import pytest

from flopline.gate.judge.precision import is_precise, noise_of
from flopline.gate.judge.verdict import block_values
from flopline.gate.record import Quad, Settings
from tests.gate.support.machine import quad_of

SETTINGS = Settings(detect=0.03)


def made_up(
    blocks: int, quads: int, *, between: float, scatter: float, seed: int = 1
) -> list[list[Quad]]:
    """Returns blocks whose values differ, of quads that scatter around them."""
    noise = random.Random(seed)  # noqa: S311  # it must repeat
    measured = []
    for _ in range(blocks):
        value = noise.gauss(0, between)
        measured.append([quad_of(value + noise.gauss(0, scatter), 1e-3) for _ in range(quads)])
    return measured


def test_quads_that_scatter_are_told_from_pairs_that_differ() -> None:
    blocks = made_up(150, 25, between=0.02, scatter=0.05)
    sigma = statistics.stdev(block_values(blocks, "cpu"))
    noise = noise_of(blocks, "cpu", sigma)
    assert math.sqrt(noise.between) == pytest.approx(0.02, rel=0.15)
    assert math.sqrt(noise.within) == pytest.approx(1.2533 * 0.05 / 5, rel=0.15)


@pytest.mark.parametrize("times", [2, 8])
def test_longer_blocks_are_as_steady_as_was_foretold(times: int) -> None:
    short = made_up(150, 25, between=0.01, scatter=0.1)
    noise = noise_of(short, "cpu", statistics.stdev(block_values(short, "cpu")))
    longer = made_up(150, 25 * times, between=0.01, scatter=0.1, seed=2)
    sigma = statistics.stdev(block_values(longer, "cpu"))
    assert noise.sigma(times) == pytest.approx(sigma, rel=0.15)


def test_of_few_quads_the_batches_tell_how_far_they_scatter() -> None:
    noise = random.Random(3)  # noqa: S311  # it must repeat
    blocks = []
    for _ in range(500):
        readings = [quad_of(noise.gauss(0, 0.04), 1e-3).candidate[0] for _ in range(4)]
        blocks.append([Quad(tuple(readings[:2]), tuple(readings[2:]))])
    sigma = statistics.stdev(block_values(blocks, "cpu"))
    assert noise_of(blocks, "cpu", sigma).within == pytest.approx(sigma**2, rel=0.3)


def test_blocks_without_readings_leave_all_of_the_noise_to_their_quads() -> None:
    noise = noise_of([[], []], "cpu", 0.02)
    assert noise.between == 0.0
    assert noise.within == pytest.approx(0.0004)


def test_the_noisier_a_benchmark_the_more_blocks_are_precise() -> None:
    def fewest(sigma: float) -> int:
        return min(n for n in range(1, 40) if is_precise(sigma, n, SETTINGS, tests=1))

    assert fewest(0.005) < fewest(0.010) < fewest(0.015)


def test_no_number_of_blocks_is_precise_where_no_test_would_find_the_slowdown() -> None:
    assert not is_precise(0.03, 1000, SETTINGS, tests=1)
    assert is_precise(0.03, 1000, Settings(detect=0.1), tests=1)
