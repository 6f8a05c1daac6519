"""Records as tables for a terminal."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from flopline.strategies import Measured


def measured(rows: Sequence[Measured], width: int) -> str:
    """A table per family, at most `width` columns wide where the content allows it."""
    families = dict.fromkeys(row.case.family for row in rows)
    return "".join(_render(family, [row for row in rows if row.case.family == family], width) for family in families)


def _render(family: str, rows: Sequence[Measured], width: int) -> str:
    axes = list(dict.fromkeys(axis for row in rows for axis in row.case.axes))
    names, cells = zip(*_columns(family, rows), strict=True)
    table = plain(title=family, title_justify="left")
    for name in ("strategy", *axes, *names):
        table.add_column(name, justify="left" if name == "strategy" else "right", no_wrap=True)
    for row, *values in zip(rows, *cells, strict=True):
        table.add_row(row.case.strategy, *(str(row.case.axes.get(axis, "")) for axis in axes), *values)
    out = io.StringIO()
    Console(file=out, width=width).print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n\n"


def plain(**style: str) -> Table:
    """A table with a rule below its head and no other lines."""
    return Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False, **style)  # type: ignore[arg-type]


def _columns(family: str, rows: Sequence[Measured]) -> Iterable[tuple[str, list[str]]]:
    """The columns right of the case: name and cells."""
    yield "s/epoch" if family == "sgd" else "time", [seconds(row.seconds) for row in rows]
    yield "IQR", [f"{row.spread:.1%}" for row in rows]
    if any(row.flops for row in rows):
        yield "GFLOPS", [f"{row.gflops:.3g}" for row in rows]
    if family == "matmul":
        full = {row.case.axes["n"]: row.seconds for row in rows if row.case.strategy == "full"}
        shares = [full[row.case.axes["n"]] / row.seconds if row.case.axes["n"] in full else None for row in rows]
        yield "of full", ["" if share is None else f"{share:.3f}" for share in shares]
    if family == "sgd":
        yield "updates/s", [f"{row.calls / row.seconds:,.0f}" for row in rows]
    if any(row.overhead is not None for row in rows):
        yield "overhead", ["" if row.overhead is None else f"{row.overhead:.0%}" for row in rows]


def seconds(value: float) -> str:
    """A time in the unit that suits it, four digits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if value >= size:
            return f"{value / size:.4g} {unit}"
    return f"{value / 1e-9:.4g} ns"
