"""Which cases this run measures: those of its scale, and strategies of other distributions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import cases

try:
    from flopline.registry import installed
except ImportError:  # a baseline from before flopline.registry was named so
    from flopline.strategies import installed  # type: ignore[no-redef]

if TYPE_CHECKING:
    import pytest

FAMILIES = {"product": ("matmul", "flopline.matmul"), "epoch": ("sgd", "flopline.sgd")}
"""The plugin's fixtures, each with the family of its cases and the group of its entry points."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrises the plugin's fixtures with the names of cases."""
    scale = cases.CASES[metafunc.config.getoption("flopline_scale")]
    for fixture, (family, group) in FAMILIES.items():
        if fixture in metafunc.fixturenames:
            names = [name for name in scale if name.startswith(family)]
            for strategy in installed(group):
                names += [name.format(strategy) for name in cases.INSTALLED[group]]
            metafunc.parametrize(fixture, names, indirect=True)
