"""Which cases this run measures: those of its scale, and strategies of other distributions."""

from __future__ import annotations

import pytest

from benchmarks import cases

try:
    from flopline.registry import installed
except ImportError:  # a baseline from before flopline.registry was named so
    from flopline.strategies import installed  # type: ignore[no-redef]
try:
    from flopline.registry import left_out
except ImportError:  # a baseline that measured what it brings itself under a taken name

    def left_out(group, built_in):  # type: ignore[no-untyped-def,misc]  # noqa: ANN001, ANN201, ARG001
        """Returns nothing."""
        return []


FAMILIES = {"product": ("matmul", "flopline.matmul"), "epoch": ("sgd", "flopline.sgd")}
"""The plugin's fixtures, each with the family of its cases and the group of its entry points."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrises the plugin's fixtures with the names of cases."""
    scale = cases.CASES[metafunc.config.getoption("flopline_scale")]
    for fixture, (family, group) in FAMILIES.items():
        if fixture in metafunc.fixturenames:
            names = [name for name in scale if name.startswith(family)]
            built_in = {name.split("/")[1].removeprefix("strategy=") for name in names}
            unusable = left_out(group, built_in)
            parameters: list[object] = []
            for strategy in installed(group):
                if strategy not in [known.name for known in unusable]:
                    names += [pattern.format(strategy) for pattern in cases.INSTALLED[group]]
            parameters += names
            for refused in unusable:
                for pattern in cases.INSTALLED[group]:
                    name = f"{pattern.format(refused.name)} of {refused.origin}"
                    parameters.append(pytest.param(refused, id=name))
            metafunc.parametrize(fixture, parameters, indirect=True)
