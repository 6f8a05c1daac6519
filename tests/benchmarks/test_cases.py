"""The list of what is measured."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from benchmarks import cases
from flopline import matmul, sgd
from flopline.workload import Case

PANELS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


def parsed(scale: str) -> list[Case]:
    return [Case.parse(name) for name in cases.CASES[scale]]


@pytest.mark.parametrize("scale", cases.SCALES)
def test_every_name_is_a_case_listed_once(scale: str) -> None:
    names = cases.CASES[scale]
    assert [case.name for case in parsed(scale)] == names
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("scale", cases.SCALES)
def test_exactly_the_built_in_strategies_are_measured(scale: str) -> None:
    built_in = {("matmul", name) for name in matmul.products}
    built_in |= {("sgd", name) for name in sgd.epochs}
    assert {(case.family, case.strategy) for case in parsed(scale)} == built_in


def test_the_quick_scale_has_the_chapters_own_cases() -> None:
    names = {f"matmul/strategy={strategy}/n=256" for strategy in ("element", "column", "full")}
    names |= {f"matmul/strategy=column_block/n=256/block={block}" for block in PANELS}
    for strategy in sgd.epochs:
        names |= {f"sgd/strategy={strategy}/batch={size}" for size in (1, 10, 100, 1500)}
    assert names <= set(cases.QUICK)


def test_the_list_imports_nothing() -> None:
    source = Path(cases.__file__).read_text()
    assert not [line for line in source.splitlines() if line.startswith(("import ", "from "))]


def test_the_gate_has_thirty_cases_or_more_of_both_families() -> None:
    families = [case.family for case in parsed("gate")]
    assert len(families) >= 30
    assert set(families) == {"matmul", "sgd"}


@pytest.mark.parametrize(
    ("family", "names"),
    [
        ("matmul", ("strategy", "n")),
        ("matmul", ("strategy", "n", "block")),
        ("sgd", ("strategy", "batch")),
    ],
)
def test_axes_hold_every_case_that_has_exactly_these(family: str, names: tuple[str, ...]) -> None:
    points: set[tuple[str | int, ...]] = set()
    for scale in cases.SCALES:
        for case in parsed(scale):
            if case.family == family and ("strategy", *case.axes) == names:
                points.add((case.strategy, *case.axes.values()))
    axes = cases.axes(family, names)
    assert points <= set(itertools.product(*axes))
    assert [set(values) for values in zip(*points, strict=True)] == [set(values) for values in axes]
    assert all(values == sorted(values) for values in axes[1:])
