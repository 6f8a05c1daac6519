"""A build of an earlier run is used only if the same build would be made again."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from flopline.gate.sides import cache as caches
from flopline.gate.sides.build import Workspace
from flopline.gate.sides.cache import BuildCache, KeptBuilds, loaded_parts, mentions
from flopline.gate.sides.environment import sides
from flopline.gate.sides.interpreter import Interpreter
from tests.gate.support.build_backends import project, run
from tests.support.checkouts import commit, write

pytestmark = pytest.mark.usefixtures("temporary")

INTERPRETER = Interpreter("3.12.1", [], "", "", [], prefix="/env", python="/env/bin/python")
TREE = {"pyproject.toml": "[build-system]\n", "a.py": ""}
ELF = "\x7fELF"


@pytest.fixture
def cache(tmp_path: Path) -> BuildCache:
    return BuildCache(tmp_path / "cache")


def workspace(folder: Path, tree: dict[str, str]) -> Workspace:
    """Returns a new folder for one side, with its copy of the version."""
    write(folder / "tree", tree)
    return Workspace("baseline", folder, folder / "tree")


class Run:
    """One run of the gate, in which the builds only write files."""

    def __init__(self, cache: BuildCache, root: Path, *trees: dict[str, str]) -> None:
        names = ("base", "cand")[: len(trees)]
        self.spaces = [
            workspace(root / name, tree) for name, tree in zip(names, trees, strict=True)
        ]
        self.builds = KeptBuilds(cache, self.spaces, INTERPRETER, "pip")

    def build(self, *made: dict[str, str], isolated: bool = False) -> list[bool]:
        """Builds what is not kept, and returns for each side whether it was kept.

        Args:
            made: The files that each side's build writes into its folder.
            isolated: Whether the builds have environments of their own.
        """
        kept = self.builds.restore(isolated=isolated)
        missing = []
        for space, files in zip(self.spaces, made, strict=True):
            if space not in kept:
                write(space.folder, files)
                missing.append(space)
        self.builds.store(missing, isolated=isolated)
        return [space in kept for space in self.spaces]


def test_a_second_run_builds_nothing(repo: Path, tmp_path: Path, cache: BuildCache) -> None:
    count = tmp_path / "count"
    counting = f"pathlib.Path({str(count)!r}).open('a').write('1'); "
    writing = "(HERE / 'made.txt').write_text('made')"
    project(repo, "1", before=counting + writing)
    commit(repo, "two")
    write(repo, {"src/subject/__init__.py": "VALUE = 'changed'\n"})
    for number in range(2):
        with sides(repo, "HEAD", cache=cache) as both:
            assert [run(side) for side in both] == ["value of 1 1", "changed 1"]
            assert [(side.tree / "made.txt").read_text() for side in both] == ["made", "made"]
            assert [len(side.notes) for side in both] == [number, number]
            for side in both:
                assert side.site is not None
                assert list((side.site / "subject" / "__pycache__").iterdir())
        assert count.read_text() == "11"
    assert both[0].notes[0].startswith("the baseline was not built again: its build of ")


def test_what_a_build_writes_into_the_tree_is_kept_too(tmp_path: Path, cache: BuildCache) -> None:
    made = {"site/a.py": "1", "tree/pkg/_version.py": "1", "tree/build/x.o": "", "tree/a.py": "new"}
    assert Run(cache, tmp_path / "one", TREE).build(made) == [False]
    again = Run(cache, tmp_path / "two", TREE)
    assert again.build(made) == [True]
    (space,) = again.spaces
    assert (space.packages / "a.py").read_text() == "1"
    assert (space.project / "pkg" / "_version.py").read_text() == "1"
    assert (space.project / "a.py").read_text() == "new"
    assert not (space.project / "build").exists()


@pytest.mark.parametrize(
    ("made", "is_kept"),
    [
        ({"site/a.py": "PATH = '{root}'"}, False),
        ({"site/a.pth": "/x/{root}/base/tree/src\n"}, False),
        ({"tree/settings.py": "/x/{root}/base"}, False),
        ({"site/a-1.dist-info/direct_url.json": "file:///x/{root}/base/tree"}, True),
        ({"site/__pycache__/a.cpython-312.pyc": "/x/{root}/base/site/a.py"}, True),
    ],
)
def test_a_build_that_needs_the_folder_in_which_it_was_made_is_not_kept(
    tmp_path: Path, cache: BuildCache, made: dict[str, str], is_kept: bool
) -> None:
    files = {name: text.format(root="one") for name, text in made.items()}
    Run(cache, tmp_path / "one", TREE).build(files)
    assert Run(cache, tmp_path / "two", TREE).build(files) == [is_kept]


def test_a_build_that_removes_files_or_links_to_others_is_not_kept(
    tmp_path: Path, cache: BuildCache
) -> None:
    first = Run(cache, tmp_path / "one", TREE)
    (space,) = first.spaces
    (space.project / "a.py").unlink()
    first.build({"site/a.py": ""})
    assert Run(cache, tmp_path / "two", TREE).build({"site/a.py": ""}) == [False]
    linking = Run(cache, tmp_path / "three", {"b.py": ""})
    write(linking.spaces[0].packages, {"c.py": ""})
    (linking.spaces[0].packages / "a.so").symlink_to("/usr/lib/a.so")
    linking.builds.store(linking.spaces, isolated=False)
    assert Run(cache, tmp_path / "four", {"b.py": ""}).build({}) == [False]


def test_a_damaged_build_is_made_again(tmp_path: Path, cache: BuildCache) -> None:
    made = {"site/a.py": "1"}
    Run(cache, tmp_path / "one", TREE).build(made)
    (kept,) = cache.folder.iterdir()
    (kept / "site" / "a.py").write_text("")
    assert Run(cache, tmp_path / "two", TREE).build(made) == [False]
    assert Run(cache, tmp_path / "three", TREE).build(made) == [True]
    (kept / "facts.json").write_text("{}")
    assert Run(cache, tmp_path / "four", TREE).build(made) == [False]


def test_a_build_that_is_too_old_or_anybodys_is_made_again(
    tmp_path: Path, cache: BuildCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {"site/a.py": "1"}
    Run(cache, tmp_path / "one", TREE).build(made)
    cache.folder.chmod(0o777)
    assert Run(cache, tmp_path / "two", TREE).build(made) == [False]
    cache.folder.chmod(0o700)
    later = time.time() + caches.MOST_SECONDS + 1
    monkeypatch.setattr(time, "time", lambda: later)
    assert Run(cache, tmp_path / "three", TREE).build(made) == [False]


def test_a_compiled_build_is_made_again_with_another_toolchain(
    tmp_path: Path, cache: BuildCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = {"site/a.so": ELF}
    Run(cache, tmp_path / "one", TREE).build(compiled)
    assert Run(cache, tmp_path / "two", TREE).build(compiled) == [True]
    monkeypatch.setattr(caches, "toolchain", lambda: "of tomorrow")
    assert Run(cache, tmp_path / "three", TREE).build(compiled) == [False]


def test_compiled_with_own_tools_it_is_used_only_with_the_other_side(
    tmp_path: Path, cache: BuildCache
) -> None:
    old, new = TREE, {**TREE, "a.py": "new"}
    both = ({"site/a.so": ELF}, {"site/a.so": ELF})
    assert Run(cache, tmp_path / "1", old, new).build(*both, isolated=True) == [False, False]
    assert Run(cache, tmp_path / "2", old, new).build(*both, isolated=True) == [True, True]
    newest = {**TREE, "a.py": "newest"}
    assert Run(cache, tmp_path / "3", old, newest).build(*both, isolated=True) == [False, False]
    pure = {"site/a.py": ""}
    one = Run(cache, tmp_path / "4", {"b.py": ""}, new).build(pure, pure, isolated=True)
    assert one == [False, False]
    assert Run(cache, tmp_path / "5", {"b.py": ""}, newest).build(
        pure, {"site/a.so": ELF}, isolated=True
    ) == [True, False]


def test_what_was_not_used_for_longest_is_removed_first(
    tmp_path: Path, cache: BuildCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caches, "MOST_BYTES", 250)
    trees = [{"a.py": str(number)} for number in range(3)]
    made = {"site/a.py": 100 * "#"}
    for number, tree in enumerate(trees[:2]):
        Run(cache, tmp_path / f"first-{number}", tree).build(made)
        for kept in cache.folder.iterdir():
            before = kept.stat().st_mtime - 10
            os.utime(kept, (before, before))
    assert Run(cache, tmp_path / "used", trees[0]).build(made) == [True]
    Run(cache, tmp_path / "third", trees[2]).build(made)
    found = [
        Run(cache, tmp_path / f"last-{number}", tree).builds.restore(isolated=False)
        for number, tree in enumerate(trees)
    ]
    assert [len(kept) for kept in found] == [1, 0, 1]


def test_nothing_is_left_of_a_run_that_was_killed_while_it_stored(
    tmp_path: Path, cache: BuildCache
) -> None:
    cache.folder.mkdir(mode=0o700)
    left = cache.folder / f"{caches.ASIDE}x"
    left.mkdir()
    os.utime(left, (0, 0))
    Run(cache, tmp_path / "one", TREE).build({"site/a.py": ""})
    assert not left.exists()
    assert len(list(cache.folder.iterdir())) == 1


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path) -> None:
    write(tmp_path, {"cache": "a file"})
    cache = BuildCache(tmp_path / "cache" / "builds")
    for name in ("one", "two"):
        assert Run(cache, tmp_path / name, TREE).build({"site/a.py": ""}) == [False]


def test_the_cache_is_where_the_user_keeps_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert BuildCache.of_user() == BuildCache(Path("/home/me/.cache/flopline/builds"))
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert BuildCache.of_user() == BuildCache(Path("/caches/flopline/builds"))


# Compiled modules


@pytest.fixture(scope="module")
def compiler() -> str:
    found = shutil.which("cc")
    if found is None:
        pytest.skip("there is no C compiler `cc`")
    return found


@pytest.mark.parametrize(
    ("options", "code", "needs"),
    [
        ((), "int f(void) { return 1; }", False),
        ((), "const char *f(void) { return __FILE__; }", False),
        ((), "const char *f(void) { return DATA; }", True),
        (("-Wl,-rpath,{root}/tree/lib",), "int f(void) { return 1; }", True),
    ],
    ids=["debugger", "message", "data", "library"],
)
def test_a_module_needs_its_folder_for_data_and_libraries_only(
    tmp_path: Path, compiler: str, options: tuple[str, ...], code: str, needs: bool
) -> None:
    root = tmp_path / "flopline-gate-x"
    file = write(root, {"a.c": code}) / "a.c"
    module = root / "a.so"
    given = [option.format(root=root) for option in options]
    command = [compiler, "-g", "-shared", "-fPIC", f'-DDATA="{root}/data"', *given, str(file)]
    subprocess.run([*command, "-o", str(module)], check=True, cwd=root)
    content = module.read_bytes()
    assert b"flopline-gate-x" in content
    assert mentions("a.so", content, b"flopline-gate-x") is needs
    assert len(loaded_parts(content)) < len(content)
