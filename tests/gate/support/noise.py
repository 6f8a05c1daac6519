"""Noise of block values: rows of independent runs, one value per block."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Noise = Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float64]]


def error(rate: float, runs: int) -> float:
    """Returns three binomial standard errors."""
    variance = rate * (1 - rate)
    return 3 * math.sqrt(variance / runs)


def gaussian(generator: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    return generator.standard_normal(shape)


def student(generator: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    return generator.standard_t(2, shape)


def cauchy(generator: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    return generator.standard_cauchy(shape)


def drift(generator: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Returns AR(0.9) over the blocks, stationary: what the two slots differ by."""
    blocks = np.arange(shape[1])
    lags = np.abs(np.subtract.outer(blocks, blocks))
    root = np.linalg.cholesky(0.9**lags)
    return np.asarray(generator.standard_normal(shape) @ root.T)


def coined(generator: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Returns the same drift, where a coin per block chooses the slots."""
    values = drift(generator, shape)
    coins = generator.random(shape) - 0.5
    return values * np.sign(coins)


def mixed(generator: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Returns steady values, of which one in seven lies thirty times as far off."""
    values = generator.standard_normal(shape)
    far = generator.random(shape) < 1 / 7
    return np.where(far, 30 * values, values)
