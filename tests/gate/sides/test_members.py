"""The further projects of a repository are known, however they were declared or installed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from flopline.gate.sides.members import Installed, holding, members
from tests.gate.support.make_projects import HATCHLING, site
from tests.support.checkouts import write

NOTHING = Installed(frozenset(), (), frozenset())
MEMBER = '[project]\nname = "{}"\nversion = "1"\ndependencies = [{}]\n[build-system]\n'
ROOT = '[project]\nname = "root"\nversion = "1"\ndependencies = ["first"]\n'


def tree(folder: Path, root: str, **needs: str) -> Path:
    """Writes a repository with members `packages/NAME`, each with its requirements."""
    write(folder, {"pyproject.toml": root})
    for name, lines in needs.items():
        write(folder, {f"packages/{name}/pyproject.toml": MEMBER.format(name, lines)})
    return folder


def built_with(folder: Path, installed: Installed = NOTHING) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in members(folder, folder, installed)]


@pytest.mark.parametrize(
    "declaration",
    [
        """\
[tool.uv.workspace]
members = ["packages/*"]
exclude = ["packages/third"]
""",
        """\
[tool.uv.sources]
first = { path = "packages/first", editable = true }
second = [{ path = "packages/second", marker = "x" }]
""",
        """\
[tool.hatch.envs.default.workspace]
members = ["packages/f*", {path = "packages/second"}]
""",
        """\
[tool.poetry.dependencies]
first = { path = "packages/first", develop = true }
[tool.poetry.group.dev.dependencies]
second = { path = "packages/second" }
""",
    ],
    ids=["uv workspace", "uv paths", "hatch", "poetry"],
)
def test_members_that_the_project_needs_are_built_with_it(tmp_path: Path, declaration: str) -> None:
    folder = tree(tmp_path, ROOT + declaration, first='"second>=1"', second="", third="")
    assert built_with(folder) == ["packages/first", "packages/second"]


def test_members_that_the_environment_has_are_built_and_no_others(tmp_path: Path) -> None:
    virtual = '[tool.uv.workspace]\nmembers = ["packages/*"]\n'
    folder = tree(tmp_path, virtual, first="", second="", third="")
    present = Installed(frozenset({Path("packages/third"), Path("gone")}), (), frozenset({"first"}))
    assert built_with(folder) == []
    assert built_with(folder, present) == ["packages/first", "packages/third"]


def test_a_member_finds_its_siblings_in_the_workspace_above(tmp_path: Path) -> None:
    virtual = '[tool.uv.workspace]\nmembers = ["packages/*"]\n'
    folder = tree(tmp_path, virtual, first='"second"', second="", third="")
    project = folder / "packages" / "first"
    assert members(folder, project, NOTHING) == [folder / "packages" / "second"]


@pytest.mark.parametrize(
    "text",
    [
        "[tool.uv.workspace]\nmembers = 3\n",
        "[tool.uv]\nworkspace = []\nsources = 1\n",
        "[tool.uv.workspace]\nmembers = [1, '../*', '../..', 'a**b', '']\n",
        "[tool.poetry.group]\na = 1\n",
        "[project]\ndependencies = [1, '?']\n[dependency-groups]\na = [{include-group = 'b'}]\n",
        "[tool.hatch.envs]\ndefault = 1\n",
    ],
)
def test_a_malformed_declaration_declares_nothing(tmp_path: Path, text: str) -> None:
    assert built_with(write(tmp_path / "a", {"pyproject.toml": text})) == []


@pytest.mark.parametrize(
    ("path", "root"),
    [
        ("/co/pkg/a.py", "/co"),
        ("/co/build/lib/a.so", "/co"),
        ("/co/.venv/lib/python3.11/site-packages/a.py", None),
        ("/co/env/lib/python3.12/os.py", None),
        ("/co/.worktrees/x/pkg/a.py", "/co/.worktrees/x"),
        ("/co/.cache/a.py", None),
        ("/elsewhere/a.py", None),
        ("/co2/a.py", None),
    ],
)
def test_an_environment_in_a_checkout_is_not_its_code(path: str, root: str | None) -> None:
    checkouts = [Path("/co"), Path("/co/.worktrees/x")]
    assert holding(checkouts, Path(path)) == (Path(root) if root else None)


SHOW = """\
import json, sys
from pathlib import Path
from flopline.gate.sides.interpreter import Interpreter
from flopline.gate.sides.members import installed_from
present = installed_from([Path(sys.argv[1])], Interpreter.this())
print(json.dumps([sorted(map(str, present.projects)), sorted(map(str, present.path))]))
"""


def test_every_way_of_an_editable_installation_is_seen(tmp_path: Path, environment: Path) -> None:
    root = tmp_path / "co"
    for name in ("hook", "src_layout", "developed", "plain"):
        write(
            root, {f"{name}/pyproject.toml": HATCHLING.format(version="1"), f"{name}/src/a.py": ""}
        )
    write(root, {"scripts/tool.py": ""})
    origin = {"url": (root / "hook").as_uri(), "dir_info": {"editable": True}}
    facts = {"METADATA": "Name: hook\nVersion: 1\n", "direct_url.json": json.dumps(origin)}
    packages = site(environment.parents[1])
    write(packages / "hook-1.dist-info", facts)
    write(
        packages, {"a.pth": f"{root}/src_layout/src\n{root}/developed\n{root}/scripts\n{root}/no\n"}
    )
    done = subprocess.run(
        [str(environment), "-c", SHOW, str(root)], capture_output=True, text=True, check=True
    )
    projects, path = json.loads(done.stdout)
    assert projects == ["developed", "hook", "src_layout"]
    assert path == ["developed", "scripts", "src_layout/src"]
