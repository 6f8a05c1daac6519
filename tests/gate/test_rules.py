from __future__ import annotations

import pytest

from flopline.gate.rules import Rule, endings, matches, unmatched

TILE = "a/bench/test_matmul.py::test_a[tile/8::x]"
IN_CLASS = "bench/test_matmul.py::TestB::test_c"


@pytest.mark.parametrize(
    "pattern",
    [
        TILE,
        "bench/test_matmul.py::test_a[tile/8::x]",
        "test_matmul.py::test_a[tile/8::x]",
        "test_a[tile/8::x]",
        "test_a",
        "test_matmul.py::test_a",
        "test_a[*]",
        "test_?[tile*",
        "a/*",
        "*",
    ],
)
def test_a_benchmark_is_found_by_every_end_of_its_name_and_by_wildcards(pattern: str) -> None:
    assert matches(pattern, TILE)


@pytest.mark.parametrize("pattern", ["matmul.py::test_a", "test_", "test_a[t]", "8::x]", "", "b/*"])
def test_a_pattern_finds_no_benchmark_whose_name_goes_on(pattern: str) -> None:
    assert not matches(pattern, TILE)


def test_square_brackets_stand_for_themselves() -> None:
    assert matches("test_n[256]", "x.py::test_n[256]")
    assert not matches("test_n[256]", "x.py::test_n2")
    assert matches("*[256]", "x.py::test_n[256]")


def test_a_class_is_a_beginning_like_a_folder() -> None:
    assert matches("TestB::*", IN_CLASS)
    assert matches("test_c", IN_CLASS)
    assert endings("x.py") == ["x.py"]


def test_a_later_rule_outranks_only_what_it_says() -> None:
    general = Rule("*", detect=0.1, report_only=True)
    special = Rule("test_a", detect=0.02)
    assert special.over(general) == Rule("test_a", detect=0.02, report_only=True)
    back = Rule("test_a", report_only=False)
    assert back.over(general) == Rule("test_a", detect=0.1, report_only=False)


def test_a_pattern_that_finds_nothing_is_named() -> None:
    assert unmatched(["test_a", "test_z", "*"], [TILE, IN_CLASS]) == ["test_z"]
    assert unmatched(["*"], []) == ["*"]
