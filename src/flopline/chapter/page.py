"""One self-contained HTML page from saved records: pictures, their data, the claims, the machine.

The page asks for nothing from a network: styles stand in it, pictures are embedded in it, once for light and once for
dark paper, and there is no script.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from flopline import __version__, data, records
from flopline.chapter import figures
from flopline.chapter import sheets as tables
from flopline.workload import Case

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from flopline.bench import Bench
    from flopline.chapter.claims.assess import ClaimsRecord
    from flopline.chapter.figures import Picture
    from flopline.chapter.prediction import Machine
    from flopline.chapter.training import Training
    from flopline.records import SavedRecord


@dataclass(frozen=True)
class Records:
    """What the page shows; all from one machine."""

    bench: Bench
    training: Training
    claims: ClaimsRecord
    machine: Machine

    @property
    def named(self) -> dict[str, SavedRecord]:
        """The records by the command that wrote them."""
        return {
            "bench": self.bench,
            "train": self.training,
            "claims": self.claims,
            "machine": self.machine,
        }


def check(named: dict[str, SavedRecord]) -> None:
    """Refuses records that do not belong together: of different machines, or of different data.

    Raises:
        RecordError: Two differ; the message says in what.
    """
    records.demand_one_machine(named)
    sources = {name: source for name, record in named.items() if (source := _source(record))}
    (first, one), *rest = sources.items() or [("", "")]
    for name, other in rest:
        if one != other:
            raise records.RecordError(
                f"{first} and {name} come from different data: {one!r} and {other!r}"
            )


def _source(record: SavedRecord) -> str:
    """The name of the data behind a record; empty where there are none."""
    if rows := getattr(record, "rows", None):
        return next((row.data for row in rows if row.data), "")
    problem = getattr(record, "problem", None)
    return str(problem.source if problem else getattr(record, "source", ""))


def write(found: Records, page: Path, folder: Path | None = None) -> None:
    """Writes the page, and the pictures as SVG and PNG beside it; every file whole or not at all.

    Args:
        found: What to show.
        page: The HTML file.
        folder: Where the pictures go; None for nowhere.

    Raises:
        RecordError: The records do not belong together.
    """
    check(found.named)
    pictures = figures.pictures(found.bench, found.training, found.claims, found.machine)
    if folder is not None:
        for picture in pictures:
            records.write(folder / f"{picture.name}.svg", picture.svg("light"))
            records.write(folder / f"{picture.name}.png", picture.png("light"))
    records.write(page, html(found, pictures))


STYLE = """
:root { --ink: #1f2328; --quiet: #5c636b; --paper: #ffffff; --rule: #d8dce1; --tint: #f4f6f8; --link: #0b57a4 }
@media screen and (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --quiet: #a2a9b1; --paper: #16191d; --rule: #353b43; --tint: #1f242a; --link: #7ab7f0 }
}
* { box-sizing: border-box }
html { color-scheme: light dark; -webkit-text-size-adjust: 100% }
body { margin: 0 auto; max-width: 52rem; overflow-wrap: break-word; padding: 1.5rem 1rem 4rem;
  color: var(--ink); background: var(--paper);
  font: 1.0625rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 1rem 0 .5rem; text-wrap: balance }
h2 { font-size: 1.3rem; line-height: 1.3; margin: 3rem 0 .5rem }
a { color: var(--link) }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px }
.skip { position: absolute; left: -100vw }
.skip:focus { left: 1rem; background: var(--paper); padding: .5rem }
nav ul { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .3rem 1.2rem }
.facts { color: var(--quiet) }
figure { margin: 0 }
figure img { width: 100%; height: auto; display: block }
figcaption { color: var(--quiet); margin: .3rem 0 .8rem }
details { margin: .5rem 0; border-top: 1px solid var(--rule) }
summary { cursor: pointer; padding: .5rem 0 }
.scroll { overflow-x: auto }
details .scroll { max-height: 32rem; overflow-y: auto }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; width: 100% }
caption { text-align: left; color: var(--quiet); padding: .3rem 0 }
th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid var(--rule); vertical-align: top }
th { font-weight: 600; background: var(--tint) }
.words { text-align: left }
.scroll table { font-size: .84rem }
.scroll th, .scroll td { white-space: nowrap; padding: .3rem .33rem }
#data-machine td { white-space: normal }
.claims td, .claims th { text-align: left }
.claims details { border: 0; margin: 0 }
.claims ul { margin: 0; padding-left: 1.1rem }
.claims small { color: var(--quiet); display: block; margin-top: .3rem }
.claims td:nth-child(2), .claims td:nth-child(3) { width: 41% }
.verdict { font-weight: 600 }
@media screen and (min-width: 56rem) {
  section > .scroll { width: max-content; min-width: 100%; max-width: calc(50vw + 23rem) }
}
@media (max-width: 40rem) {
  .claims thead { position: absolute; left: -100vw }
  .claims tr { display: block; border-bottom: 1px solid var(--rule); padding: .6rem 0 }
  .claims td:nth-child(n) { display: block; width: auto; border: 0; padding: .15rem 0 }
}
@media print {
  body { max-width: none; font-size: 10pt }
  nav, figure + details, .skip { display: none }
  .claims details::details-content { content-visibility: visible; block-size: auto }
  figure, tr { break-inside: avoid }
  h2 { break-after: avoid }
  .scroll { overflow: visible }
}
"""

CHAPTER = "https://d2l.ai/chapter_optimization/minibatch-sgd.html"

MARKS = {"confirmed": "✓", "refuted": "✗", "depends on the machine": "≈", "not testable here": "?"}


def html(found: Records, pictures: Sequence[Picture]) -> str:
    """The page."""
    source = found.training.problem.source
    surrogate = (
        ""
        if source != data.SURROGATE
        else "<p><strong>The training data are a surrogate</strong> with the moments of the airfoil table: full-batch "
        "results are the real ones, the noise of minibatches is not.</p>"
    )
    sections = [*(_section(picture.name, picture.title, _figure(picture)) for picture in pictures)]
    sections += [
        _section("training", "The experiments in numbers", _training(found.training)),
        _section("claims", "The chapter's claims", _claims(found.claims)),
        _section("predicted", "Predicted and measured", _predicted(found.machine)),
        _section("machine", "The machine", _machine(found)),
        _section(
            "data",
            "The data",
            f"<p>{escape(data.ATTRIBUTION)} {escape(data.LICENCE)}</p>{surrogate}",
        ),
    ]
    links = [(picture.name, picture.title) for picture in pictures]
    links += [
        ("training", "Experiments"),
        ("claims", "Claims"),
        ("predicted", "Predicted"),
        ("machine", "Machine"),
    ]
    items = "".join(
        f'<li><a href="#{name}">{escape(title.partition(":")[0])}</a></li>' for name, title in links
    )
    facts = found.machine.machine
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>Minibatch SGD, measured</title>
<style>{STYLE}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<header>
<h1>Minibatch SGD, measured on this machine</h1>
<p class="facts">{escape(str(facts.get("cpu", "")))}, {escape(str(facts.get("usable_cores", "")))} cores, torch
{escape(str(facts.get("torch", "")))}, threads {found.machine.threads}, data: {escape(source)}.
{escape(found.claims.started[:10])}, flopline {escape(__version__)}.</p>
<p>The chapter <a href="{CHAPTER}">Minibatch Stochastic Gradient Descent</a> of <cite>Dive into Deep Learning</cite>
argues with times. Here they are again, verified against float64 and measured over rounds or seeds, with a verdict on
each claim.</p>
{surrogate}
<nav aria-label="Contents"><ul>{items}</ul></nav>
</header>
<main id="content">
{"".join(sections)}
</main>
</body>
</html>
"""


def _section(name: str, title: str, body: str) -> str:
    head = f'<h2 id="{name}-title">{escape(title)}</h2>'
    return f'<section id="{name}" aria-labelledby="{name}-title">{head}{body}</section>\n'


def _figure(picture: Picture) -> str:
    light, dark = (
        f"data:image/svg+xml;base64,{_encoded(picture.svg(theme))}" for theme in ("light", "dark")
    )
    return (
        f'<figure><picture><source media="screen and (prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img src="{light}" alt="{escape(picture.alternative)}" id="picture-{picture.name}"></picture>'
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>"
        f"<details><summary>The data of this picture</summary>"
        f"{table(picture.columns, picture.rows, f'data-{picture.name}', picture.title)}</details>"
    )


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str | float]],
    name: str,
    caption: str,
    *,
    left: int | None = None,
) -> str:
    """Rows as an HTML table that scrolls, with the keyboard too; numbers have six digits.

    Args:
        columns: Their heads.
        rows: Texts and numbers.
        name: The table's id.
        caption: What it shows.
        left: How many columns are words and stand to the left; by default those that hold texts alone.
    """
    listed = list(rows)
    words = [
        all(isinstance(row[i], str) for row in listed) if left is None else i < left
        for i in range(len(columns))
    ]

    def line(tag: str, row: Sequence[str | float]) -> str:
        texts = (escape(cell if isinstance(cell, str) else digits(cell)) for cell in row)
        kinds = (" class=words" if word else "" for word in words)
        cells = "".join(
            f"<{tag}{kind}>{text}</{tag[:2]}>" for kind, text in zip(kinds, texts, strict=True)
        )
        return f"<tr>{cells}</tr>"

    body = "".join(line("td", row) for row in listed)
    head = line('th scope="col"', columns)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}, data"><table id="{name}">'
        f"<caption>{escape(caption)}</caption><thead>{head}</thead><tbody>{body}</tbody></table></div>"
    )


def digits(value: float) -> str:
    """A number with six digits."""
    return f"{value:.6g}"


def _training(found: Training) -> str:
    rows = [tables.experiment(trained, found.problem.least) for trained in found.experiments]
    notes = "".join(
        f"<p><strong>{escape(trained.experiment.name)}</strong> {escape(trained.diverged)}.</p>"
        for trained in found.experiments
        if trained.diverged
    )
    limits = found.problem
    caption = f"Means and medians over seeds; L* = {limits.least:.7f}, L(0) = {limits.start:.7f}"
    return table(tables.EXPERIMENT, rows, "data-training", caption, left=2) + notes


def _claims(found: ClaimsRecord) -> str:
    rows = []
    for each in found.assessed:
        items = [f"<li>{escape(tables.quantity(one))}</li>" for one in each.measured]
        shown, more = "".join(items[: tables.SHOWN]), "".join(items[tables.SHOWN :])
        rest = (
            f"<details><summary>{len(items) - tables.SHOWN} more of {each.id}</summary><ul>{more}</ul></details>"
            if more
            else ""
        )
        note = f"<small>{escape(each.note)}</small>" if each.note else ""
        rows.append(
            f'<tr id="{each.id}"><td>{each.id}</td><td>{escape(each.claim)}<small>{escape(each.rule)}</small></td>'
            f"<td><ul>{shown}</ul>{note}{rest}</td>"
            f'<td class="verdict"><span aria-hidden="true">{MARKS[each.answer]}</span>&nbsp;{each.answer}</td></tr>'
        )
    heads = "".join(
        f'<th scope="col">{head}</th>' for head in ("", "claim and rule", "measured", "verdict")
    )
    return (
        '<p>Intervals have a confidence of 99 %. A claim is decided only where they separate.</p><table class="claims" '
        f'id="data-claims"><thead><tr>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    )


def _predicted(found: Machine) -> str:
    cases = [(Case.parse(row.case), row) for row in found.cases]
    rows = [
        (figures.label(case), str(case.axes["n"]), *tables.prediction(row)) for case, row in cases
    ]
    low, high = tables.EXPLAINED
    text = (
        "<p>Predicted is max(flops / as narrow, bytes / read) + calls x overhead. As narrow is the rate, in GFLOPS, of "
        "products with as few rows, or as few columns, as one call's, whichever is lower; it and what is read are the "
        "ceilings below. Overhead is the time per call of the same loop on the least data. Explained is predicted over "
        f"measured; outside of {low:g} to {high:g} it is marked with an exclamation mark.</p>"
    )
    columns = ("strategy", "n", *tables.PREDICTION)
    return text + table(columns, rows, "data-predicted", "Predicted and measured times", left=1)


def _machine(found: Records) -> str:
    top = found.machine.ceilings
    facts: list[tuple[str, str]] = [
        (
            str(key),
            ", ".join(f"{k} {v}" for k, v in value.items())
            if isinstance(value, dict)
            else str(value),
        )
        for key, value in found.machine.machine.items()
    ]
    facts.append(("fastest product, float32", f"{top.flops / 1e9:.1f} GFLOPS"))
    facts += [(f"read, {level.name}", f"{level.read / 1e9:.1f} GB/s") for level in top.levels]
    for side, known in (("rows", top.rows), ("columns", top.columns)):
        rates = ", ".join(f"{each.width}: {each.flops / 1e9:.1f}" for each in known)
        facts.append((f"product by number of {side}", f"{rates} GFLOPS"))
    facts += [
        ("copy, memory", f"{top.copy / 1e9:.1f} GB/s"),
        ("framework call", tables.seconds(top.dispatch)),
    ]
    return table(("what", "here"), facts, "data-machine", "Facts and ceilings")
