from __future__ import annotations

import cProfile
import functools
import gc
import inspect
import sys
import threading
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest

from flopline.gate.measure.worker.flopline_worker.profile import count_calls, sum_calls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flopline.gate.measure.worker.flopline_worker.protocol import CallSite


TYPES = {"range", "ValueError"}
"""Types that are called here, which is seen since Python 3.12 only."""


def calls(sites: list[CallSite]) -> dict[str, int]:
    """Calls per function, from everywhere; those of `TYPES` are left out."""
    counted: Counter[str] = Counter()
    for site in sites:
        if site.function not in TYPES:
            counted[site.function] += site.calls
    return dict(counted)


def sibling(function: Callable[..., object], name: str) -> str:
    """The qualified name of another function in the same function."""
    prefix = function.__qualname__.removesuffix(function.__name__)
    return f"{prefix}{name}"


def test_counts_are_the_same_in_every_run() -> None:
    def run() -> object:
        return sorted(str(number) for number in range(20) if divmod(number, 3)[1])

    first, _ = count_calls(run)
    second, _ = count_calls(run)
    assert [site[:4] for site in first] == [site[:4] for site in second]


def test_the_functions_result_is_passed_on() -> None:
    assert count_calls(lambda: 42)[1] == 42


def test_the_calling_line_of_a_call_is_its_site() -> None:
    def run() -> None:
        len("")
        "".upper()

    first = inspect.getsourcelines(run)[1]
    assert [site[:4] for site in count_calls(run)[0]] == [
        ("len", __file__, first + 1, 1),
        ("str.upper", __file__, first + 2, 1),
    ]


def test_the_profiler_does_not_see_itself() -> None:
    assert count_calls(lambda: None)[0] == []


@pytest.mark.parametrize(
    "function", [functools.partial(int, "7"), functools.partial(len, ""), dict, [].copy]
)
def test_what_is_no_python_function_can_be_profiled(function: Callable[[], object]) -> None:
    sites, result = count_calls(function)
    assert (sites, result) == ([], function())


def test_a_partial_is_profiled_as_its_function() -> None:
    def run(text: str) -> str:
        return text.upper()

    assert calls(count_calls(functools.partial(run, "a"))[0]) == {"str.upper": 1}


def test_every_value_of_a_generator_is_a_call_of_it() -> None:
    def rows() -> Iterator[int]:
        for number in range(5):
            yield abs(number)

    def run() -> object:
        kept = rows()
        return next(kept), sum(rows()), kept

    sites, (_, _, kept) = count_calls(run)
    # Of the seven calls, sum makes six: the last one tells it that there are no more values.
    assert calls(sites) == {sibling(run, "rows"): 7, "abs": 6, "next": 1, "sum": 1}
    assert next(kept) == 1  # a generator that was not exhausted still works


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

    sites, caught = count_calls(run)
    assert calls(sites) == {sibling(run, "fail"): 3, "min": 3, "ord": 3, "len": 1}
    assert caught == 6


def test_an_exception_leaves_profiler_and_collector_as_they_were() -> None:
    def run() -> None:
        raise KeyError

    def other(*_: object) -> None:
        pass

    profiling, collecting = sys.getprofile(), gc.isenabled()
    try:
        sys.setprofile(other)
        with pytest.raises(KeyError):
            count_calls(run)
        profiling_after = sys.getprofile()
    finally:
        sys.setprofile(profiling)
    assert profiling_after is other
    assert gc.isenabled() == collecting


def test_the_garbage_collector_stays_off_where_it_was_off() -> None:
    gc.disable()
    try:
        assert count_calls(gc.isenabled)[1] is False
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_recursion_counts_every_call_and_its_time_once() -> None:
    def descend(depth: int) -> int:
        return descend(depth - 1) if depth else len("")

    def run() -> None:
        descend(50)

    name = sibling(run, "descend")
    sites, _ = count_calls(run)
    assert calls(sites) == {name: 51, "len": 1}
    inner, outer = [site for site in sites if site.function == name]
    assert (outer.calls, inner.calls) == (1, 50)
    assert outer.seconds >= inner.seconds > 0


def test_times_include_what_was_called() -> None:
    def inner() -> None:
        sum(range(1000))

    def run() -> None:
        inner()

    seconds = {site.function: site.seconds for site in count_calls(run)[0]}
    assert seconds[sibling(run, "inner")] >= seconds["sum"] > 0


class Shy(list[object]):
    """A list of which no attribute may be looked at."""

    def __getattribute__(self, name: str) -> object:
        raise AssertionError(name)


def test_of_an_object_only_the_type_is_looked_at() -> None:
    append = list.append.__get__(Shy())
    assert calls(count_calls(lambda: append(1))[0]) == {"Shy.append": 1}


def test_functions_in_c_are_named_by_their_type_or_module() -> None:
    array = np.arange(3.0)

    def run() -> None:
        array.copy()
        sys.getrefcount(array)
        dict.fromkeys("ab")
        callable(array)

    assert calls(count_calls(run)[0]) == {
        "ndarray.copy": 1,
        "sys.getrefcount": 1,
        "dict.fromkeys": 1,
        "callable": 1,
    }


def test_a_function_that_switches_profiling_off_is_survived() -> None:
    def run() -> int:
        sys.setprofile(None)
        return abs(-3)

    sites, result = count_calls(run)
    seen = {"sys.setprofile": 1} if sys.version_info < (3, 12) else {"sys.setprofile": 1, "abs": 1}
    assert (calls(sites), result) == (seen, 3)
    assert sys.getprofile() is None


def test_the_sum_is_of_functions_in_python_and_in_c() -> None:
    def half(number: int) -> int:
        return divmod(number, 2)[0]

    def run() -> int:
        return sum(half(number) for number in (1, 2, 3))

    total, result = sum_calls(run)
    # run, sum, four values of the generator, of which the last is that there are no more, and
    # three times half and divmod
    assert (total, result) == (1 + 1 + 4 + 3 + 3, 2)
    assert sum_calls(run) == (total, result)


def test_the_sum_of_nothing_is_the_function_itself() -> None:
    assert sum_calls(lambda: None)[0] == 1
    assert sum_calls(functools.partial(int, "7")) == (0, 7)


@pytest.mark.parametrize("count", [count_calls, sum_calls])
def test_the_profiler_of_the_suite_comes_back(count: Callable[..., object]) -> None:
    def other(*_: object) -> None:
        pass

    profiling = sys.getprofile()
    try:
        sys.setprofile(other)
        count(lambda: None)
        profiling_after = sys.getprofile()
    finally:
        sys.setprofile(profiling)
    assert profiling_after is other


def test_calls_can_be_summed_inside_of_a_profile() -> None:
    profiler = cProfile.Profile()
    profiler.enable()
    try:
        total, result = sum_calls(lambda: abs(-3))
    finally:
        profiler.disable()
    assert (total, result) == (2, 3)


def test_an_exception_ends_the_sum_and_is_raised() -> None:
    def run() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        sum_calls(run)
    assert sum_calls(lambda: abs(-3)) == (2, 3)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="only sys.monitoring tells calls of types")
def test_types_and_objects_in_c_that_are_called_are_counted_too() -> None:
    class Plain:
        pass

    class Made:
        def __init__(self) -> None:
            pass

    def run() -> None:
        Plain()
        Made()
        str(1)
        np.add(1, 2)

    assert calls(count_calls(run)[0]) == {
        sibling(run, "Plain"): 1,
        f"{sibling(run, 'Made')}.__init__": 1,
        "str": 1,
        "ufunc": 1,
    }


def test_calls_in_other_threads_are_not_told() -> None:
    def run() -> None:
        thread = threading.Thread(target=lambda: ord("a"))
        thread.start()
        thread.join()

    assert "ord" not in calls(count_calls(run)[0])
