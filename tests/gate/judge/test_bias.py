"""The bias of edits that change no work, on estimates whose bias is known."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from flopline.gate.judge.bias import COVERED, Bias, measure_bias
from flopline.gate.record import Comparison, Verdict

MARGIN = math.log1p(0.01)
BLOCKS = 4


def simulated(
    tau: float, *, runs: int = 5, benchmarks: int = 31, noisy: int = 0, seed: int = 0
) -> list[list[Comparison]]:
    """Returns what runs find where every benchmark of every run has a bias of its own.

    The noise of block values is 0.6 %, and 20 % for the first `noisy` benchmarks.
    """
    draw = np.random.default_rng(seed)
    sigma = np.full(benchmarks, 0.006)
    sigma[:noisy] = 0.2
    found = []
    for _ in range(runs):
        biases = tau * draw.standard_normal(benchmarks)
        blocks = biases + sigma * draw.standard_normal((BLOCKS, benchmarks))
        means, deviations = blocks.mean(axis=0), blocks.std(axis=0, ddof=1)
        rows = [
            row(f"b{i}", means[i], 2 * deviations[i] / math.sqrt(BLOCKS), deviations[i])
            for i in range(benchmarks)
        ]
        found.append(rows)
    return found


def row(
    name: str, estimate: float, half: float, sigma: float, verdict: Verdict = "unchanged"
) -> Comparison:
    return Comparison(
        name,
        verdict,
        change=math.expm1(estimate),
        low=math.expm1(estimate - half),
        high=math.expm1(estimate + half),
        sigma=sigma,
        blocks=BLOCKS,
    )


def measured(runs: list[list[Comparison]]) -> Bias:
    bias = measure_bias(runs, MARGIN)
    assert bias is not None
    return bias


@pytest.mark.parametrize("tau", [0.0, 0.002, 0.004, 0.008])
def test_tau_is_found_and_its_interval_covers_it(tau: float) -> None:
    estimates = []
    covered = 0
    for seed in range(40):
        bias = measured(simulated(tau, seed=seed))
        estimates.append(bias.tau**2)
        covered += bias.low <= tau <= bias.high
        assert bias.comparisons == 5 * 31
    assert math.sqrt(np.mean(estimates)) == pytest.approx(tau, abs=0.0008)
    # A bootstrap of 31 benchmarks covers a little less than 95 %.
    assert covered >= 34


def test_where_nothing_is_found_the_interval_says_what_noise_could_hide() -> None:
    few = [[row(f"b{i}", 0.0, 0.005, 0.006) for i in range(9)]]
    many = few * 16
    assert (measured(few).tau, measured(few).low) == (0, 0)
    # The standard error is 0.3 %; its square is known to sqrt(2 / 9) of itself.
    assert measured(few).high == pytest.approx(0.003 * (1.96 * math.sqrt(2 / 9)) ** 0.5)
    assert measured(many).high == pytest.approx(measured(few).high / 2)


def test_benchmarks_of_much_noise_do_not_drown_the_others() -> None:
    bias = measured(simulated(0.004, noisy=3))
    assert 0.003 < bias.tau < 0.005
    assert bias.high - bias.low < 0.002


def test_a_bias_that_all_benchmarks_share_counts_too() -> None:
    runs = [[row(f"b{i}", 0.005, 0.001, 0.001) for i in range(9)]]
    assert measured(runs).tau == pytest.approx(0.005, rel=0.02)


def test_the_largest_bias_is_the_one_that_is_surely_far_from_zero() -> None:
    runs = [[row("a", 0.001, 0.001, 0.001), row("noisy", 0.05, 0.06, 0.06)]]
    runs += [[row("a", -0.016, 0.002, 0.002), row("noisy", -0.03, 0.06, 0.06)]]
    bias = measured(runs)
    assert bias.largest == runs[1][0]
    assert bias.sure == 0  # nothing was confirmed
    confirmed = row("b", 0.013, 0.002, 0.003, "regressed")
    bias = measured([*runs, [confirmed]])
    assert bias.largest == confirmed
    assert bias.sure == pytest.approx(0.011)


def test_without_estimates_there_is_no_bias() -> None:
    lost = Comparison("a", "not comparable", note="failed")
    one_block = dataclasses.replace(row("b", 0.1, 0.1, 0.1), blocks=1)
    assert measure_bias([], MARGIN) is None
    assert measure_bias([[lost, one_block]], MARGIN) is None


def bias_of(tau: float, largest: Comparison) -> Bias:
    return Bias(tau=tau, low=tau / 2, high=1.2 * tau, comparisons=9, largest=largest)


def test_a_covered_bias_is_told_in_two_sentences() -> None:
    largest = row("bench.py::test_objects", math.log(0.992), 0.002, 0.002)
    assert bias_of(0.0024, largest).text(0.03) == (
        "Edits that change no work moved the time of a benchmark by 0.24% (standard deviation; "
        "95 % interval 0.12% to 0.29%), and most of all bench.py::test_objects, by -0.80% (-1.00% "
        "to -0.60%). The margin of 1.00% covers this, so that such edits hardly ever raise a false "
        "alarm."
    )


def test_for_a_bias_beyond_the_margin_the_detect_that_covers_it_is_named() -> None:
    text = bias_of(0.0079, row("x", 0.003, 0.004, 0.004)).text(0.03)
    # expm1(2.5 * 0.0079) = 1.99 %, of which the threefold is 5.99 %.
    assert "The margin of 1.00% does not cover this" in text
    assert text.endswith("; the margin of --detect 6.0% does.")


def test_one_confirmed_bias_beyond_the_margin_is_not_covered() -> None:
    text = bias_of(0.001, row("x", math.log(1.03), 0.01, 0.004, "regressed")).text(0.03)
    assert text.endswith("; the margin of --detect 6.0% does.")


def test_the_margin_covers_tau_up_to_its_two_and_a_halfth_part() -> None:
    largest = row("x", 0.0, 0.01, 0.01)
    assert " covers this, but not" in bias_of(MARGIN / COVERED - 1e-9, largest).text(0.03)
    assert " does not cover this" in bias_of(MARGIN / COVERED + 1e-9, largest).text(0.03)


def test_an_interval_that_reaches_beyond_the_margin_asks_for_more_runs() -> None:
    text = bias_of(0.0035, row("x", 0.003, 0.004, 0.004)).text(0.03)
    assert text.endswith(
        "The margin of 1.00% covers this, but not the upper end of the interval, which must be at "
        "most 0.40%: more runs would tell."
    )
