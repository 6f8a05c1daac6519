from __future__ import annotations

import re
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flopline.registry import (
    DuplicateStrategyError,
    NotAFunctionError,
    Registry,
    UnknownStrategyError,
    provider,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SUITES = Path(__file__).parent / "suites" / "strategies"
"""Two distributions as pip installs them, `foreign-one` and `foreign-two`."""


def column() -> None: ...


def row() -> None: ...


@pytest.fixture
def registry() -> Registry[Callable[[], None]]:
    registry: Registry[Callable[[], None]] = Registry("flopline.nobody_provides_this")
    registry.register(column)
    registry.register(row)
    return registry


def test_the_decorator_keeps_the_function_and_registers_its_name(
    registry: Registry[Callable[[], None]],
) -> None:
    def outer() -> None: ...

    assert registry.register(outer) is outer
    assert dict(registry) == {"column": column, "row": row, "outer": outer}
    assert list(registry) == ["column", "row", "outer"]


def test_a_second_function_of_one_name_is_refused(registry: Registry[Callable[[], None]]) -> None:
    message = "a strategy named 'row' exists already; choose another function name"
    with pytest.raises(DuplicateStrategyError, match=message):
        registry.register(row)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("colum", "no strategy 'colum'. Did you mean 'column'? There are: column, row."),
        ("zzz", "no strategy 'zzz'. There are: column, row."),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_and_all_known_ones(
    registry: Registry[Callable[[], None]], name: str, message: str
) -> None:
    assert name not in registry
    message = re.escape(f"flopline.nobody_provides_this: {message}")
    with pytest.raises(UnknownStrategyError, match=f"^{message}$"):
        registry[name]


def test_get_gives_the_default_for_an_unknown_name(
    registry: Registry[Callable[[], None]],
) -> None:
    assert registry.get("zzz") is None
    assert registry.get("zzz", row) is row


def full(*_: object, block: int) -> str:
    return f"built in, {block}"


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry[Callable[..., object]]]:
    """A registry with a built-in strategy, in an environment with both distributions."""
    for name in ("two", "one"):
        monkeypatch.syspath_prepend(SUITES / name)
    registry: Registry[Callable[..., object]] = Registry("flopline.matmul")
    registry.register(full)
    yield registry
    for name in loaded():
        del sys.modules[name]


def loaded() -> list[str]:
    return sorted(name for name in sys.modules if name.startswith("foreign_"))


@pytest.fixture
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


OURS = ("full", "chunked", "constant", "spiral")
"""The strategies above; what else is installed beside flopline does not matter here."""


@pytest.mark.usefixtures("quiet")
def test_installed_strategies_follow_the_built_in_ones(
    foreign: Registry[Callable[..., object]],
) -> None:
    assert [name for name in foreign if name in OURS] == ["full", "chunked", "constant", "spiral"]
    installed = [name for name in foreign.installed() if name in OURS]
    assert installed == ["chunked", "constant", "spiral"]
    assert provider(foreign.installed()["spiral"]) == "foreign-two 3.4"


@pytest.mark.usefixtures("quiet")
def test_an_installed_strategy_is_loaded_only_when_it_is_used(
    foreign: Registry[Callable[..., object]],
) -> None:
    assert "chunked" in foreign
    assert len(foreign) >= len(OURS)
    assert loaded() == []
    assert foreign["chunked"](0, 0, 0, block=1) == "foreign one"
    assert loaded() == ["foreign_one"]


def test_a_built_in_and_the_first_on_the_path_win_each_with_one_warning(
    foreign: Registry[Callable[..., object]],
) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        list(foreign)
        list(foreign)
    twice, built_in = [str(warning.message) for warning in caught]
    assert twice == (
        "flopline.matmul: 'chunked' is provided by foreign-one 1.2 and by foreign-two 3.4; "
        "the first is used"
    )
    assert built_in == "flopline.matmul: 'full' is built in; the one of foreign-one 1.2 is left out"
    assert foreign["full"](0, 0, 0, block=1) == "built in, 1"
    assert foreign["chunked"](0, 0, 0, block=1) == "foreign one"


@pytest.mark.usefixtures("quiet")
def test_an_entry_point_that_cannot_be_called_is_refused(
    foreign: Registry[Callable[..., object]],
) -> None:
    message = "^flopline.matmul: 'constant' is 3; a strategy is a function$"
    with pytest.raises(NotAFunctionError, match=message):
        foreign["constant"]
