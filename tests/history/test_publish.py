"""What asv's own publishing makes of a planted slowdown and speed-up, with the plugin."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from flopline.history import publish
from tests.history.support import toy
from tests.history.support.toy import FLOPS, NAME, PLANTED, POINTS

if TYPE_CHECKING:
    from pathlib import Path

DERIVED = f"{NAME}_gflops"


def asv(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "asv", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(planted: toy.Project) -> Path:
    """The published pages."""
    done = asv(planted.root, "publish")
    assert done.returncode == 0, done.stdout + done.stderr
    return planted.root / ".asv" / "html"


def load(path: Path) -> Any:  # noqa: ANN401  # whatever the page reads
    return json.loads(path.read_text())


def test_gflops_are_a_benchmark_beside_the_seconds(site: Path) -> None:
    listed = load(site / "index.json")["benchmarks"]
    assert set(listed) == {NAME, DERIVED}
    assert listed[DERIVED]["unit"] == "GFLOPS"
    assert listed[DERIVED]["params"] == listed[NAME]["params"]


def test_a_graph_holds_flops_over_seconds_of_every_commit(site: Path) -> None:
    (path,) = (
        path for path in site.glob(f"graphs/**/{DERIVED}.json") if "summary" not in path.parts
    )
    rates, seconds = load(path), load(path.with_name(f"{NAME}.json"))
    assert [revision for revision, _ in rates] == [revision for revision, _ in seconds]
    for (_, found), (_, times) in zip(rates, seconds, strict=True):
        assert found == pytest.approx(
            [work / time / 1e9 for work, time in zip(FLOPS, times, strict=True)]
        )
    assert load(site / "graphs" / "summary" / f"{DERIVED}.json"), "the grid draws this one"


def test_the_slowdown_is_a_regression_in_gflops_and_the_speed_up_is_none(
    site: Path, planted: toy.Project
) -> None:
    found = load(site / "regressions.json")["regressions"]
    assert {row[0] for row in found} == {f"{DERIVED}('slowed', {n})" for n in (64, 128)}
    revisions = {
        commit: int(revision)
        for revision, commit in load(site / "index.json")["revision_to_hash"].items()
    }
    for _, path, _, index, last, best, jumps in found:
        assert (site / path).is_file() or (site / f"{path}.json").is_file()
        assert last == pytest.approx(best / 1.4, rel=0.05)
        assert best == pytest.approx(
            FLOPS[index] / toy.SECONDS / 1e9 / (POINTS[index][1] / 64) ** 3, rel=0.05
        )
        assert [jump[1] for jump in jumps] == [revisions[planted.commits[PLANTED]]]


def test_more_gflops_is_the_good_direction_in_the_list(site: Path) -> None:
    script = (site / "summarylist.js").read_text()
    assert "better * change > 5" in script
    assert "higher_is_better ? -1 : 1" in script


def test_our_page_opens_from_the_navigation_and_links_to_graphs(site: Path) -> None:
    assert f'href="{publish.PAGE}">GFLOPS' in (site / "index.html").read_text()
    page = (site / publish.PAGE).read_text()
    assert f"index.html#{DERIVED}?" in page
    assert "https://" not in page


def test_a_page_of_another_asv_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "summarylist.js"
    path.write_text("if (change > 5) if (change > 5)")
    with pytest.raises(
        publish.ContractError, match=r"summarylist\.js holds 'if \(change > 5\)' 2 times"
    ):
        publish.edit(path, publish.LIST)


def test_a_plugin_without_a_leading_dot_would_be_ignored_in_silence(
    planted: toy.Project, tmp_path: Path
) -> None:
    root = tmp_path / "copy"
    shutil.copytree(planted.root, root)
    text = (root / "asv.conf.json").read_text()
    (root / "asv.conf.json").write_text(text.replace(".flopline.history", "flopline.history"))
    assert asv(root, "publish").returncode == 0
    assert DERIVED not in load(root / ".asv" / "html" / "index.json")["benchmarks"]


def test_what_was_left_out_is_said(project: toy.Project) -> None:
    toy.git(project.root, "checkout", "-q", "-b", "side")
    beside = project.commit("beside")
    toy.git(project.root, "checkout", "-q", "main")
    paths = [project.record(commit, toy.speeds()) for commit in project.commits]
    paths[0].write_text("{")
    done = asv(project.root, "publish")
    assert done.returncode == 0, done.stdout + done.stderr
    said = " ".join((done.stdout + done.stderr).split())
    assert f"measured, but not on HEAD, so in no page: {beside[:8]}" in said
    assert f"left out: {paths[0].relative_to(project.root)}" in said or paths[0].name in said
