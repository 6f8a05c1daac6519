"""Null edits leave names and functions as they are, and what they cannot edit alone."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopline.gate.sides.nulledit import NULL_KINDS, NullKind, edit

LOT = random.Random(1)  # noqa: S311  # the same draws in every run
OPTIMIZED = 1
"""The flag of the code of functions, which the code of modules and classes does not have."""
STATEMENTS = (
    'def plain(a, b=1, *, c="x"):\n    """Returns a sum."""\n    return a + b\n',
    "def other(x):\n    # no docstring\n    return [y for y in range(x)]  # end\n",
    'async def waits(x: int) -> "int":\n    """Waits\n    long.\n    """\n    return x\n',
    "def late(values=[]):\n    values.append(1)\n    return values\n",
    "class Thing:\n    '''Holds.'''\n    def get(self):\n        'Gets.'\n        return 1\n",
    "@str\ndef decorated():\n    r'''Raw \\d.'''\n",
    "VALUE = 1; OTHER = 2\n",
    "text = '''one\n\ttwo\x0c\u2028\n'''\n",
    "if True:\n    def inner():\n        '''Ünïcode: é.''' ; return 1\n",
    "def one(): return 1\n",
    "def two(): 'In one line.'; return 2\n",
    "__all__ = ['VALUE']\n",
    "# a comment\n\n",
    "\n",
)
modules = st.builds(
    lambda head, body, tail: head + "".join(body) + tail,
    st.sampled_from(
        [
            "",
            "#!/usr/bin/env python\n# -*- coding: utf-8 -*-\n",
            '"""Module."""\n',
            "from __future__ import annotations\n",
            '# first\n"""Module.\n\nMore.\n"""\n\nfrom __future__ import annotations\n',
            '"""Module."""; from __future__ import annotations; import sys\n',
        ]
    ),
    st.lists(st.sampled_from(STATEMENTS), max_size=8),
    st.sampled_from(["", "\n\n", "END = 3", "# end"]),
)


def functions(source: bytes) -> list[Any]:
    """Returns what every function of a module does, sorted; unused ones are left out."""
    found: list[Any] = []
    pending = [compile(source, "m", "exec", dont_inherit=True)]
    while pending:
        code = pending.pop()
        if "_unused_" not in code.co_qualname:
            pending += [each for each in code.co_consts if isinstance(each, CodeType)]
            if code.co_flags & OPTIMIZED:
                found.append(work(code))
    return sorted(found, key=repr)


def work(code: CodeType) -> Any:  # noqa: ANN401  # nested tuples
    """Returns a function's byte code and all that it refers to, without lines and spaces."""
    constants = []
    for constant in code.co_consts:
        if isinstance(constant, str):
            constants.append(constant.rstrip(" "))
        elif not isinstance(constant, CodeType):
            constants.append(constant)
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    return code.co_qualname, code.co_code, tuple(constants), names, code.co_flags


def names(source: bytes) -> list[str]:
    """Returns the names that a module gives to others, and its docstring."""
    namespace: dict[str, Any] = {"__name__": "m"}
    exec(source, namespace)  # noqa: S102  # the sources are those above
    given = [name for name in namespace if not name.startswith("_")]
    return [*sorted(given), str(namespace.get("__doc__")), str(namespace.get("__all__"))]


@given(
    modules,
    st.sampled_from(NULL_KINDS),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig"]),
    st.integers(0, 9),
)
def test_an_edited_module_has_the_same_names_and_functions(
    text: str, kind: NullKind, line_end: str, encoding: str, seed: int
) -> None:
    source = text.replace("\n", line_end).encode(encoding)
    result = edit(source, kind, random.Random(seed))  # noqa: S311  # as above
    if result is not None:
        assert result != source
        assert names(result) == names(source)
        assert functions(result) == functions(source)


@pytest.mark.parametrize("kind", ["appended", "prepended", "reordered", "documented"])
@pytest.mark.parametrize("name", ["argparse", "ast", "dataclasses", "json.decoder", "textwrap"])
def test_real_modules_keep_the_byte_code_of_their_functions(kind: NullKind, name: str) -> None:
    __import__(name)
    source = Path(str(sys.modules[name].__file__)).read_bytes()
    result = edit(source, kind, LOT)
    if kind != "reordered":
        assert result is not None
    assert functions(result or source) == functions(source)


def after(text: str, kind: NullKind) -> str:
    """Returns a module after an edit; empty if there is none."""
    return (edit(text.encode(), kind, LOT) or b"").decode()


def test_unused_code_is_appended_behind_everything() -> None:
    result = after("x = 1", "appended")
    assert result.startswith("x = 1\n\n\n_unused_")


def test_unused_code_comes_after_docstring_and_future_imports() -> None:
    head = '#!python\n"""Doc."""\nfrom __future__ import annotations\n# why\n'
    result = after(head + "@str\ndef f(): pass\n", "prepended")
    assert result.startswith(head + "_unused_")
    assert result.endswith("\n\n@str\ndef f(): pass\n")


def test_two_edits_of_one_module_differ() -> None:
    assert edit(b"x = 1\n", "appended", LOT) != edit(b"x = 1\n", "appended", LOT)


def test_neighbours_exchange_places_and_the_comment_between_them_stays() -> None:
    text = "def a():\n    return 1\n\n\n# between\ndef b(n=2): return n"
    expected = "def b(n=2): return n\n\n\n# between\ndef a():\n    return 1\n"
    assert after(text, "reordered") == expected


@pytest.mark.parametrize(
    "second",
    [
        "@a\ndef b(): pass\n",
        "def b(n=a()): pass\n",
        "def b(n=-1): pass\n",
        "def b(x: a): pass\n",
        "def b(x: Annotated[int, Depends(c)]): pass\n",
        "def b() -> a: pass\n",
        "def a(): pass\n",
        "x = 1\n\n\ndef b(): pass\n",
        "def b(): pass; x = 1\n",
        "class b: pass\n",
    ],
)
def test_functions_that_may_need_their_order_stay_where_they_are(second: str) -> None:
    assert after(f"def a(): pass\n{second}", "reordered") in ("", second + "def a(): pass\n")
    if "; x" not in second:
        assert after(f"def a(): pass\n{second}", "reordered") == ""


def test_docstrings_become_longer_by_spaces_at_their_end() -> None:
    text = "def f():\n    '''É one.\n\n    Two.'''\n\n\nclass C:\n    'Not this.'\n"
    result = after(text, "documented")
    assert len(result) >= len(text) + 16
    assert result.startswith("def f():\n    '''É one.\n\n    Two.   ")
    assert result.endswith("  '''\n\n\nclass C:\n    'Not this.'\n")


@pytest.mark.parametrize("kind", NULL_KINDS)
@pytest.mark.parametrize(
    "source",
    [
        b"def f(:\n",
        b"\x00",
        b"# coding: nothing-known\n",
        b"# coding: utf-8\nx = '\xff'\n",
        b"x = " + b"(" * 5000 + b"\n",
        b"return 1\n",
    ],
)
def test_what_cannot_be_parsed_or_compiled_is_left_alone(kind: NullKind, source: bytes) -> None:
    assert edit(source, kind, LOT) is None


def test_a_module_in_another_encoding_keeps_it() -> None:
    source = "# coding: latin-1\ndef f():\n    'é'\n".encode("latin-1")
    for kind in ("appended", "prepended", "documented"):
        result = edit(source, kind, LOT)
        assert result is not None
        assert result.startswith(b"# coding: latin-1\n")
        assert "é" in result.decode("latin-1")
