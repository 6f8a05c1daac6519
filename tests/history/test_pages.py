"""The published pages as a browser shows them.

Needs Chromium, and in `vendor/node_modules` the scripts that asv's pages would load from elsewhere: `nox -s pages`.
FLOPLINE_SCREENSHOTS names a folder that gets a picture of every page.
"""

from __future__ import annotations

import functools
import html
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flopline.history import publish
from tests.history import toy
from tests.history.toy import NAME, PLANTED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DERIVED = f"{NAME}_gflops"
VENDOR = Path(__file__).parent / "vendor" / "node_modules"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here (Debian: apt-get install chromium)"),
    pytest.mark.skipif(not VENDOR.is_dir(), reason="asv's scripts are not installed; nox -s pages does it"),
]

# Plots are canvases; what flot drew in them is put into the document, where a test can read it.
WITNESS = """<script>
setInterval(function () {
  $('.benchmark-plot, #main-graph').each(function () {
    var plot = $(this).data('plot');
    if (plot) $(this).attr('data-drawn', JSON.stringify(plot.getData().map(function (s) { return s.data; })));
  });
}, 100);
</script></body>"""


def local(match: re.Match[str]) -> str:
    """A reference to the installed copy of a script or style sheet that a page loads from elsewhere."""
    name = re.sub(r"-[\d.]+(?=\.min)", "", match["name"])
    found = [*VENDOR.rglob(name), *VENDOR.rglob(name.replace(".min", ""))]
    assert found, f"nothing installed is {name}"
    return f'{match["attribute"]}="vendor/{min(found, key=lambda path: len(path.parts)).relative_to(VENDOR)}"'


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files without a line for each."""

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def address(planted: toy.Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the pages are served, their scripts beside them."""
    command = [sys.executable, "-m", "asv", "publish"]
    subprocess.run(command, cwd=planted.root, check=True, capture_output=True)
    site = tmp_path_factory.mktemp("site") / "html"
    shutil.copytree(planted.root / ".asv" / "html", site)
    (site / "vendor").symlink_to(VENDOR)
    page = (site / "index.html").read_text()
    remote = r'(?P<attribute>src|href)="https://(?!github)[^"]*/(?P<name>[^"/]+)"(?: integrity="[^"]*")?'
    page = re.sub(remote, local, page).replace("</body>", WITNESS)
    (site / "index.html").write_text(page)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def rendered(address: str, tmp_path: Path) -> Callable[[str, str], str]:
    """The document of a page after its scripts ran."""
    common = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")

    def load(page: str, picture: str) -> str:
        assert BROWSER is not None
        command = [BROWSER, *common, f"--user-data-dir={tmp_path}/profile", "--window-size=1400,900"]
        command += ["--virtual-time-budget=8000"]
        if folder := os.environ.get("FLOPLINE_SCREENSHOTS"):
            shot = f"--screenshot={Path(folder).absolute()}/{picture}.png"
            subprocess.run([*command, shot, f"{address}/{page}"], check=True, capture_output=True, timeout=120)
        done = subprocess.run(
            [*command, "--dump-dom", f"{address}/{page}"], check=True, capture_output=True, text=True, timeout=120
        )
        return done.stdout

    return load


def drawn(document: str, mark: str) -> list[list[list[float]]]:
    """The series of a plot, each a list of (revision, value)."""
    (tag,) = re.findall(rf"<[^>]*{re.escape(mark)}[^>]*>", document)
    found = re.search(r'data-drawn="([^"]*)"', tag)
    assert found, f"nothing was drawn in {tag}"
    series: list[list[list[float]]] = json.loads(html.unescape(found[1]))
    return series


def cells(document: str, table: str) -> dict[str, list[str]]:
    """The rows of a table by their first cell, without tags."""
    (body,) = re.findall(rf"{table}.*?</table>", document, re.DOTALL)[:1]
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in re.findall(r"<tr.*?</tr>", body, re.DOTALL)]
    plain = [[html.unescape(re.sub(r"<[^>]*>", "", cell)).strip() for cell in row] for row in rows if row]
    return {row[0]: row[1:] for row in plain}


def test_the_grid_draws_gflops_beside_the_seconds(rendered: Callable[[str, str], str]) -> None:
    document = rendered("index.html", "grid")
    for name in (NAME, DERIVED):
        (series,) = drawn(document, f'id="summarygrid-{name}"')
        assert len(series) >= 14
    assert "Toy.kernel_product, GFLOPS" in document


@pytest.mark.parametrize(("strategy", "factor"), [("slowed", 1 / 1.4), ("quickened", 1 / 0.7), ("steady", 1.0)])
def test_a_graph_shows_a_slowdown_as_a_drop_in_gflops_and_a_speed_up_as_a_rise(
    rendered: Callable[[str, str], str], strategy: str, factor: float
) -> None:
    page = f"index.html#{DERIVED}?p-strategy=%27{strategy}%27&p-n=128"
    series: list[Any] = [
        points for points in drawn(rendered(page, f"graph-{strategy}"), 'id="main-graph"') if len(points) > 2
    ]
    values = [y for _, y in series[0]]
    assert len(values) == 14
    before, after = values[:PLANTED], values[PLANTED:]
    assert sum(after) / len(after) / (sum(before) / len(before)) == pytest.approx(factor, rel=0.03)


def test_the_regressions_page_holds_the_slowdown_in_gflops_and_nothing_else(
    rendered: Callable[[str, str], str],
) -> None:
    rows = cells(rendered("index.html#/regressions", "regressions"), 'id="regressions-body"')
    assert set(rows) == {f"{DERIVED}('slowed', {n})" for n in (64, 128)}
    for _, _, factor, before, after, *_ in rows.values():
        assert float(factor.removesuffix("x")) == pytest.approx(1 / 1.4, abs=0.03)
        assert float(before.split()[0]) > float(after.split()[0])


def test_the_list_colours_a_loss_of_gflops_red_and_a_gain_green(rendered: Callable[[str, str], str]) -> None:
    document = rendered("index.html#/summarylist", "list")
    colours = {}
    for row in re.findall(r"<tr.*?</tr>", document, re.DOTALL):
        if point := re.search(r"kernel_product(_gflops)?\?p-strategy='(\w+)'&amp;p-n=64\"", row):
            (change,) = re.findall(r'<td class="change(?: ([\w-]+))?"', row)
            colours["GFLOPS" if point[1] else "seconds", point[2]] = change
    red, green = "positive-change", "negative-change"  # asv's names, of seconds
    assert colours == {
        ("seconds", "slowed"): red,
        ("seconds", "quickened"): green,
        ("seconds", "steady"): "",
        ("GFLOPS", "slowed"): red,
        ("GFLOPS", "quickened"): green,
        ("GFLOPS", "steady"): "",
    }


def test_our_page_shows_the_newest_gflops_their_change_and_a_line(rendered: Callable[[str, str], str]) -> None:
    document = rendered(publish.PAGE, "summary")
    verdicts = dict(re.findall(r'<tr class="(\w+)" data-case="([^"]*)"', document)[::-1])
    assert set(verdicts) == {"regressed", "improved", "unchanged"}
    rows = cells(document, "<tbody")
    change = {label: values[2] for label, values in rows.items()}
    assert float(change["toy slowed n=64"].rstrip("%")) == pytest.approx(-28.6, abs=3)
    assert float(change["toy quickened n=64"].rstrip("%")) == pytest.approx(42.9, abs=4)
    assert document.count("<polyline") == len(rows) == len(toy.POINTS)
    assert {values[3] for values in rows.values()} == {"v1"}


def test_the_navigation_leads_to_our_page_and_our_page_to_the_graph(rendered: Callable[[str, str], str]) -> None:
    assert re.search(rf'<li id="nav-li-gflops"><a href="{publish.PAGE}">', rendered("index.html", "grid"))
    document = rendered(publish.PAGE, "summary")
    link = next(html.unescape(link) for link in re.findall(r'href="(index\.html#bench[^"]*)"', document))
    assert drawn(rendered(link, "linked"), 'id="main-graph"')
