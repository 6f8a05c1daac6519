from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from flopline.gate.judge.answer import answer, differing, why
from flopline.gate.record import Comparison, ExitCode, Loss, Settings
from flopline.gate.rules import Rule

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flopline.gate.record import Verdict


SETTINGS = Settings(detect=0.03)
FAILED = Loss("candidate", "call", "failed", "")


def row(verdict: Verdict, name: str = "a", change: float = 0.0) -> Comparison:
    return Comparison(name, verdict, change=change, stage="screen")


def code_of(
    rows: Sequence[Comparison],
    problems: Sequence[str] = (),
    losses: Mapping[str, Loss] | None = None,
) -> int:
    """Returns the exit code of a run whose losses were measured in no block."""
    return answer(rows, problems, losses or {}, (), SETTINGS)[1]


def test_a_confirmed_regression_outranks_a_lost_benchmark() -> None:
    rows = [row("regressed"), row("not comparable", "b")]
    assert code_of(rows, losses={"b": FAILED}) == 1


def test_failed_controls_outrank_a_lost_benchmark_and_never_a_regression() -> None:
    problems = ["the canary was not measured"]
    assert code_of([row("unchanged")], problems, {"b": FAILED}) == 3
    assert code_of([row("regressed")], problems, {"b": FAILED}) == 1


@pytest.mark.parametrize(
    ("loss", "code"),
    [
        (Loss("candidate", "call", "failed", ""), 2),
        (Loss("candidate", "call", "skipped", ""), 2),
        (Loss("candidate", "call", "unused", ""), 2),
        (Loss("baseline", "call", "failed", ""), 0),
        (Loss("baseline", "collect", "missing", ""), 0),
        (Loss(None, "setup", "skipped", ""), 0),
        (Loss(None, "call", "failed", ""), 0),
        (Loss("baseline", "process", "crashed", ""), 2),
        (Loss("baseline", "process", "hung", ""), 2),
    ],
    ids=lambda value: f"{value.outcome}-{value.side}" if isinstance(value, Loss) else str(value),
)
def test_a_loss_is_a_fault_of_the_candidate_or_of_a_process_that_vanished(
    loss: Loss, code: int
) -> None:
    rows = [row("unchanged"), row("not comparable", "b")]
    assert code_of(rows, losses={"b": loss}) == code


def test_a_run_in_which_nothing_was_compared_does_not_end_with_exit_code_0() -> None:
    losses = {"a": Loss(None, "call", "failed", "")}
    assert code_of([row("not comparable", "a")], losses=losses) == 2


def test_most_benchmarks_too_noisy_is_exit_code_3_and_half_of_them_is_not() -> None:
    noisy, quiet = row("inconclusive", "a"), row("unchanged", "b")
    assert code_of([noisy, quiet]) == 0
    assert code_of([noisy, noisy, quiet]) == 3
    assert code_of([noisy, noisy, quiet, quiet, row("not comparable", "c")]) == 0


def test_what_was_measured_and_then_lost_on_the_baseline_is_a_fault_too() -> None:
    rows = [row("unchanged"), row("not comparable", "b")]
    losses = {"b": Loss("baseline", "call", "failed", "")}
    assert answer(rows, (), losses, {"a", "b"}, SETTINGS) == ("1 benchmark lost: b", 2)


def test_the_result_counts_regressions_and_names_three_losses() -> None:
    rows = [row("regressed", "a"), row("regressed", "b")]
    assert answer(rows, (), {}, (), SETTINGS) == ("2 confirmed regressions", 1)
    losses = dict.fromkeys("abcd", FAILED)
    assert answer([], (), losses, (), SETTINGS) == ("4 benchmarks lost: a, b, c and 1 more", 2)


def test_a_suspicion_that_was_not_confirmed_is_exit_code_3() -> None:
    quiet = [row("unchanged", name) for name in "abc"]
    assert code_of([*quiet, row("inconclusive", "d", 0.02)]) == 3
    assert code_of([*quiet, row("inconclusive", "d", 0.01)]) == 0
    tested = replace(row("inconclusive", "d"), stage="confirm", limit=0.005, planned=12)
    assert code_of([*quiet, replace(tested, blocks=11)]) == 3  # whatever those eleven said
    assert code_of([*quiet, replace(tested, blocks=11, change=None)]) == 3
    assert code_of([*quiet, replace(tested, blocks=12)]) == 0


def test_a_benchmark_without_numbers_is_exit_code_3_and_named() -> None:
    rows = [row("unchanged", name) for name in "abc"]
    nothing = Comparison("d", "inconclusive")
    assert answer([*rows, nothing], (), {}, (), SETTINGS) == (
        "inconclusive: 1 of 4 benchmarks could not be decided, and a regression may be in d",
        3,
    )


def test_what_is_too_noisy_to_be_decided_is_counted_in_a_green_answer() -> None:
    rows = [row("unchanged", "a"), row("inconclusive", "b")]
    assert answer(rows, (), {}, (), SETTINGS) == (
        "no regression, but 1 of 2 benchmarks could not be decided",
        0,
    )


def test_an_accepted_slowdown_is_named_and_decides_nothing() -> None:
    accepted = replace(row("regressed", "a"), accepted="1a2b3c4")
    assert answer([accepted, row("unchanged", "b")], (), {}, (), SETTINGS) == (
        "no regression; 1 accepted slowdown: a",
        0,
    )
    assert answer([accepted, row("regressed", "b")], (), {}, (), SETTINGS) == (
        "1 confirmed regression; 1 accepted slowdown: a",
        1,
    )


def test_what_is_accepted_may_stay_undecided() -> None:
    quiet = [row("unchanged", name) for name in "abc"]
    suspect = row("inconclusive", "d", 0.02)
    assert code_of([*quiet, suspect]) == 3
    assert code_of([*quiet, replace(suspect, accepted="1a2b3c4")]) == 0


def test_what_is_only_reported_decides_nothing_whatever_becomes_of_it() -> None:
    quiet = row("unchanged", "a")
    verdicts: list[Verdict] = ["regressed", "inconclusive", "not comparable"]
    for verdict in verdicts:
        reported = replace(row(verdict, "b"), report_only=True)
        assert code_of([quiet, reported], losses={"b": FAILED}) == 0
    slower = replace(row("regressed", "b"), report_only=True)
    assert answer([quiet, slower], (), {}, (), SETTINGS) == (
        "no regression; slower, and only reported: b",
        0,
    )


def test_a_suite_that_is_only_reported_passes_unless_the_controls_fail() -> None:
    reported = replace(row("regressed", "a"), report_only=True)
    assert code_of([reported]) == 0
    assert code_of([reported], ["the canary was not measured"]) == 3


def test_a_suspicion_is_measured_by_the_benchmarks_own_detect() -> None:
    coarse = replace(SETTINGS, rules=(Rule("d", detect=0.1),))
    rows = [*(row("unchanged", name) for name in "abc"), row("inconclusive", "d", 0.04)]
    assert answer(rows, (), {}, (), SETTINGS)[1] == 3
    assert answer(rows, (), {}, (), coarse)[1] == 0


@pytest.mark.parametrize(
    ("loss", "line"),
    [
        (
            Loss(
                "candidate",
                "call",
                "failed",
                "def test():\n>   f()\nE   ValueError: no\nE   more\ntest.py:3: ValueError",
            ),
            "failed on the candidate (call): ValueError: no",
        ),
        (
            Loss("baseline", "process", "crashed", "exit code 7; last\nlines"),
            "crashed on the baseline (process): exit code 7; last",
        ),
        (
            Loss(None, "setup", "skipped", "Skipped: not here"),
            "skipped (setup): Skipped: not here",
        ),
        (Loss(None, "call", "unused", ""), "unused (call)"),
    ],
)
def test_why_is_one_line_with_what_was_raised_or_how_the_process_ended(
    loss: Loss, line: str
) -> None:
    assert why(loss) == line


def test_packages_that_differ_are_one_sentence_and_equal_ones_none() -> None:
    assert differing({"a": "1", "b": "2"}, {"b": "2", "a": "1"}) == []
    assert differing({"a": "1", "b": "2"}, {"b": "2", "a": "3"}, own={"a"}) == []
    assert differing({"a": "1", "b": "2"}, {"a": "1.1", "C": "3"}) == [
        "the sides' packages differ: a 1 -> 1.1, b 2 -> absent, C absent -> 3"
    ]


def test_more_calls_are_a_failure_of_their_own_if_that_was_asked() -> None:
    more = replace(row("unchanged", "b"), calls_baseline=7, calls_candidate=10)
    rows = [row("unchanged"), more]
    asked = replace(SETTINGS, calls=True)
    assert answer(rows, [], {}, (), SETTINGS) == ("no regression", ExitCode.NO_REGRESSION)
    assert answer(rows, [], {}, (), asked) == (
        "more calls in 1 benchmark: b (+3); time: no regression",
        ExitCode.REGRESSION,
    )


def test_more_calls_are_a_failure_whatever_the_controls_say() -> None:
    more = replace(row("unchanged"), calls_baseline=7, calls_candidate=10)
    result, code = answer([more], ["no"], {}, (), replace(SETTINGS, calls=True))
    assert (result, code) == ("more calls in 1 benchmark: a (+3); time: inconclusive: no", 1)
