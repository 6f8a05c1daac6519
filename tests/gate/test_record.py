from __future__ import annotations

import math

import pytest

from flopline.gate.record import Comparison, ExitCode, Settings
from flopline.gate.rules import Rule


def test_an_exit_code_is_the_number_and_has_a_word_and_a_meaning() -> None:
    assert ExitCode(1) is ExitCode.REGRESSION
    assert [int(code) for code in ExitCode] == [0, 1, 2, 3]
    assert len({code.word for code in ExitCode}) == 4
    assert len({code.meaning for code in ExitCode}) == 4
    assert ExitCode.REGRESSION.meaning == "a regression was confirmed"


def test_there_is_no_exit_code_but_the_four() -> None:
    with pytest.raises(ValueError, match="4 is not a valid ExitCode"):
        ExitCode(4)


def test_the_numbers_of_a_comparison_are_given_by_name() -> None:
    with pytest.raises(TypeError, match="positional"):
        Comparison("a.py::test", "unchanged", 0.001)  # type: ignore[call-arg]


def test_what_is_tolerated_is_less_than_what_is_suspected() -> None:
    settings = Settings(detect=0.06)
    assert settings.margin == pytest.approx(math.log(1.02))
    assert math.log(1.02) < settings.suspicion < math.log(1.06)


def test_a_benchmark_has_the_detect_of_the_last_pattern_that_says_one() -> None:
    rules = (
        Rule("test_a*", detect=0.1),
        Rule("test_ab", detect=0.2),
        Rule("x.py::*", report_only=True),
    )
    settings = Settings(detect=0.05, alpha=0.02, rules=rules)
    detects = [settings.for_benchmark(f"x.py::test_{name}").detect for name in ("a", "ab", "b")]
    assert detects == [0.1, 0.2, 0.05]
    assert settings.for_benchmark("x.py::test_ab").alpha == 0.02
    assert settings.rule("x.py::test_ab").report_only is True
    assert settings.rule("y.py::test_b") == Rule("y.py::test_b")


@pytest.mark.parametrize(
    ("settings", "codes"),
    [
        (Settings(), [0, 1, 2, 3]),
        (Settings(inconclusive="pass"), [0, 1, 2, 0]),
        (Settings(report_only=True), [0, 0, 2, 0]),
        (Settings(report_only=True, inconclusive="pass"), [0, 0, 2, 0]),
    ],
    ids=["as judged", "inconclusive pass", "report only", "both"],
)
def test_what_the_gate_could_not_do_never_passes(settings: Settings, codes: list[int]) -> None:
    assert [settings.exit_code(code) for code in ExitCode] == codes


def test_without_exceptions_only_what_is_left_out_differs() -> None:
    rules = (Rule("a", detect=0.1, ignore=True, report_only=True),)
    settings = Settings(detect=0.05, rules=rules, report_only=True, inconclusive="pass")
    assert settings.without_exceptions() == Settings(detect=0.05, rules=(Rule("a", ignore=True),))
