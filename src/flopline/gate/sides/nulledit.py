"""Null edits: changes of a module's source that move code in memory and change no work.

Every commit does something of the kind beside what it is for. Names, values and functions that a
suite can use stay what they are; where they lie does not.
"""

from __future__ import annotations

import ast
import io
import itertools
import re
import tokenize
import warnings
from typing import TYPE_CHECKING, Literal, TypeGuard, get_args

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

NullKind = Literal["appended", "prepended", "reordered", "documented", "moved"]
"""What is done to a module.

Unused code is appended at its end or put before its first statement, neighbouring functions
exchange places, docstrings become longer, or the file only moves to a path of another length.
"""
NULL_KINDS: tuple[NullKind, ...] = get_args(NullKind)

Function = ast.FunctionDef | ast.AsyncFunctionDef

LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
"""A line as Python counts them; `str.splitlines` also splits at other characters."""
QUOTES = (b'"""', b"'''", b'"', b"'")

UNUSED = '''\
{name}_NUMBERS = ({numbers})
{name}_WORDS = {{{words}}}


class {name}_Walk:
    """Places at equal distances, which nobody asks for."""

    limit = {limit}

    def __init__(self, start, *, step={step}):
        self.start = start
        self.step = step

    def places(self, count):
        """Returns the first places."""
        found = []
        for index in range(count):
            found.append(self.start + index * self.step)
        return found


def {name}_total(values, *, factor={step}):
    """Returns a sum that nobody asks for."""
    total = 0
    for value in values:
        if value < {limit}:
            total += factor * value
        else:
            total -= {name}_NUMBERS[0]
    return total
'''
"""Code that stands alone: it uses no name but its own, `range`, and those of methods."""


def edit(source: bytes, kind: NullKind, lot: random.Random) -> bytes | None:
    """Returns a module's source after a null edit.

    Args:
        source: The source.
        kind: What is done to it. `moved` does nothing to the source.
        lot: Draws how much is added, and what exchanges places.

    Returns:
        The new source; None where the edit would change nothing, where the source cannot be parsed,
        or where the result does not compile.
    """
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
        text = source.decode(encoding)
        with warnings.catch_warnings():  # those of the module, which Python shows where it is run
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
            changed = _changed(text, tree, kind, lot)
            if changed == text:
                return None
            result = changed.encode(encoding)
            compile(result, "null edit", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return result


def _changed(text: str, tree: ast.Module, kind: NullKind, lot: random.Random) -> str:
    """Returns a module's text after a null edit; as it is if there is nothing to edit."""
    lines = LINE.findall(text)
    if lines and not lines[-1].endswith(("\r", "\n")):
        lines[-1] += "\n"
    match kind:
        case "appended":
            lines.append(f"\n\n{_unused_code(text, lot)}")
        case "prepended":
            place = _first_free_line(tree, len(lines))
            if place is None:
                return text
            lines.insert(place, f"{_unused_code(text, lot)}\n\n")
        case "reordered":
            pairs = list(_exchangeable(tree))
            if not pairs:
                return text
            for first, second in _some(pairs, lot):
                _exchange(lines, first, second)
        case "documented":
            _lengthen_docstrings(lines, tree, lot)
        case "moved":
            return text
    changed = "".join(lines)
    # A line end after the last line is no edit by itself.
    return text if changed.removesuffix("\n") == text else changed


# Unused code


def _unused_code(text: str, lot: random.Random) -> str:
    """Returns functions, classes and constants whose names are not in a module's text."""
    parts = []
    for _ in range(lot.randint(1, 6)):
        name = _new_name(text, lot)
        numbers = [str(lot.randint(1000, 10**9)) for _ in range(lot.randint(2, 40))]
        words = [f'"{lot.randbytes(lot.randint(4, 30)).hex()}"' for _ in range(lot.randint(1, 20))]
        parts.append(
            UNUSED.format(
                name=name,
                numbers=", ".join(numbers),
                words=", ".join(words),
                limit=lot.randint(1000, 10**6),
                step=lot.randint(2, 999),
            )
        )
    return "\n\n".join(parts)


def _new_name(text: str, lot: random.Random) -> str:
    while True:
        # A name with an underscore in front is not taken along by `from module import *`.
        name = f"_unused_{lot.randbytes(4).hex()}"
        if name not in text:
            return name


def _first_free_line(tree: ast.Module, end: int) -> int | None:
    """Returns the index of the line before which code may stand; None if there is no such line.

    It is behind the docstring and the imports from `__future__`, which must come first.

    Args:
        tree: The module.
        end: The number of its lines.
    """
    taken = 0
    for position, node in enumerate(tree.body):
        is_docstring = position == 0 and _is_text(node)
        is_future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
        if not is_docstring and not is_future:
            first = _first_line(node)
            return first - 1 if node.col_offset == 0 and first > taken else None
        taken = node.end_lineno or 0
    return end


def _first_line(node: ast.stmt) -> int:
    """Returns the number of a statement's first line, which may be that of a decorator."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _is_text(node: ast.stmt) -> bool:
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Constant):
        return False
    return isinstance(node.value.value, str)


# Functions in another order


def _exchangeable(tree: ast.Module) -> Iterator[tuple[Function, Function]]:
    """Yields pairs of neighbouring functions that may exchange places; no function is in two."""
    ends = [0, *(node.end_lineno or 0 for node in tree.body)]
    used = -1
    for place, (first, second) in enumerate(itertools.pairwise(tree.body)):
        if place <= used or not _is_plain(first) or not _is_plain(second):
            continue
        third = _first_line(tree.body[place + 2]) if place + 2 < len(tree.body) else None
        last = second.end_lineno or 0
        alone = (
            ends[place] < first.lineno
            and (first.end_lineno or 0) < second.lineno
            and (third is None or last < third)
        )
        if alone and first.name != second.name and not _mention(first, second):
            yield first, second
            used = place + 1


def _is_plain(node: ast.stmt) -> TypeGuard[Function]:
    """Returns whether a statement defines a function and runs nothing of the module for it."""
    if not isinstance(node, Function) or node.decorator_list or getattr(node, "type_params", []):
        return False
    defaults = [*node.args.defaults, *node.args.kw_defaults]
    return all(default is None or isinstance(default, ast.Constant) for default in defaults)


def _mention(first: Function, second: Function) -> bool:
    """Returns whether an annotation may need one of the functions, or runs something."""
    for annotation in (*_annotations(first), *_annotations(second)):
        for node in ast.walk(annotation):
            if isinstance(node, ast.Call | ast.NamedExpr | ast.Await):
                return True
            if isinstance(node, ast.Name) and node.id in (first.name, second.name):
                return True
    return False


def _annotations(function: Function) -> Iterator[ast.expr]:
    given = function.args
    parameters = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    for parameter in parameters:
        if parameter is not None and parameter.annotation is not None:
            yield parameter.annotation
    if function.returns is not None:
        yield function.returns


def _some(
    pairs: list[tuple[Function, Function]], lot: random.Random
) -> list[tuple[Function, Function]]:
    """Returns at least half of the pairs, the last first, so that the lines of others hold."""
    fewest = (len(pairs) + 1) // 2
    drawn = lot.sample(pairs, lot.randint(fewest, len(pairs)))
    return sorted(drawn, key=lambda pair: pair[0].lineno, reverse=True)


def _exchange(lines: list[str], first: Function, second: Function) -> None:
    """Exchanges the lines of two functions; what stands between them stays there."""
    begin, end = first.lineno - 1, first.end_lineno or 0
    next_begin, next_end = second.lineno - 1, second.end_lineno or 0
    between = lines[end:next_begin]
    lines[begin:next_end] = [*lines[next_begin:next_end], *between, *lines[begin:end]]


# Longer docstrings


def _lengthen_docstrings(lines: list[str], tree: ast.Module, lot: random.Random) -> None:
    """Adds spaces at the end of every function's docstring.

    They take as much memory as words, and mean nothing to a module that reads its docstrings for a
    grammar or a usage message.
    """
    ends = []
    for node in ast.walk(tree):
        if isinstance(node, Function) and _is_text(node.body[0]):
            text = node.body[0].value  # type: ignore[attr-defined]  # `_is_text` has looked
            ends.append((text.end_lineno - 1, text.end_col_offset))
    for line, column in sorted(ends, reverse=True):
        content = lines[line].encode()  # columns count the bytes of UTF-8
        quotes = next((each for each in QUOTES if content[:column].endswith(each)), b"")
        place = column - len(quotes)
        spaces = b" " * lot.randint(16, 240)
        lines[line] = (content[:place] + spaces + content[place:]).decode()
