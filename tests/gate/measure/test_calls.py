from __future__ import annotations

import runpy
import textwrap
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopline.gate.measure.calls import differences, lasting_differences
from flopline.gate.measure.worker.flopline_worker import profile
from flopline.gate.measure.worker.flopline_worker.protocol import CallSite
from flopline.gate.record import Difference

if TYPE_CHECKING:
    from collections.abc import Callable

    Compare = Callable[[str, str], list[Difference]]

NOWHERE: tuple[list[Path], list[Path]] = ([], [])
"""No roots."""


def counted(folder: Path, source: str) -> list[CallSite]:
    """The call sites of one call of `run` in a file work.py with this source."""
    folder.mkdir()
    file = folder / "work.py"
    file.write_text(textwrap.dedent(source))
    sites, _ = profile.count_calls(runpy.run_path(str(file))["run"])
    return sites


@pytest.fixture
def compare(tmp_path: Path) -> Compare:
    """The differences between two sources, really run from two folders."""

    def compared(baseline: str, candidate: str) -> list[Difference]:
        before, after = tmp_path / "a", tmp_path / "another"
        sites = counted(before, baseline), counted(after, candidate)
        return differences(*sites, ([before], [after]))

    return compared


def site(function: str, file: str, line: int, number: int = 1, seconds: float = 0.0) -> CallSite:
    """A made-up call site."""
    return CallSite(function, file, line, number, seconds)


def calls_by_function(sites: list[CallSite]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for each in sites:
        counts[each.function] += each.calls
    return counts


def without_seconds(results: list[Difference]) -> list[tuple[str, str, int, int]]:
    return [(it.function, it.where, it.baseline, it.candidate) for it in results]


# Differences between calls that were really counted


def test_additional_calls_are_named_with_the_line_they_come_from(compare: Compare) -> None:
    baseline = """
        def run():
            out = []
            for _ in range(256):
                pass
            return out
        """
    candidate = """
        def run():
            out = []
            for _ in range(256):
                out.copy()
            return out
        """
    assert without_seconds(compare(baseline, candidate)) == [("list.copy", "work.py:5", 0, 256)]


def test_calls_on_lines_that_only_moved_are_no_difference(compare: Compare) -> None:
    source = """
        def prepare(n):
            return sorted(range(n))

        def run():
            first = prepare(3)
            second = prepare(4)
            return len(first) + len(second)
        """
    assert compare(source, f"# a comment\nimport math\n\n{textwrap.dedent(source)}") == []


def test_a_call_inserted_above_others_is_the_one_reported(compare: Compare) -> None:
    baseline = """
        def run():
            out = []
            for _ in range(3): out.append(1)
            for _ in range(5): out.append(2)
        """
    candidate = """
        def run():
            out = []
            for _ in range(9): out.append(0)
            for _ in range(3): out.append(1)
            for _ in range(5): out.append(2)
        """
    assert without_seconds(compare(baseline, candidate)) == [("list.append", "work.py:4", 0, 9)]


def test_more_calls_on_a_line_that_moved_are_one_difference(compare: Compare) -> None:
    baseline = "def run():\n  for _ in range(4): len('')\n  len('a')\n"
    candidate = "\n\ndef run():\n  for _ in range(7): len('')\n  pass\n  len('a')\n"
    assert without_seconds(compare(baseline, candidate)) == [("len", "work.py:4", 4, 7)]


def test_a_call_that_vanished_is_reported_last_with_the_baselines_line(
    compare: Compare,
) -> None:
    baseline = """
        def run():
            text = "x"
            text.upper()
            return text
        """
    candidate = """
        def run():
            text = "x"
            return text.lower()
        """
    assert without_seconds(compare(baseline, candidate)) == [
        ("str.lower", "work.py:4", 0, 1),
        ("str.upper", "work.py:4", 1, 0),
    ]


def test_a_python_function_is_named_with_where_it_is_defined(compare: Compare) -> None:
    baseline = """
        def run():
            pass
        """
    candidate = """
        def outer():
            def inner():
                pass
            inner()

        class Model:
            def step(self):
                outer()

        def run():
            Model().step()
        """
    assert {it.function: it.where for it in compare(baseline, candidate)} == {
        "Model.step": "work.py:12",
        "outer": "work.py:9",
        "outer.<locals>.inner": "work.py:5",
    }


def test_what_takes_longest_comes_first(compare: Compare) -> None:
    candidate = """
        def inner():
            pass

        def outer():
            for _ in range(50):
                inner()

        def run():
            outer()
        """
    outer, inner = compare("def run():\n    pass\n", candidate)
    assert (outer.function, inner.function) == ("outer", "inner")
    assert outer.seconds >= inner.seconds > 0


# Differences between made-up calls


def test_the_time_of_the_additional_calls_is_their_share_of_all() -> None:
    baseline = [site("f", "/a/x.py", 1, 4, 1.0)]
    candidate = [site("f", "/b/x.py", 1, 10, 5.0)]
    assert differences(baseline, candidate, ([Path("/a")], [Path("/b")])) == [
        Difference("f", "x.py:1", 4, 10, 3.0)
    ]


def test_paths_are_relative_to_the_innermost_root_of_their_side() -> None:
    roots = [Path("/a"), Path("/a/.site")], [Path("/b"), Path("/b/.site")]
    baseline = [site("f", "/a/src/x.py", 1), site("g", "/a/.site/pkg/y.py", 1)]
    candidate = [site("f", "/b/src/x.py", 7), site("g", "/b/.site/pkg/y.py", 1, 2)]
    assert without_seconds(differences(baseline, candidate, roots)) == [("g", "pkg/y.py:1", 1, 2)]


def test_a_folder_whose_name_begins_like_a_root_is_not_inside_it() -> None:
    (extra,) = differences([], [site("f", "/ab/x.py", 1)], ([Path("/a")], [Path("/a")]))
    assert extra.where == "ab/x.py:1"


def test_a_file_outside_the_roots_is_the_same_on_both_sides() -> None:
    shared = [site("f", "/usr/lib/python3/json/decoder.py", 12), site("g", "<string>", 1)]
    assert differences(shared, shared, ([Path("/a")], [Path("/b")])) == []


def test_calls_that_moved_between_lines_in_equal_sum_are_no_difference() -> None:
    baseline = [site("f", "x.py", 1, 5), site("f", "x.py", 2, 7)]
    candidate = [site("f", "x.py", 3, 12)]
    assert differences(baseline, candidate, NOWHERE) == []


def test_of_equally_likely_lines_the_nearer_is_the_same() -> None:
    baseline = [site("f", "x.py", 10)]
    candidate = [site("f", "x.py", 11), site("f", "x.py", 40)]
    assert without_seconds(differences(baseline, candidate, NOWHERE)) == [("f", "x.py:40", 0, 1)]


def test_only_the_most_important_differences_are_given() -> None:
    candidate = [site(f"f{n}", "x.py", n, 1, float(n)) for n in range(30)]
    first, second = lasting_differences([[]], [candidate], NOWHERE, at_most=2)
    assert (first.function, second.function) == ("f29", "f28")


def test_calls_that_come_and_go_are_no_difference() -> None:
    baseline = [[site("wait", "x.py", 1, 1)], [site("wait", "x.py", 1, 4)]]
    candidate = [[site("wait", "x.py", 1, 4)], [site("wait", "x.py", 1, 4)]]
    assert lasting_differences(baseline, candidate, NOWHERE) == []


def test_of_calls_that_vary_the_smallest_lasting_difference_is_told() -> None:
    baseline = [[site("f", "x.py", 1, 3)], [site("f", "x.py", 1, 4)]]
    candidate = [[site("f", "x.py", 1, 259)], [site("f", "x.py", 1, 264)]]
    (difference,) = lasting_differences(baseline, candidate, NOWHERE)
    assert (difference.baseline, difference.candidate) == (4, 259)


@pytest.mark.parametrize(
    ("file", "shown"),
    [
        ("/home/me/.venv/lib/python3.12/site-packages/numpy/linalg/x.py", "numpy/linalg/x.py"),
        ("/usr/lib/python3/dist-packages/yaml/x.py", "yaml/x.py"),
        ("/usr/lib/python3.12/json/decoder.py", "json/decoder.py"),
        ("/opt/lib/python3.13t/threading.py", "threading.py"),
        ("/home/me/elsewhere/deep/folder/x.py", "folder/x.py"),
        ("<frozen importlib._bootstrap>", "<frozen importlib._bootstrap>"),
        ("<string>", "<string>"),
    ],
)
def test_files_outside_of_the_project_are_told_by_package_or_folder(file: str, shown: str) -> None:
    (extra,) = differences([], [site("f", file, 1)], ([Path("/a")], [Path("/b")]))
    assert extra.where == f"{shown}:1"


def test_a_line_whose_calls_take_as_long_is_the_same_though_it_moved() -> None:
    baseline = [site("f", "x.py", 1, 1, 1e-6), site("f", "x.py", 2, 1, 1e-3)]
    candidate = [
        site("f", "x.py", 1, 1, 1e-6),
        site("f", "x.py", 2, 1, 2e-6),
        site("f", "x.py", 3, 1, 1.1e-3),
    ]
    assert without_seconds(differences(baseline, candidate, NOWHERE)) == [("f", "x.py:2", 0, 1)]


SITES = st.lists(
    st.builds(
        CallSite,
        function=st.sampled_from("fg"),
        file=st.sampled_from(["x.py", "y.py"]),
        line=st.integers(1, 9),
        calls=st.integers(1, 5),
        seconds=st.just(0.1),
    ),
    max_size=9,
    unique_by=lambda it: (it.function, it.file, it.line),
)


@given(SITES, st.integers(0, 100))
def test_calls_do_not_differ_from_themselves_moved(sites: list[CallSite], lines: int) -> None:
    moved = [it._replace(line=it.line + lines) for it in sites]
    assert differences(sites, moved, NOWHERE) == []


@given(SITES, SITES)
def test_the_differences_add_up_to_the_difference_of_the_sums(
    baseline: list[CallSite], candidate: list[CallSite]
) -> None:
    expected = calls_by_function(candidate)
    expected.subtract(calls_by_function(baseline))
    sums = Counter[str]()
    for it in differences(baseline, candidate, NOWHERE):
        sums[it.function] += it.candidate - it.baseline
        assert it.seconds > 0
    for function in {*expected, *sums}:
        assert sums[function] == expected[function]
