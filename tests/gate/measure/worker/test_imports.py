"""What a session reports as imported, and what a parent refuses to import."""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from flopline.gate.measure.worker.flopline_worker.imports import (
    Preparation,
    Refusal,
    imported_modules,
    is_below,
    possessions,
)
from tests.support.checkouts import write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = ("first_library", "second_library", "half_library", "own_subject", "shared_name")


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of an environment and one of a side, both on the import path."""
    write(
        tmp_path,
        {
            "site/first_library.py": "import second_library\n",
            "site/second_library.py": "",
            "site/half_library.py": "try:\n    import own_subject\nexcept ImportError:\n    pass\n",
            "site/shared_name/in_site.py": "",
            "side/shared_name/in_side.py": "",
            "side/own_subject.py": "",
        },
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.syspath_prepend(str(tmp_path / "side"))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def reported(folder: Path) -> tuple[list[str], list[str]]:
    modules, elsewhere, _ = imported_modules((f"{folder / 'site'}/",), [])
    tops = [name for name in modules if name.partition(".")[0] in NAMES]
    return tops, [name for name in elsewhere if name in NAMES]


def test_modules_are_reported_after_those_that_they_need(folders: Path) -> None:
    for name in ("first_library", "own_subject"):
        importlib.import_module(name)
    assert reported(folders) == (["second_library", "first_library"], ["own_subject"])


def test_a_package_of_which_a_side_has_a_part_is_not_of_the_environment(folders: Path) -> None:
    for name in ("shared_name.in_side", "shared_name.in_site"):
        importlib.import_module(name)
    assert reported(folders) == ([], ["shared_name"])


def test_modules_that_show_what_they_need_of_a_side_are_not_reported(folders: Path) -> None:
    write(
        folders,
        {
            "side/own_subject.py": "def work(): pass\n",
            "site/half_library.py": "from own_subject import work\n",
            "site/shared_name/__init__.py": "import shared_name.below\n",
            "site/shared_name/below.py": "import half_library\n",
        },
    )
    for name in ("shared_name.below", "first_library"):
        importlib.import_module(name)
    kept = ["shared_name", "second_library", "first_library"]
    assert sorted(reported(folders)[0]) == sorted(kept)


def test_a_module_under_another_name_and_one_that_is_none_are_not_reported(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module("second_library")
    monkeypatch.setitem(sys.modules, "half_library", module)
    monkeypatch.setitem(sys.modules, "own_subject", object())
    assert reported(folders) == (["second_library"], [])


def test_what_lies_in_a_checkout_is_not_of_the_environment(folders: Path) -> None:
    importlib.import_module("second_library")
    modules, elsewhere, _ = imported_modules((f"{folders / 'site'}/",), [str(folders)])
    assert "second_library" not in modules
    assert "second_library" in elsewhere


def test_an_environment_in_a_checkout_does_not_belong_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "prefix", "/checkout/.venv")
    assert is_below("/checkout/src/", ["/checkout/"])
    assert not is_below("/checkout/.venv/lib/site-packages/", ["/checkout/"])
    assert not is_below("/elsewhere/", ["/checkout/"])
    monkeypatch.setattr(sys, "prefix", "/usr")
    assert is_below("/usr/src/checkout/x.py", ["/usr/src/checkout/"])


@pytest.fixture
def preparation(monkeypatch: pytest.MonkeyPatch, folders: Path) -> Preparation:
    """What a parent prepares, for two sides of which one has the subject."""
    refusal = Refusal()
    monkeypatch.setattr(sys, "meta_path", [refusal, *sys.meta_path])
    prepared = Preparation(refusal, (f"{folders / 'side'}/",), frozenset(), possessions())
    assert prepared.refuse(["own_subject"]) == []
    return prepared


def test_a_module_that_asks_for_a_refused_name_is_found_with_all_that_need_it(
    folders: Path, preparation: Preparation
) -> None:
    write(folders, {"site/third_library.py": "import half_library\n"})
    preparation.load(["second_library", "half_library", "third_library", "first_library"])
    preparation.spoilt.pop("__channelexec__", None)  # a module of those who run tests in parallel
    assert preparation.spoilt.keys() == {"half_library", "third_library"}
    assert "half_library" not in sys.modules
    assert {"first_library", "second_library"} <= set(sys.modules)


def test_one_may_ask_where_a_plugin_is_and_not_import_it(
    folders: Path, preparation: Preparation
) -> None:
    preparation.refuse([], plugins=["second_library"])
    find = "import importlib.util as u\nwhere = u.find_spec('second_library').origin\n"
    write(folders, {"site/finding.py": find})
    preparation.load(["finding", "first_library"])
    assert sys.modules["finding"].where == str(folders / "site" / "second_library.py")
    preparation.spoilt.pop("__channelexec__", None)  # a module of those who run tests in parallel
    assert preparation.spoilt == {"first_library": "it asks for second_library"}


def test_modules_that_pytest_is_to_rewrite_are_reported_as_those_of_plugins() -> None:
    modules, _, plugins = imported_modules(("/",), [])
    assert "pytest_benchmark" in plugins
    assert not [name for name in modules if name.startswith("pytest_benchmark")]
    assert "_pytest.config" in modules


def test_a_module_that_loads_a_file_of_a_side_is_found(
    folders: Path, preparation: Preparation
) -> None:
    write(folders, {"side/other.py": ""})
    write(folders, {"site/reaching.py": "import other\n"})
    preparation.load(["reaching"])
    assert preparation.spoilt["reaching"] == "it loads code of the project"


def test_a_module_that_leaves_a_file_open_is_found(
    folders: Path, preparation: Preparation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEFT_OPEN", "")
    line = "os.environ['LEFT_OPEN'] = str(os.open(__file__, os.O_RDONLY))"
    write(folders, {"site/leaving.py": f"import os\n{line}\n"})
    preparation.load(["leaving", "second_library"])
    os.close(int(os.environ["LEFT_OPEN"]))
    assert preparation.spoilt == {"leaving": "it leaves an open file behind"}


def test_a_module_that_cannot_be_imported_is_found(preparation: Preparation) -> None:
    preparation.load(["no_such_library", "second_library"])
    assert "it cannot be imported" in preparation.spoilt["no_such_library"]
    assert "second_library" not in preparation.spoilt


def test_a_name_that_is_loaded_already_cannot_be_refused(preparation: Preparation) -> None:
    assert preparation.refuse(["json"], [], ["ctypes"]) == ["ctypes", "json"]
    early = Preparation(preparation.refusal, (), frozenset(["ctypes"]))
    assert early.refuse([], ["json"], ["ctypes"]) == []


def test_a_mere_folder_is_refused_only_where_no_package_has_its_name(
    preparation: Preparation,
) -> None:
    assert preparation.refuse([], ["pytest", "of_nobody"], []) == []
    assert "of_nobody" in preparation.refusal.names
    assert "pytest" not in preparation.refusal.names


def test_only_modules_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    strange = ModuleType("strange")
    strange.__path__ = [object()]  # type: ignore[list-item]
    monkeypatch.setitem(sys.modules, "strange", strange)
    assert "strange" not in imported_modules((), [])[0]
