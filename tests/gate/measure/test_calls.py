from __future__ import annotations

import functools
import gc
import inspect
import runpy
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopline.gate.measure.calls import differences
from flopline.gate.measure.worker.__main__ import collect
from flopline.gate.record import Difference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Compare = Callable[[str, str], list[Difference]]

Profile = list[list[Any]]


def written(folder: Path, source: str) -> Profile:
    """The profile of one call of `run` in a file work.py with this source."""
    folder.mkdir()
    file = folder / "work.py"
    file.write_text(textwrap.dedent(source))
    return collect(runpy.run_path(str(file))["run"])[0]


@pytest.fixture
def compare(tmp_path: Path) -> Compare:
    """The differences between two sources, really run from two folders."""

    def compared(baseline: str, candidate: str) -> list[Difference]:
        folders = tmp_path / "a", tmp_path / "another"
        profiles = [
            written(folder, source)
            for folder, source in zip(folders, (baseline, candidate), strict=True)
        ]
        return differences(profiles[0], profiles[1], ([folders[0]], [folders[1]]))

    return compared


def calls(profile: Profile) -> dict[str, int]:
    """Calls per function, from everywhere."""
    counted: Counter[str] = Counter()
    for function, _, _, number, _ in profile:
        counted[function] += number
    return dict(counted)


def without_seconds(found: list[Difference]) -> list[tuple[str, str, int, int]]:
    return [(it.function, it.where, it.baseline, it.candidate) for it in found]


# The comparison, on real profiles


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


def test_a_call_that_vanished_is_reported_with_the_baselines_line_after_what_is_more(
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
    found = compare("def run():\n    pass\n", candidate)
    assert [it.function for it in found] == ["outer", "inner"]
    assert found[0].seconds >= found[1].seconds > 0


# The comparison, on made-up profiles


def test_the_time_of_the_additional_calls_is_their_share_of_all() -> None:
    found = differences(
        [["f", "/a/x.py", 1, 4, 1.0]], [["f", "/b/x.py", 1, 10, 5.0]], ([Path("/a")], [Path("/b")])
    )
    assert found == [Difference("f", "x.py:1", 4, 10, 3.0)]


def test_paths_are_relative_to_the_innermost_root_of_their_side() -> None:
    roots = [Path("/a"), Path("/a/.site")], [Path("/b"), Path("/b/.site")]
    baseline = [["f", "/a/src/x.py", 1, 1, 0.0], ["g", "/a/.site/pkg/y.py", 1, 1, 0.0]]
    candidate = [["f", "/b/src/x.py", 7, 1, 0.0], ["g", "/b/.site/pkg/y.py", 1, 2, 0.0]]
    assert without_seconds(differences(baseline, candidate, roots)) == [("g", "pkg/y.py:1", 1, 2)]


def test_a_folder_whose_name_begins_like_a_root_is_not_inside_it() -> None:
    found = differences([], [["f", "/ab/x.py", 1, 1, 0.0]], ([Path("/a")], [Path("/a")]))
    assert [it.where for it in found] == ["/ab/x.py:1"]


def test_a_file_outside_the_roots_is_the_same_on_both_sides() -> None:
    shared = [["f", "/usr/lib/python3/json/decoder.py", 12, 1, 0.0], ["g", "<string>", 1, 1, 0.0]]
    assert differences(shared, shared, ([Path("/a")], [Path("/b")])) == []


def test_calls_that_moved_between_lines_in_equal_sum_are_no_difference() -> None:
    baseline = [["f", "x.py", 1, 5, 0.0], ["f", "x.py", 2, 7, 0.0]]
    candidate = [["f", "x.py", 3, 12, 0.0]]
    assert differences(baseline, candidate, ([], [])) == []


def test_of_equally_likely_lines_the_nearer_is_the_same() -> None:
    baseline = [["f", "x.py", 10, 1, 0.0]]
    candidate = [["f", "x.py", 11, 1, 0.0], ["f", "x.py", 40, 1, 0.0]]
    assert without_seconds(differences(baseline, candidate, ([], []))) == [("f", "x.py:40", 0, 1)]


def test_only_the_most_important_differences_are_given() -> None:
    candidate = [[f"f{n}", "x.py", n, 1, float(n)] for n in range(30)]
    assert [it.function for it in differences([], candidate, ([], []), most=2)] == ["f29", "f28"]


SITES = st.lists(
    st.tuples(
        st.sampled_from("fg"),
        st.sampled_from(["x.py", "y.py"]),
        st.integers(1, 9),
        st.integers(1, 5),
        st.just(0.1),
    ).map(list),
    max_size=9,
    unique_by=lambda site: tuple(site[:3]),
)


@given(SITES, st.integers(0, 100))
def test_a_profile_does_not_differ_from_itself_moved(profile: Profile, moved: int) -> None:
    shifted = [[function, file, line + moved, *rest] for function, file, line, *rest in profile]
    assert differences(profile, shifted, ([], [])) == []


@given(SITES, SITES)
def test_the_differences_add_up_to_the_difference_of_the_sums(
    baseline: Profile, candidate: Profile
) -> None:
    expected = Counter(calls(candidate))
    expected.subtract(calls(baseline))
    found = Counter[str]()
    for it in differences(baseline, candidate, ([], []), most=1000):
        found[it.function] += it.candidate - it.baseline
        assert it.seconds > 0
    for function in {*expected, *found}:
        assert found[function] == expected[function]


# The profiler


def test_counts_are_the_same_in_every_run() -> None:
    def run() -> object:
        return sorted(str(number) for number in range(20) if divmod(number, 3)[1])

    first, second = (collect(run)[0] for _ in range(2))
    assert [site[:4] for site in first] == [site[:4] for site in second]


def test_the_functions_result_is_passed_on() -> None:
    assert collect(lambda: 42)[1] == 42


def test_the_calling_line_of_a_call_is_its_site() -> None:
    def run() -> None:
        len("")
        "".upper()

    first = inspect.getsourcelines(run)[1]
    assert [site[:4] for site in collect(run)[0]] == [
        ["len", __file__, first + 1, 1],
        ["str.upper", __file__, first + 2, 1],
    ]


def test_the_profiler_does_not_see_itself() -> None:
    assert collect(lambda: None)[0] == []


@pytest.mark.parametrize(
    "function", [functools.partial(int, "7"), functools.partial(len, ""), dict, [].copy]
)
def test_what_is_no_python_function_can_be_profiled(function: Callable[[], object]) -> None:
    profile, result = collect(function)
    assert (profile, result) == ([], function())


def test_a_partial_is_profiled_as_its_function() -> None:
    def run(text: str) -> str:
        return text.upper()

    assert calls(collect(functools.partial(run, "a"))[0]) == {"str.upper": 1}


def test_every_value_of_a_generator_is_a_call_and_one_left_alone_is_no_trouble() -> None:
    def rows() -> Iterator[int]:
        for number in range(5):
            yield abs(number)

    def run() -> object:
        kept = rows()
        return next(kept), sum(rows()), kept

    name = f"{run.__qualname__.removesuffix('run')}rows"
    profile, (_, _, kept) = collect(run)
    assert calls(profile) == {
        name: 7,
        "abs": 6,
        "next": 1,
        "sum": 1,
    }  # the sixth of sum's says that there is no more
    assert next(kept) == 1


def test_exceptions_of_python_and_c_are_calls_like_others() -> None:
    def fail() -> None:
        raise ValueError(min(1, 2))

    def run() -> int:
        caught = 0
        for _ in range(3):
            try:
                fail()
            except ValueError:
                caught += 1
            try:
                ord("ab")
            except TypeError:
                caught += 1
        return len([caught]) * caught

    name = f"{run.__qualname__.removesuffix('run')}fail"
    profile, caught = collect(run)
    assert calls(profile) == {name: 3, "min": 3, "ord": 3, "len": 1}
    assert caught == 6


def test_an_exception_leaves_the_profiler_and_the_collector_as_they_were() -> None:
    def run() -> None:
        raise KeyError

    def other(*_: object) -> None:
        pass

    was_profiling, was_collecting = sys.getprofile(), gc.isenabled()
    try:
        sys.setprofile(other)
        with pytest.raises(KeyError):
            collect(run)
        left = sys.getprofile()
    finally:
        sys.setprofile(was_profiling)
    assert left is other
    assert gc.isenabled() == was_collecting


def test_the_collector_of_garbage_stays_off_where_it_was_off() -> None:
    gc.disable()
    try:
        assert collect(gc.isenabled)[1] is False
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_recursion_counts_every_call_and_its_time_once() -> None:
    def descend(depth: int) -> int:
        return descend(depth - 1) if depth else len("")

    def run() -> None:
        descend(50)

    name = f"{run.__qualname__.removesuffix('run')}descend"
    profile, _ = collect(run)
    assert calls(profile) == {name: 51, "len": 1}
    outer, inner = sorted((site for site in profile if site[0] == name), key=lambda site: site[3])
    assert (outer[3], inner[3]) == (1, 50)
    assert outer[4] >= inner[4] > 0


def test_times_include_what_was_called() -> None:
    def inner() -> None:
        sum(range(1000))

    def run() -> None:
        inner()

    seconds = {function: spent for function, _, _, _, spent in collect(run)[0]}
    assert seconds[f"{run.__qualname__.removesuffix('run')}inner"] >= seconds["sum"] > 0


class Shy(list[object]):
    """A list that does not like to be looked at."""

    def __getattribute__(self, name: str) -> object:
        raise AssertionError(name)


def test_of_an_object_only_the_type_is_looked_at() -> None:
    append = list.append.__get__(Shy())
    assert calls(collect(lambda: append(1))[0]) == {"Shy.append": 1}


def test_functions_in_c_are_named_by_their_type_or_module() -> None:
    array = np.arange(3.0)

    def run() -> None:
        array.copy()
        sys.getrefcount(array)
        dict.fromkeys("ab")
        callable(array)

    assert calls(collect(run)[0]) == {
        "ndarray.copy": 1,
        "sys.getrefcount": 1,
        "dict.fromkeys": 1,
        "callable": 1,
    }


def test_a_function_that_switches_profiling_off_is_survived() -> None:
    def run() -> int:
        sys.setprofile(None)
        return abs(-3)

    profile, result = collect(run)
    assert (calls(profile), result) == ({"sys.setprofile": 1}, 3)
    assert sys.getprofile() is None
