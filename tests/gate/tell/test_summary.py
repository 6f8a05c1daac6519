from __future__ import annotations

import pytest
from hypothesis import given

from flopline.gate.tell.summary import duration, percent, share, visible
from tests.gate.support.records import HOSTILE


@pytest.mark.parametrize(
    ("fraction", "shown"),
    [
        (0.032, "+3.2 %"),
        (-0.0321, "-3.2 %"),
        (0.0, "0.0 %"),
        (0.00049, "0.0 %"),
        (-0.00049, "0.0 %"),
        (0.0005, "+0.1 %"),
        (-0.00051, "-0.1 %"),
        (12.5, "+1250.0 %"),
    ],
)
def test_changes_are_signed_percent_with_one_decimal(fraction: float, shown: str) -> None:
    assert percent(fraction) == shown


@pytest.mark.parametrize(
    ("fraction", "shown"), [(0.0, "0.0 %"), (1e-5, "< 0.1 %"), (0.006, "0.6 %"), (1.0, "100.0 %")]
)
def test_proportions_have_no_sign_and_do_not_vanish(fraction: float, shown: str) -> None:
    assert share(fraction) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0, "0 ns"),
        (1.5e-9, "1.5 ns"),
        (1.234e-6, "1.234 us"),
        (0.27, "270 ms"),
        (1.0, "1 s"),
        (12.3456, "12.35 s"),
    ],
)
def test_times_have_the_unit_that_suits_them(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


@given(HOSTILE)
def test_what_is_visible_is_printable_and_stays(words: str) -> None:
    assert visible(words).isprintable()
    assert visible(visible(words)) == visible(words)


def test_escape_sequences_are_spelled_out() -> None:
    assert visible("a\x1b[31m\n\u202e\ud800é語") == r"a\x1b[31m\n\u202e\ud800é語"
