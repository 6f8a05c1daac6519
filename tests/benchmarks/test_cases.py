"""The list of what is measured."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from benchmarks import cases
from flopline import matmul, sgd
from flopline.workload import Case


@pytest.mark.parametrize("scale", cases.SCALES)
def test_every_name_is_a_case_listed_once(scale: str) -> None:
    names = cases.CASES[scale]
    assert [Case.parse(name).name for name in names] == names
    assert len(set(names)) == len(names)


def test_every_built_in_strategy_is_measured_and_every_measured_one_is_built_in() -> None:
    for scale in cases.SCALES:
        listed = {(case.family, case.strategy) for case in map(Case.parse, cases.CASES[scale])}
        assert listed == {("matmul", name) for name in matmul.products} | {
            ("sgd", name) for name in sgd.epochs
        }


def test_the_quick_scale_has_the_chapters_own_cases() -> None:
    assert {
        *(f"matmul/strategy={strategy}/n=256" for strategy in ("element", "column", "full")),
        *(
            f"matmul/strategy=column_block/n=256/block={block}"
            for block in (1, 2, 4, 8, 16, 32, 64, 128, 256)
        ),
        *(f"sgd/strategy={name}/batch={b}" for name in sgd.epochs for b in (1, 10, 100, 1500)),
    } <= set(cases.QUICK)


def test_the_list_imports_nothing() -> None:
    source = Path(cases.__file__).read_text()
    assert not [line for line in source.splitlines() if line.startswith(("import ", "from "))]


def test_the_gate_has_thirty_cases_or_more_of_both_families() -> None:
    families = [Case.parse(name).family for name in cases.GATE]
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
    listed = [Case.parse(name) for scale in cases.SCALES for name in cases.CASES[scale]]
    points = {
        (case.strategy, *case.axes.values())
        for case in listed
        if case.family == family and ("strategy", *case.axes) == names
    }
    axes = cases.axes(family, names)
    assert points <= set(itertools.product(*axes))
    assert [set(values) for values in zip(*points, strict=True)] == [set(values) for values in axes]
    assert all(values == sorted(values) for values in axes[1:])
