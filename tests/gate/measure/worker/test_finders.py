"""Import hooks of editable installations are left out for the packages that a side has built."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import types
from typing import TYPE_CHECKING, Any

import pytest

from flopline.gate.measure.worker.flopline_worker.finders import leave_out_finders
from tests.gate.support.build_backends import install
from tests.gate.support.make_projects import HATCHLING
from tests.support.checkouts import write

if TYPE_CHECKING:
    from pathlib import Path


def hook(kind: str, **names: Any) -> Any:  # noqa: ANN401  # a stand-in for what others install
    """Returns a hook of a class with this name."""
    finder = type(kind, (), {})()
    vars(finder).update(names)
    return finder


MESON = hook("MesonpyMetaFinder", _top_level_modules={"subject"})
REDIRECTING = hook(
    "ScikitBuildRedirectingFinder",
    known_source_files={"other": "x"},
    known_wheel_files={"subject._core": "y"},
)
INPLACE = hook("ScikitBuildInplaceFinder", known_packages=frozenset({"subject"}))


@pytest.mark.parametrize("finder", [MESON, REDIRECTING, INPLACE])
def test_a_known_hook_is_left_out_for_what_it_serves(
    monkeypatch: pytest.MonkeyPatch, finder: object
) -> None:
    before = list(sys.meta_path)
    monkeypatch.setattr(sys, "meta_path", [finder, *before])
    leave_out_finders("somebody")
    leave_out_finders("")
    assert sys.meta_path == [finder, *before]
    leave_out_finders(f"somebody{os.pathsep}subject")
    assert sys.meta_path == before


def test_the_hook_of_setuptools_is_left_out_by_its_modules_table(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = types.ModuleType("__editable___subject_finder")
    vars(module)["MAPPING"] = {"subject": "/somewhere/subject"}
    monkeypatch.setitem(sys.modules, module.__name__, module)
    finder: Any = type("_EditableFinder", (), {"__module__": module.__name__})
    before = list(sys.meta_path)
    monkeypatch.setattr(sys, "meta_path", [*before, finder])
    leave_out_finders("subject")
    assert sys.meta_path == before


def test_a_hook_of_no_known_kind_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    finder = hook("Anything", _top_level_modules={"subject"})
    monkeypatch.setattr(sys, "meta_path", [finder])
    leave_out_finders("subject")
    assert sys.meta_path == [finder]


BACKENDS = {
    "mesonpy": {
        "pyproject.toml": HATCHLING.replace("hatchling>=1", "meson-python")
        .replace("hatchling.build", "mesonpy")
        .format(version="1"),
        "meson.build": (
            "project('subject', version: '1')\n"
            "py = import('python').find_installation(pure: true)\n"
            "py.install_sources('src/subject/__init__.py', subdir: 'subject')\n"
        ),
        "src/subject/__init__.py": "",
    },
    "scikit_build_core": {
        "pyproject.toml": HATCHLING.replace("hatchling>=1", "scikit-build-core")
        .replace("hatchling.build", "scikit_build_core.build")
        .format(version="1"),
        "CMakeLists.txt": (
            "cmake_minimum_required(VERSION 3.18)\nproject(subject LANGUAGES NONE)\n"
        ),
        "src/subject/__init__.py": "",
    },
    "setuptools": {
        "pyproject.toml": HATCHLING.replace("hatchling>=1", "setuptools")
        .replace("hatchling.build", "setuptools.build_meta")
        .format(version="1")
        + "[tool.setuptools.package-dir]\nsubject = 'code'\n"
        + "[tool.setuptools]\npackages = ['subject']\n",
        "code/__init__.py": "",
    },
}
LEAVE_OUT = """\
import runpy, sys
before = list(sys.meta_path)
runpy.run_path(sys.argv[1])["leave_out_finders"]("subject")
print(len(before) > len(sys.meta_path))
"""


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_hook_that_a_backend_installs_today_is_left_out(
    tmp_path: Path, environment: Path, backend: str
) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    install(environment, "--editable", str(write(tmp_path / "p", BACKENDS[backend])))
    finders = sys.modules[leave_out_finders.__module__].__file__
    command = [str(environment), "-c", LEAVE_OUT, str(finders)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "True\n", done.stderr
