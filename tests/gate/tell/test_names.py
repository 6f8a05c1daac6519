from __future__ import annotations

import pytest

from flopline.gate.tell.names import common_prefix, shortened


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
    ],
)
def test_ids_have_a_file_or_a_folder_in_common(ids: list[str], prefix: str) -> None:
    assert common_prefix(ids) == prefix
