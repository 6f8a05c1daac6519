from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flopline import registry as registries
from flopline.registry import (
    DuplicateStrategyError,
    LoadError,
    NameTakenError,
    NotAFunctionError,
    Registry,
    UnknownStrategyError,
    left_out,
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


OURS = ("full", "constant", "spiral", "chunked")
"""The strategies above; what else is installed beside flopline does not matter here."""


def test_installed_strategies_follow_the_built_in_ones(
    foreign: Registry[Callable[..., object]],
) -> None:
    assert [name for name in foreign if name in OURS] == ["full", "constant", "spiral"]
    assert [name for name in foreign.installed() if name in OURS] == ["constant", "spiral"]
    assert provider(foreign.installed()["spiral"]) == "foreign-two 3.4"


def test_an_installed_strategy_is_loaded_only_when_it_is_used(
    foreign: Registry[Callable[..., object]],
) -> None:
    assert "spiral" in foreign
    assert len(foreign) >= len(OURS) - 1
    assert loaded() == []
    assert foreign["spiral"](0, 0, 0, block=1) == "foreign two"
    assert loaded() == ["foreign_two"]


@pytest.mark.usefixtures("foreign")
def test_taken_names_are_left_out_with_the_distributions_that_bring_them() -> None:
    reasons = {strategy.name: strategy.reason for strategy in left_out("flopline.matmul", ["full"])}
    assert reasons["chunked"] == (
        "flopline.matmul: 'chunked' is provided by foreign-one 1.2 and by foreign-two 3.4, "
        "and both are left out; uninstall one, or rename an entry point"
    )
    assert reasons["full"] == (
        "flopline.matmul: 'full' is built in, and the one of foreign-one 1.2 is left out; "
        "rename its entry point"
    )
    assert "spiral" not in reasons


def test_what_two_distributions_provide_is_nobodys_strategy(
    foreign: Registry[Callable[..., object]],
) -> None:
    assert "chunked" not in foreign
    with pytest.raises(NameTakenError, match=r"foreign-one 1\.2 and by foreign-two 3\.4"):
        foreign["chunked"]


def test_a_built_in_strategy_stays_itself_under_a_name_that_is_taken(
    foreign: Registry[Callable[..., object]],
) -> None:
    assert foreign["full"](0, 0, 0, block=1) == "built in, 1"
    assert foreign["spiral"](0, 0, 0, block=1) == "foreign two"
    with pytest.raises(
        NameTakenError, match=r"'full' is built in, and the one of foreign-one 1\.2"
    ):
        foreign.refuse_left_out("full")
    foreign.refuse_left_out("spiral")


def test_an_entry_point_that_cannot_be_called_is_refused(
    foreign: Registry[Callable[..., object]],
) -> None:
    message = "^flopline.matmul: 'constant' is 3; a strategy is a function$"
    with pytest.raises(NotAFunctionError, match=message):
        foreign["constant"]


@pytest.fixture
def install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str, str], Registry[Callable[..., object]]]]:
    """Installs a distribution with these entry points, whose module `strange` has this code."""

    def make(points: str, code: str = "") -> Registry[Callable[..., object]]:
        folder = tmp_path / "strange-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: strange\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[flopline.strange]\n{points}\n")
        (tmp_path / "strange.py").write_text(code)
        monkeypatch.syspath_prepend(tmp_path)
        importlib.invalidate_caches()
        return Registry("flopline.strange")

    yield make
    sys.modules.pop("strange", None)


@pytest.mark.parametrize("name", ["rows/blocked", "a b", "a[1]", "a\x1b", "{}", "", "a,b"])
def test_a_name_that_no_case_can_have_is_left_out_and_the_others_stay(
    install: Callable[[str, str], Registry[Callable[..., object]]], name: str
) -> None:
    strange = install(f"{name} = strange:f\ngood-1.x = strange:f", "def f(): ...")
    (strategy,) = left_out("flopline.strange", [])
    assert strategy.name == name
    assert f"{name!r}, provided by strange 1.0, cannot be the name of a strategy" in strategy.reason
    assert list(strange) == ["good-1.x"]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("raise RuntimeError('boom')", "RuntimeError: boom"),
        ("import nowhere_at_all", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("x = (", "SyntaxError"),
        ("", "has no attribute 'f'"),
    ],
)
def test_a_strategy_that_does_not_load_is_refused_with_the_reason(
    install: Callable[[str, str], Registry[Callable[..., object]]], code: str, reason: str
) -> None:
    strange = install("f = strange:f", code)
    message = f"flopline.strange: 'f' of strange 1.0 cannot be loaded: .*{re.escape(reason)}"
    with pytest.raises(LoadError, match=message):
        strange["f"]


def test_a_module_that_hangs_at_import_is_given_up(
    install: Callable[[str, str], Registry[Callable[..., object]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registries, "LOAD_SECONDS", 0.2)
    strange = install("f = strange:f", "import time\nwhile True: time.sleep(1)")
    with pytest.raises(LoadError, match="its import takes longer than"):
        strange["f"]
