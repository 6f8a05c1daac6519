from __future__ import annotations

import math

import pytest

from flopline.gate.record import Comparison, ExitCode, Settings


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
