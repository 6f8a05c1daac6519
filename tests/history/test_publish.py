"""Tests of what asv publishes about a planted slowdown and speed-up, with the plugin."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from flopline.history import publish
from tests.history.support import toy
from tests.history.support.toy import COMBINATIONS, FLOPS, NAME, PLANTED, SLOWER

if TYPE_CHECKING:
    from pathlib import Path

DERIVED = f"{NAME}_gflops"


def asv_publish(project: toy.Project) -> str:
    """Publishes the pages and returns what asv printed, in one line."""
    command = [sys.executable, "-m", "asv", "publish"]
    done = subprocess.run(command, cwd=project.root, capture_output=True, text=True, check=False)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    return " ".join(output.split())


def pages(project: toy.Project) -> Path:
    return project.root / ".asv" / "html"


@pytest.fixture(scope="module")
def site(planted: toy.Project) -> Path:
    """The published pages."""
    asv_publish(planted)
    return pages(planted)


def load(path: Path) -> Any:  # noqa: ANN401  # whatever the page reads
    return json.loads(path.read_text())


def test_gflops_are_a_benchmark_beside_the_seconds(site: Path) -> None:
    benchmarks = load(site / "index.json")["benchmarks"]
    assert set(benchmarks) == {NAME, DERIVED}
    assert benchmarks[DERIVED]["unit"] == "GFLOPS"
    assert benchmarks[DERIVED]["params"] == benchmarks[NAME]["params"]


def test_a_graph_holds_flops_over_seconds_of_every_commit(site: Path) -> None:
    graphs = list(site.glob(f"graphs/**/{DERIVED}.json"))
    (path,) = (path for path in graphs if "summary" not in path.parts)
    gflops = dict(load(path))
    seconds = dict(load(path.with_name(f"{NAME}.json")))
    assert list(gflops) == list(seconds)
    for revision, rates in gflops.items():
        times = np.array(seconds[revision])
        assert rates == pytest.approx(np.array(FLOPS) / times / 1e9)
    assert load(site / "graphs" / "summary" / f"{DERIVED}.json"), "the grid draws this one"


def test_only_the_slowdown_is_a_regression_and_it_is_in_gflops(
    site: Path, planted: toy.Project
) -> None:
    content = load(site / "regressions.json")
    rows = [publish.Regression(*row) for row in content["regressions"]]
    entries = {row.entry for row in rows}
    assert entries == {f"{DERIVED}('slowed', 64)", f"{DERIVED}('slowed', 128)"}
    commits = load(site / "index.json")["revision_to_hash"]
    for row in rows:
        graphs = [site / row.graph, site / f"{row.graph}.json"]
        assert any(path.is_file() for path in graphs)
        assert row.latest == pytest.approx(row.best / SLOWER, rel=0.05)
        assert row.combination is not None
        _, n = COMBINATIONS[row.combination]
        seconds = toy.SECONDS * (n / 64) ** 3
        assert row.best == pytest.approx(FLOPS[row.combination] / seconds / 1e9, rel=0.05)
        (jump,) = row.jumps
        revision = publish.Jump(*jump).after
        assert commits[str(revision)] == planted.commits[PLANTED]


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
    message = r"summarylist\.js holds 'if \(change > 5\)' 2 times"
    with pytest.raises(publish.ContractError, match=message):
        publish.edit(path, publish.LIST)


def test_asv_silently_ignores_a_plugin_without_a_leading_dot(
    planted: toy.Project, tmp_path: Path
) -> None:
    project = planted.copy(tmp_path / "copy")
    shutil.rmtree(pages(project), ignore_errors=True)
    configuration = project.root / "asv.conf.json"
    text = configuration.read_text()
    configuration.write_text(text.replace(".flopline.history", "flopline.history"))
    asv_publish(project)
    assert DERIVED not in load(pages(project) / "index.json")["benchmarks"]


def test_results_that_are_left_out_are_named(project: toy.Project) -> None:
    toy.git(project.root, "checkout", "-q", "-b", "side")
    beside = project.commit("beside")
    toy.git(project.root, "checkout", "-q", "main")
    paths = [project.record(commit, toy.speeds()) for commit in project.commits]
    paths[0].write_text("{")
    output = asv_publish(project)
    assert f"measured, but not on HEAD, so on no page: {beside[:8]}" in output
    assert "left out: " in output
    assert paths[0].name in output


HOSTILE = {
    "env_vars": None,
    "results": [[NAME]],
    "result_columns": 3,
    "params": {"machine": "counter", "cpu": ["a"]},
    "durations": "none",
}


def test_results_that_would_break_asv_are_named_and_left_out(project: toy.Project) -> None:
    paths = [project.record(commit, toy.speeds()) for commit in project.commits]
    while len(paths) <= len(HOSTILE):
        paths.append(project.record(project.commit(), toy.speeds()))
    for path, (key, value) in zip(paths, HOSTILE.items(), strict=False):
        path.write_text(json.dumps({**load(path), key: value}))
    output = asv_publish(project)
    for path in paths[: len(HOSTILE)]:
        assert path.name in output.replace(" ", "")
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"regressions_thresholds": {"(": 0.1}}, "no regular expression"),
        ({"branches": [None]}, "git knows no commit 'master'"),
        ({"project": ["toy"]}, "project and repo are names"),
    ],
)
def test_a_configuration_that_would_break_asv_is_refused(
    project: toy.Project, change: dict[str, Any], message: str
) -> None:
    project.record(project.commits[0], toy.speeds())
    content = json.dumps({**toy.CONFIGURATION, **change})
    (project.root / "asv.conf.json").write_text(content)
    command = [sys.executable, "-m", "asv", "publish"]
    done = subprocess.run(command, cwd=project.root, capture_output=True, text=True, check=False)
    output = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 1
    assert message in output
    assert "Traceback" not in output
