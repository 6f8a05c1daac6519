"""Which cases this run measures: the list of its scale, and every strategy that another distribution brings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import cases
from flopline.registry import installed

if TYPE_CHECKING:
    import pytest

FAMILIES = {"product": ("matmul", "flopline.matmul"), "epoch": ("sgd", "flopline.sgd")}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrises the plugin's fixtures with the names of cases."""
    names = cases.CASES[metafunc.config.getoption("flopline_scale")]
    for fixture, (family, group) in FAMILIES.items():
        if fixture in metafunc.fixturenames:
            listed = [name for name in names if name.startswith(family)]
            added = [
                name.format(strategy)
                for strategy in installed(group)
                for name in cases.INSTALLED[group]
            ]
            metafunc.parametrize(fixture, [*listed, *added], indirect=True)
