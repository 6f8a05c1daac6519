from __future__ import annotations

import pytest

from flopline.gate.tell.names import common_prefix, in_file, shortened


def test_a_long_name_is_shown_without_its_middle() -> None:
    assert shortened("x" * 200) == "x" * 200
    assert shortened("a" * 300 + "b" * 300) == "a" * 100 + "..." + "b" * 100


@pytest.mark.parametrize(
    ("ids", "prefix"),
    [
        ([], ""),
        (["a.py::x"], "a.py::"),
        (["b/a.py::x", "b/a.py::T::y[1/2]"], "b/a.py::"),
        (["b/a.py::x", "b/c.py::y"], "b/"),
        (["b/c/a.py::x", "b/cd/a.py::y"], "b/"),
        (["/r/a.py::x", "/r/b.py::y"], "/r/"),
        (["b/a.py::x", "c/a.py::y"], ""),
        (["b/a.py::x", "y"], ""),
        (["x", "a/b"], ""),
        (["::z"], ""),
        (["bench.T.time_x('a::b')"], "bench.T."),
        (["bench.T.time_x(1.5)", "bench.T.time_y"], "bench.T."),
        (["bench.T.time_x(1.5)", "bench.time_y"], "bench."),
        (["one.time_x", "two.time_x"], ""),
    ],
)
def test_ids_have_a_file_or_a_folder_in_common(ids: list[str], prefix: str) -> None:
    assert common_prefix(ids) == prefix


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("b/a.py::T::x[1.5]", ("b/a.py", "T::x[1.5]")),
        ("b/a(1).py::x", ("b/a(1).py", "x")),
        ("bench.T.time_x", ("bench.T", "time_x")),
        ("bench.T.time_x('a::b.c', 1.5)", ("bench.T", "time_x('a::b.c', 1.5)")),
        ("time_x", ("time_x", "time_x")),
    ],
)
def test_a_benchmark_has_a_place_and_a_name_in_it(name: str, parts: tuple[str, str]) -> None:
    assert in_file(name) == parts
