"""Tests of the published pages as a browser shows them.

They need Chromium and, in `vendor/node_modules`, the scripts that asv's pages would load from
elsewhere: `nox -s pages` installs them. FLOPLINE_SCREENSHOTS names a folder that gets a picture of
every page.
"""

from __future__ import annotations

import functools
import http.server
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flopline.history import publish
from tests.history.support.toy import COMBINATIONS, FASTER, NAME, PLANTED, SLOWER
from tests.support import browser

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.history.support import toy

DERIVED = f"{NAME}_gflops"
VENDOR = Path(__file__).parent / "vendor" / "node_modules"

pytestmark = pytest.mark.skipif(
    not VENDOR.is_dir(), reason="asv's scripts are not installed; nox -s pages does it"
)


REMOTE = re.compile(
    r'(?P<attribute>src|href)="https://(?!github)[^"]*/(?P<name>[^"/]+)"(?: integrity="[^"]*")?'
)
"""A script or style sheet that a page loads from elsewhere."""


def local(match: re.Match[str]) -> str:
    """Returns a reference to the installed copy of a script or style sheet."""
    name = re.sub(r"-[\d.]+(?=\.min)", "", match["name"])
    copies = [*VENDOR.rglob(name), *VENDOR.rglob(name.replace(".min", ""))]
    assert copies, f"no file that is installed is named {name}"
    copies.sort(key=lambda path: len(path.parts))
    return f'{match["attribute"]}="vendor/{copies[0].relative_to(VENDOR)}"'


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files without a line on stderr for each of them."""

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def address(planted: toy.Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address at which the pages are served, with their scripts beside them."""
    command = [sys.executable, "-m", "asv", "publish"]
    subprocess.run(command, cwd=planted.root, check=True, capture_output=True)
    site = tmp_path_factory.mktemp("site") / "html"
    shutil.copytree(planted.root / ".asv" / "html", site)
    (site / "vendor").symlink_to(VENDOR)
    page = (site / "index.html").read_text()
    (site / "index.html").write_text(REMOTE.sub(local, page))
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(site))
    ) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


Show = Callable[[str, str, str], browser.Page]


@pytest.fixture
def show(address: str, tmp_path: Path) -> Iterator[Show]:
    """Opens a page and waits for something in it; the last argument names its picture."""
    with browser.page(tmp_path) as page:

        def load(path: str, waits_for: str, picture: str) -> browser.Page:
            page.open(f"{address}/{path}", width=1400)
            page.until(waits_for)
            if folder := os.environ.get("FLOPLINE_SCREENSHOTS"):
                page.screenshot(Path(folder) / f"{picture}.png")
            return page

        yield load


def plot(element: str) -> str:
    """Returns what flot drew in an element, as a JavaScript expression."""
    return f"$({json.dumps(f'[id={json.dumps(element)}]')}).data('plot')"


def drawn(page: browser.Page, element: str) -> list[list[list[float]]]:
    """Returns the series of a plot, each a list of (revision, value)."""
    series: list[list[list[float]]] = page.evaluate(
        f"{plot(element)}.getData().map(series => series.data)"
    )
    return series


GRAPH = plot("main-graph")


def test_the_grid_draws_gflops_beside_the_seconds(show: Show) -> None:
    both = " && ".join(plot(f"summarygrid-{name}") for name in (NAME, DERIVED))
    grid = show("index.html", both, "grid")
    for name in (NAME, DERIVED):
        (series,) = drawn(grid, f"summarygrid-{name}")
        assert len(series) >= 14
    assert "Toy.sampled_product, GFLOPS" in grid.evaluate("document.body.textContent")


@pytest.mark.parametrize(
    ("strategy", "factor"), [("slowed", 1 / SLOWER), ("quickened", 1 / FASTER), ("steady", 1.0)]
)
def test_a_slowdown_is_a_drop_and_a_speed_up_a_rise_in_the_graph(
    show: Show, strategy: str, factor: float
) -> None:
    graph = show(
        f"index.html#{DERIVED}?p-strategy=%27{strategy}%27&p-n=128", GRAPH, f"graph-{strategy}"
    )
    series = [points for points in drawn(graph, "main-graph") if len(points) > 2]
    values = [y for _, y in series[0]]
    assert len(values) == 14
    ratio = statistics.mean(values[PLANTED:]) / statistics.mean(values[:PLANTED])
    assert ratio == pytest.approx(factor, rel=0.03)


def test_the_regressions_page_holds_only_the_slowdown_in_gflops(show: Show) -> None:
    body = "#regressions-body tbody"
    page = show("index.html#/regressions", f"document.querySelector('{body} td')", "regressions")
    rows = {name: values for name, *values in page.rows(body)}
    assert set(rows) == {f"{DERIVED}('slowed', {n})" for n in (64, 128)}
    for _, _, factor, before, after, *_ in rows.values():
        assert float(factor.removesuffix("x")) == pytest.approx(1 / SLOWER, abs=0.03)
        assert float(before.split()[0]) > float(after.split()[0])


def test_the_list_colours_a_loss_of_gflops_red_and_a_gain_green(show: Show) -> None:
    page = show("index.html#/summarylist", "document.querySelector('td.change')", "list")
    listed = page.evaluate(
        "[...document.querySelectorAll('tr')].filter(row => row.querySelector('td.change'))"
        ".map(row => [row.innerHTML, row.querySelector('td.change').className])"
    )
    colours = {}
    for row, kind in listed:
        if point := re.search(r"sampled_product(_gflops)?\?p-strategy='(\w+)'&amp;p-n=64\"", row):
            unit = "GFLOPS" if point[1] else "seconds"
            colours[unit, point[2]] = kind.removeprefix("change").strip()
    red, green = "positive-change", "negative-change"  # asv's names, of seconds
    assert colours == {
        ("seconds", "slowed"): red,
        ("seconds", "quickened"): green,
        ("seconds", "steady"): "",
        ("GFLOPS", "slowed"): red,
        ("GFLOPS", "quickened"): green,
        ("GFLOPS", "steady"): "",
    }


def test_our_page_shows_the_newest_gflops_their_change_and_a_line(show: Show) -> None:
    page = show(publish.PAGE, "true", "summary")
    verdicts = page.evaluate(
        "[...document.querySelectorAll('tr[data-case]')].map(row => row.className)"
    )
    assert set(verdicts) == {"regressed", "improved", "unchanged"}
    rows = {case: values for case, *values in page.rows("tbody")}
    assert float(rows["toy slowed n=64"][2].rstrip(" %")) == pytest.approx(-28.6, abs=3)
    assert float(rows["toy quickened n=64"][2].rstrip(" %")) == pytest.approx(42.9, abs=4)
    lines = page.evaluate("document.querySelectorAll('polyline').length")
    assert lines == len(rows) == len(COMBINATIONS)
    assert {values[3] for values in rows.values()} == {"v1"}


def test_the_navigation_leads_to_our_page_and_our_page_to_the_graph(show: Show) -> None:
    grid = show("index.html", "document.querySelector('#nav-li-gflops a')", "grid")
    ours = grid.evaluate("document.querySelector('#nav-li-gflops a').getAttribute('href')")
    assert ours == publish.PAGE
    page = show(ours, "true", "summary")
    link = page.evaluate(
        "document.querySelector('a[href^=\"index.html#bench\"]').getAttribute('href')"
    )
    assert drawn(show(link, GRAPH, "linked"), "main-graph")
