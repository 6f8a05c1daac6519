"""The page, opened in a browser, shows the records and asks nobody for anything."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flopline import bench, matmul, records
from flopline.chapter import ceilings, figures, prediction, training
from flopline.chapter import page as report
from flopline.chapter import sheets as tables
from flopline.chapter.claims import assess
from flopline.data import surrogate
from flopline.workload import Case
from tests.support import browser

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> report.Records:
    """Small records, measured here: few rounds, few seeds, few claims."""
    path = tmp_path_factory.mktemp("bench") / "bench.json"
    command = [
        sys.executable,
        "-m",
        "flopline",
        "bench",
        "--json",
        str(path),
        "--",
        "-k",
        "not element and not 1]",
    ]
    subprocess.run(
        [*command, "--benchmark-max-time=0.002", "--benchmark-min-rounds=3"],
        cwd=ROOT, env=os.environ | {"FLOPLINE_DATA": "surrogate"}, capture_output=True, check=True,
    )  # fmt: skip
    measured, table = bench.load(path), surrogate("a test")
    chosen = [
        dataclasses.replace(training.EXPERIMENTS[name], strategy="manual")
        for name in ("gd", "sgd", "batch100", "batch10", "concise")
    ]
    common = {
        "machine": measured.machine,
        "threads": 1,
        "started": "2026-11-21T00:00:00Z",
        "seconds": 1.0,
    }
    workloads = [matmul.prepare(Case("matmul", name, {"n": 64})) for name in ("row", "full")]
    found = ceilings.ceilings(patience=0.1)
    times = prediction.measure(workloads)
    return report.Records(
        bench=measured,
        training=training.Training(
            problem=training.problem(table),
            experiments=training.train(chosen, table, range(3)),
            flopline="1",
            **common,  # type: ignore[arg-type]  # fields of every record
        ),
        claims=assess.assess(["C2", "C6", "C10", "C11", "C13", "C15"], table),
        machine=prediction.Machine(
            ceilings=found,
            cases=tuple(
                prediction.explain(w, *both, found)
                for w, both in zip(workloads, times, strict=True)
            ),
            flopline="1",
            **common,  # type: ignore[arg-type]  # as above
        ),
    )


@pytest.fixture(scope="session")
def written(shown: report.Records, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    report.write(shown, folder / "page.html", folder)
    return folder / "page.html"


NAMES = ["ladder", "roofline", "blocks", "epochs", "loss", "noise"]


def test_every_picture_is_saved_as_svg_and_png_too(written: Path) -> None:
    for name in NAMES:
        assert (written.parent / f"{name}.svg").read_text().startswith("<?xml")
        assert (written.parent / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_names_no_address_but_that_of_the_chapter_and_has_no_script(written: Path) -> None:
    text = re.sub(r"data:image/svg\+xml;base64,[\w+/=]+", "", written.read_text())
    assert set(re.findall(r'(?:src|href|srcset)="((?:https?:)?//[^"]*)"', text)) == {report.CHAPTER}
    assert "<script" not in text


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200], ids=["phone", "desk"])
def test_a_browser_shows_every_picture_and_complains_and_asks_for_nothing(
    written: Path, tmp_path: Path, width: int, *, dark: bool
) -> None:
    with browser.page(tmp_path) as page:
        page.open(written.as_uri(), width=width, dark=dark)
        images = page.evaluate(
            "Promise.all([...document.images].map(async i => { await i.decode(); "
            "return [i.id, i.naturalWidth, i.alt, i.currentSrc == i.src] }))"
        )
        assert [name for name, *_ in images] == [f"picture-{name}" for name in NAMES]
        for _, natural, alternative, is_light in images:
            assert natural > 100
            assert len(alternative) > 30
            assert is_light is not dark
        assert (
            page.evaluate("document.documentElement.scrollWidth") <= width
        )  # nothing hangs over the edge
        assert page.complaints() == []
        assert page.requests() == [written.as_uri()]


def test_the_tables_show_what_the_records_hold(
    written: Path, shown: report.Records, tmp_path: Path
) -> None:
    with browser.page(tmp_path) as page:
        page.open(written.as_uri())
        epochs = {(line[0], line[1]): line[2] for line in page.rows("#data-epochs tbody")}
        for row in shown.bench.rows:
            case = Case.parse(row.case)
            if case.family == "sgd":
                assert epochs[case.strategy, str(case.axes["batch"])] == f"{row.seconds:.6g}"
        ladder = {(line[0], line[1]): float(line[2]) for line in page.rows("#data-ladder tbody")}
        assert len(ladder) == sum(row.case.startswith("matmul") for row in shown.bench.rows)
        for row in shown.bench.rows:
            case = Case.parse(row.case)
            if case.family == "matmul":
                label = " ".join(
                    [case.strategy, *(str(case.axes[a]) for a in case.axes if a == "block")]
                )
                assert ladder[str(case.axes["n"]), label] == pytest.approx(
                    row.gflops, rel=1e-3, abs=1e-4
                )
        losses = page.rows("#data-loss tbody")
        assert len(losses) == sum(len(trained.examples) for trained in shown.training.experiments)
        judged = page.rows("#data-claims tbody")
        assert [line[0] for line in judged] == [each.id for each in shown.claims.assessed]
        for line, each in zip(judged, shown.claims.assessed, strict=True):
            assert line[3].endswith(each.answer)
            assert all(tables.quantity(one) in line[2] for one in each.measured)
        predicted = page.rows("#data-predicted tbody")
        shares = [(f"{row.explained:.2f}", f"{row.of_peak:.3f}") for row in shown.machine.cases]
        assert [(line[5].removesuffix(" !"), line[7]) for line in predicted] == shares


def test_the_page_can_be_read_without_a_mouse_and_by_a_screen_reader(
    written: Path, tmp_path: Path
) -> None:
    with browser.page(tmp_path) as page:
        page.open(written.as_uri())
        assert page.evaluate("document.documentElement.lang") == "en"
        assert page.evaluate("document.querySelectorAll('h1').length") == 1
        unlabelled = "[...document.querySelectorAll('[tabindex]')].filter(e => !e.ariaLabel).length"
        assert page.evaluate(unlabelled) == 0
        targets = "[...document.querySelectorAll('a[href^=\"#\"]')].filter(a => !document.querySelector(a.hash)).length"
        assert page.evaluate(targets) == 0
        assert page.evaluate("document.activeElement === document.body") is True
        page.ask(
            "Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9
        )
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content"


def test_a_surrogate_is_named_in_every_caption_of_training(shown: report.Records) -> None:
    pictures = figures.pictures(shown.bench, shown.training, shown.claims, shown.machine)
    for picture in pictures:
        if picture.name in ("epochs", "loss", "noise"):
            assert "surrogate" in picture.caption, picture.name
    assert "The training data are a surrogate" in report.html(shown, pictures)


def test_pictures_of_the_same_records_are_the_same_bytes(shown: report.Records) -> None:
    one, other = (figures.loss(shown.training).svg("light") for _ in range(2))
    assert one == other


def test_every_thing_has_a_colour_and_a_marker_of_its_own() -> None:
    for theme in figures.COLOURS.values():
        assert len(set(theme.values())) == len(theme)
        assert set(theme) == set(figures.MARKERS)


def test_records_of_other_machines_or_data_are_refused_and_nothing_is_overwritten(
    shown: report.Records, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    page.write_text("before")
    elsewhere = dataclasses.replace(
        shown.machine, machine=shown.machine.machine | {"cpu": "another"}
    )
    with pytest.raises(records.RecordError, match="come from different machines: cpu is"):
        report.write(dataclasses.replace(shown, machine=elsewhere), page, tmp_path)
    with pytest.raises(
        records.RecordError, match="come from different data: 'surrogate' and 'airfoil'"
    ):
        report.write(
            dataclasses.replace(shown, claims=dataclasses.replace(shown.claims, source="airfoil")),
            page,
            tmp_path,
        )
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]
    assert page.read_text() == "before"
