from __future__ import annotations

import hashlib
import json
import math
import socket
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from flopline import data
from flopline.data import (
    Batches,
    DataError,
    Source,
    Table,
    read,
    resolve,
    shuffled,
    surrogate,
    with_replacement,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Sampler = Callable[[int, int, torch.Generator], Batches]

SHA256 = "74c75fd71783f1e6b71f8a622b993dc592897a97cd689c5090a07147a1b097b3"
SHA256_LF = "10ee06e6cfb27dae6b44213d421d217012fb1f9b697592e73a4e4016b52d425f"
either_sampler = pytest.mark.parametrize("sampler", [shuffled, with_replacement])


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_real_file_has_the_published_bytes_and_numbers(airfoil: Path) -> None:
    content = airfoil.read_bytes()
    assert len(content) == 59_984
    assert hashlib.sha256(content).hexdigest() == SHA256
    assert content.count(b"\r\n") == content.count(b"\n") == 1503
    values = data.parse(content)
    assert values.shape == (1503, 6)
    parsed = hashlib.sha256(values.astype("<f8").tobytes()).hexdigest()
    assert parsed == "11fab2c660f61031935f9995d27929df39a175d3551271b397c8aa254b19b6b6"
    means = [
        2886.3805721889553,
        6.782302062541517,
        0.13654823685961226,
        50.860745176314175,
        0.011139880391217556,
    ]
    assert values.mean(0) == pytest.approx([*means, 124.83594278110434], rel=1e-8)
    deviations = [
        3151.524202236218,
        5.916159025472469,
        0.09350960518948366,
        15.56760296639676,
        0.013145858876819499,
    ]
    assert values.std(0) == pytest.approx([*deviations, 6.896361277488788], rel=1e-8)


def test_the_table_is_the_books_up_to_float32_rounding(airfoil: Path, table: Table) -> None:
    values = data.parse(airfoil.read_bytes()).astype(np.float32)
    book = torch.from_numpy((values - values.mean(0)) / values.std(0))[:1500]
    assert (table.X.shape, table.y.shape, table.X.dtype, table.y.dtype) == (
        (1500, 5),
        (1500,),
        *[torch.float64] * 2,
    )
    assert float((table.X - book[:, :5]).abs().max()) <= 5e-5
    assert float((table.y - book[:, 5]).abs().max()) <= 5e-5
    assert table.source == Source("file", "airfoil", str(airfoil), SHA256)


def test_the_means_of_the_training_rows_are_not_quite_zero(table: Table) -> None:
    means = [-0.00140479, -0.00298089, 0.00074748, 0.00144669, -0.00634555]
    assert table.X.mean(0).tolist() == pytest.approx(means, abs=1e-5)
    assert float(table.y.mean()) == pytest.approx(0.00555615, abs=1e-5)


def test_a_file_with_converted_line_endings_is_accepted_and_labelled(
    airfoil: Path, table: Table, tmp_path: Path
) -> None:
    path = tmp_path / "lf.dat"
    path.write_bytes(airfoil.read_bytes().replace(b"\r\n", b"\n"))
    converted = read(path, "file")
    assert converted.source == Source("file", "airfoil (LF)", str(path), SHA256_LF)
    assert torch.equal(table.X, converted.X)
    assert torch.equal(table.y, converted.y)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda content: content[:29_990],
            "it has 761 lines that do not read as 6 tab-separated numbers",
        ),
        (
            lambda content: b"".join(content.splitlines(keepends=True)[:1000]),
            "it has 1000 rows of 6 numbers instead",
        ),
        (lambda _: b"", "the file is empty"),
        (lambda _: b"\r\n\r\n", "it "),
        (
            lambda content: content.replace(b"126.201", b"NaN", 1),
            "row 1, column 6 is nan, which is no finite number",
        ),
        (
            lambda content: content.replace(b"125.201", b"-inf", 1),
            "row 2, column 6 is -inf, which is no finite number",
        ),
        (
            lambda content: content.replace(b"126.201", b"126.202", 1),
            "but other numbers, another order or other line",
        ),
        (
            lambda content: b"".join(
                line.rpartition(b"\t")[0] + b"\n" for line in content.splitlines()
            ),
            "it has 1503 rows of 5 numbers instead of 1503 of 6",
        ),
        (
            lambda content: b"f\ta\tc\tv\td\tp\r\n" + content,
            "it has 1504 lines that do not read as 6 tab-separated",
        ),
        (
            lambda content: content.replace(b"\t", b","),
            "it has 1503 lines that do not read as 6 tab-separated numbers",
        ),
        (
            lambda content: b"".join(reversed(content.splitlines(keepends=True))),
            "other numbers, another order or other",
        ),
        (
            lambda _: b"\xff\xfe\x00<html>",
            "it has 1 lines that do not read as 6 tab-separated numbers",
        ),
    ],
    ids=[
        *("truncated", "short", "empty", "blank", "nan", "infinite"),
        *("changed", "columns", "header", "commas", "reversed", "binary"),
    ],
)
def test_a_file_that_is_not_the_table_is_refused_with_what_is_wrong(
    airfoil: Path, tmp_path: Path, damage: Callable[[bytes], bytes], message: str
) -> None:
    path = tmp_path / "damaged.dat"
    path.write_bytes(damage(airfoil.read_bytes()))
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(DataError) as caught:
        read(path, "file")
    text = str(caught.value)
    assert text.startswith(f"{path} is not the airfoil table: ")
    assert message in text
    assert f"Expected SHA-256 {SHA256}, found {found}." in text


class Site(ThreadingHTTPServer):
    """A real web server with the pages it is given; a page named /cut is announced longer than it is."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Page)
        self.pages: dict[str, bytes] = {}
        self.asked: list[str] = []

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class Page(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        body = self.server.pages.get(self.path)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"") + 100 * (self.path == "/cut")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """The server, and no FLOPLINE_DATA, so that a look into the cache and a download can happen."""
    monkeypatch.delenv("FLOPLINE_DATA")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Site() as site:
        thread = Thread(target=site.serve_forever, args=(0.01,))
        thread.start()
        yield site
        site.shutdown()
        thread.join()


def test_a_path_wins_over_the_variable(airfoil: Path, tmp_path: Path) -> None:
    assert resolve(airfoil, cache=tmp_path).source == Source(
        "file", "airfoil", str(airfoil), SHA256
    )


def test_the_variable_wins_over_the_cache(
    airfoil: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOPLINE_DATA", str(airfoil))
    (tmp_path / data.FILE).write_bytes(airfoil.read_bytes())
    assert resolve(cache=tmp_path).source == Source("file", "airfoil", str(airfoil), SHA256)


@pytest.mark.parametrize("default", [True, False])
def test_the_cache_wins_over_a_download(
    airfoil: Path, tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch, *, default: bool
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cached = tmp_path / "flopline" / "airfoil_self_noise.dat"
    cached.parent.mkdir()
    cached.write_bytes(airfoil.read_bytes())
    site.pages["/airfoil"] = airfoil.read_bytes()
    found = resolve(cache=None if default else cached.parent, url=site.url("/airfoil"))
    assert found.source == Source("cache", "airfoil", str(cached), SHA256)
    assert site.asked == []


def test_a_download_is_shown_on_stderr_and_kept_for_the_next_time(
    airfoil: Path, table: Table, tmp_path: Path, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.pages["/airfoil"] = airfoil.read_bytes()
    cached = tmp_path / "deep" / "cache" / "airfoil_self_noise.dat"
    for kind in ("download", "cache"):
        found = resolve(cache=cached.parent, url=site.url("/airfoil"))
        assert found.source == Source(kind, "airfoil", str(cached), SHA256)
        assert torch.equal(table.X, found.X)
    assert site.asked == ["/airfoil"]
    assert list(cached.parent.iterdir()) == [cached]
    assert cached.read_bytes() == airfoil.read_bytes()
    shown = capsys.readouterr()
    assert "100%" in shown.err
    assert shown.out == ""


@pytest.mark.parametrize(
    "sent", [b"", b"<html>Please log in</html>", b"800\t0\t0.3048\t71.3\t0.00266337\t126.201\r\n"]
)
def test_a_download_of_wrong_bytes_is_an_error_and_leaves_nothing(
    tmp_path: Path, site: Site, sent: bytes
) -> None:
    site.pages["/wrong"] = sent
    with pytest.raises(
        DataError,
        match=f"what {site.url('/wrong')} sent is not the airfoil table, nothing was kept",
    ):
        resolve(cache=tmp_path, url=site.url("/wrong"))
    assert site.asked == ["/wrong"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "why"),
    [("/missing", "HTTPError"), ("/cut", "ChunkedEncodingError"), (None, "ConnectionError")],
)
def test_a_source_that_cannot_be_reached_leads_to_a_surrogate_that_says_so(
    tmp_path: Path, site: Site, path: str | None, why: str
) -> None:
    site.pages["/cut"] = b"800\t0\t0.3048"
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}/airfoil"
    url = site.url(path) if path else nobody
    source = resolve(cache=tmp_path, url=url).source
    assert (source.kind, source.name, source.sha256) == ("surrogate", "surrogate", "")
    assert source.detail.startswith(f"{url} could not be reached ({why})")
    assert list(tmp_path.iterdir()) == []


def test_a_corrupt_cached_file_is_an_error_and_is_not_overwritten(
    tmp_path: Path, site: Site
) -> None:
    cached = tmp_path / data.FILE
    cached.write_bytes(b"800\t0\t0.3048\r\n")
    with pytest.raises(
        DataError,
        match=r"airfoil_self_noise\.dat is not the airfoil table: it has 1 rows of 3 numbers",
    ):
        resolve(cache=tmp_path, url=site.url("/airfoil"))
    assert cached.read_bytes() == b"800\t0\t0.3048\r\n"
    assert site.asked == []


@pytest.mark.parametrize("asked", ["FLOPLINE_DATA", "the path"])
@pytest.mark.parametrize("folder", [True, False])
def test_a_path_that_is_no_file_is_an_error(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch, asked: str, *, folder: bool
) -> None:
    path = tmp_path if folder else tmp_path / "absent.dat"
    monkeypatch.setenv("FLOPLINE_DATA", str(path) if asked == "FLOPLINE_DATA" else "surrogate")
    with pytest.raises(
        FileNotFoundError,
        match=f"^{asked} names '{path}', which is no file; give airfoil_self_noise",
    ):
        resolve(
            None if asked == "FLOPLINE_DATA" else path, cache=tmp_path, url=site.url("/airfoil")
        )
    assert site.asked == []


def test_the_word_surrogate_asks_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source("surrogate", "surrogate", "asked for; torch generator, seed 0", "")
    assert resolve(cache=tmp_path).source == source
    monkeypatch.setenv("FLOPLINE_DATA", str(tmp_path / "absent.dat"))
    assert resolve("surrogate", cache=tmp_path).source == source


def joined(table: Table) -> Tensor:
    return torch.cat([table.X, table.y[:, None]], 1)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_surrogate_has_the_moments_of_the_real_rows(seed: int) -> None:
    reference = Path(__file__).parents[2] / "shared" / "reference" / "chapter_reference.json"
    mean, second = data._MEAN, data._SECOND_MOMENT  # noqa: SLF001  # where the reference is absent, the recipe is tested
    if reference.is_file():
        moments = json.loads(reference.read_text(encoding="utf-8"))["surrogate_moments"]
        mean, second = moments["mean"], moments["second_moment"]
    z = joined(surrogate("a test", seed=seed))
    assert z.shape == (1500, 6)
    torch.testing.assert_close(
        z.mean(0), torch.tensor(mean, dtype=torch.float64), rtol=0, atol=1e-12
    )
    torch.testing.assert_close(
        z.T @ z / 1500, torch.tensor(second, dtype=torch.float64), rtol=0, atol=1e-12
    )


def test_the_moments_in_the_module_are_those_of_the_real_rows(table: Table) -> None:
    z = joined(table)
    mean, second = data._MEAN, data._SECOND_MOMENT  # noqa: SLF001  # numbers that nothing public returns
    torch.testing.assert_close(
        z.mean(0), torch.tensor(mean, dtype=torch.float64), rtol=0, atol=1e-13
    )
    torch.testing.assert_close(
        z.T @ z / 1500, torch.tensor(second, dtype=torch.float64), rtol=0, atol=1e-13
    )


def test_a_surrogate_depends_on_its_seed_alone_and_names_it() -> None:
    state = torch.get_rng_state()
    first, again, other = (
        surrogate(why, seed=seed) for why, seed in (("one", 3), ("two", 3), ("one", 4))
    )
    assert torch.equal(joined(first), joined(again))
    assert not torch.equal(joined(first), joined(other))
    assert first.source == Source("surrogate", "surrogate", "one; torch generator, seed 3", "")
    assert replace(first.source, detail="two; torch generator, seed 3") == again.source
    assert torch.equal(state, torch.get_rng_state())


def test_minibatches_follow_the_rows_and_the_last_one_is_short() -> None:
    batches = Batches(torch.tensor([5, 3, 3, 0, 1, 2, 6]), 3)
    for _ in range(2):
        assert [rows.tolist() for rows in batches] == [[5, 3, 3], [0, 1, 2], [6]]
    assert len(batches) == 3


@either_sampler
@given(n=st.integers(1, 60), size=st.integers(1, 60), seed=st.integers(0, 999))
def test_an_epoch_has_n_rows_in_full_minibatches_but_the_last(
    sampler: Sampler, n: int, size: int, seed: int
) -> None:
    size = min(n, size)
    batches = sampler(n, size, seeded(seed))
    lengths = [len(rows) for rows in batches]
    assert lengths[:-1] == [size] * (len(lengths) - 1)
    assert 1 <= lengths[-1] <= size
    assert sum(lengths) == n
    assert len(batches) == len(lengths) == math.ceil(n / size)
    rows = torch.cat(list(batches))
    assert rows.dtype == torch.int64
    assert 0 <= int(rows.min()) <= int(rows.max()) < n


@given(n=st.integers(1, 60), seed=st.integers(0, 999))
def test_an_epoch_without_replacement_has_every_row_once(n: int, seed: int) -> None:
    assert sorted(shuffled(n, 1, seeded(seed)).rows.tolist()) == list(range(n))


def test_an_epoch_with_replacement_repeats_rows_as_independent_draws_do() -> None:
    # Distinct rows among 1000 draws of 1000: mean 632.3, standard deviation 9.8; six of them leave 2e-9 of epochs out.
    distinct = [len(with_replacement(1000, 10, seeded(seed)).rows.unique()) for seed in range(20)]
    assert 632.3 - 6 * 9.8 < min(distinct) < max(distinct) < 632.3 + 6 * 9.8
    assert len(set(distinct)) > 1


@either_sampler
@pytest.mark.parametrize("position", [0, 19])
def test_every_row_is_as_likely_as_any_other_at_a_position(sampler: Sampler, position: int) -> None:
    generator = seeded(0)
    drawn = torch.stack([sampler(20, 7, generator).rows[position] for _ in range(4000)])
    counts = drawn.bincount(minlength=20).double()
    # chi-square with 19 degrees of freedom: a right sampler is outside with probability 2e-6, a fixed order always.
    assert 2.255 < float(((counts - 200) ** 2 / 200).sum()) < 63.68


@either_sampler
def test_equal_generators_give_equal_epochs_and_one_generator_fresh_ones(sampler: Sampler) -> None:
    state = torch.get_rng_state()
    generator = seeded(7)
    first, second = sampler(1500, 100, generator), sampler(1500, 100, generator)
    assert torch.equal(first.rows, sampler(1500, 100, seeded(7)).rows)
    assert not torch.equal(first.rows, second.rows)
    assert torch.equal(state, torch.get_rng_state())


@either_sampler
@pytest.mark.parametrize("size", [-1, 0, 11])
def test_a_minibatch_size_that_the_rows_cannot_fill_is_refused(sampler: Sampler, size: int) -> None:
    with pytest.raises(
        ValueError,
        match=f"the minibatch size is {size}; allowed are 1 to 10, the number of examples",
    ):
        sampler(10, size, seeded(0))
