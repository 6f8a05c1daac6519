from __future__ import annotations

import pytest

from flopline import units


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (434.14, "434.1 s"),
        (1.0, "1 s"),
        (4.7953e-3, "4.795 ms"),
        (3.374e-4, "337.4 us"),
        (12.3456, "12.35 s"),
        (0.27, "270 ms"),
        (1.234e-6, "1.234 us"),
        (2.5e-8, "25 ns"),
        (1.5e-9, "1.5 ns"),
        (0.0, "0 ns"),
    ],
)
def test_a_time_has_four_digits_and_the_unit_that_suits_it(seconds: float, text: str) -> None:
    assert units.duration(seconds) == text


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (12.5, "+1250.0 %"),
        (0.032, "+3.2 %"),
        (-0.0251, "-2.5 %"),
        (0.0005, "+0.1 %"),
        (-0.00051, "-0.1 %"),
        (0.00049, "0.0 %"),
        (-0.00049, "0.0 %"),
        (0.0, "0.0 %"),
    ],
)
def test_a_change_has_a_sign_unless_it_rounds_to_zero(change: float, text: str) -> None:
    assert units.percent(change) == text
    assert text.startswith(units.points(change))


@pytest.mark.parametrize(
    ("fraction", "text"),
    [
        (1.0, "100.0 %"),
        (0.032, "3.2 %"),
        (0.006, "0.6 %"),
        (4e-4, "< 0.1 %"),
        (1e-5, "< 0.1 %"),
        (0.0, "0.0 %"),
    ],
)
def test_a_share_that_is_not_zero_is_never_shown_as_zero(fraction: float, text: str) -> None:
    assert units.share(fraction) == text


def test_gflops_are_billions_of_operations_per_second() -> None:
    assert units.gflops(2 * 256**3, 337.4e-6) == pytest.approx(99.45, abs=0.01)


def test_a_number_has_the_plural_of_its_noun() -> None:
    assert units.counted(1, "block") == "1 block"
    assert units.counted(2, "block") == "2 blocks"
    assert units.counted(2, "near miss", "near misses") == "2 near misses"
