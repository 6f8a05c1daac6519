from __future__ import annotations

import hashlib
import math
import socket
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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
    DataError,
    Minibatches,
    MinibatchSizeError,
    NoFileError,
    Source,
    Table,
    many_draws,
    read,
    resolve,
    shuffled,
    surrogate,
    with_replacement,
)
from tests.support import airfoil as facts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Sampler = Callable[[int, int, torch.Generator], Minibatches]

either_sampler = pytest.mark.parametrize("sampler", [shuffled, with_replacement])


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def accepted(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with the form of the table, whose hashes take the place of the real ones."""
    path = tmp_path_factory.mktemp("made") / data.FILE
    content = facts.lookalike()
    path.write_bytes(content)
    converted = content.replace(b"\r\n", b"\n")
    monkeypatch.setattr(data, "SHA256", hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(data, "SHA256_LF", hashlib.sha256(converted).hexdigest())
    return path


def test_the_real_file_has_the_published_bytes(airfoil: Path) -> None:
    content = airfoil.read_bytes()
    assert len(content) == 59_984
    assert hashlib.sha256(content).hexdigest() == facts.SHA256 == data.SHA256
    assert content.count(b"\r\n") == content.count(b"\n") == 1503
    converted = content.replace(b"\r\n", b"\n")
    assert hashlib.sha256(converted).hexdigest() == facts.SHA256_LF == data.SHA256_LF


def test_the_real_file_has_the_published_numbers(airfoil: Path) -> None:
    values = data.parse(airfoil.read_bytes())
    assert values.shape == (1503, 6)
    parsed = hashlib.sha256(values.astype("<f8").tobytes()).hexdigest()
    assert parsed == "11fab2c660f61031935f9995d27929df39a175d3551271b397c8aa254b19b6b6"
    means = [
        2886.3805721889553,
        6.782302062541517,
        0.13654823685961226,
        50.860745176314175,
        0.011139880391217556,
        124.83594278110434,
    ]
    assert values.mean(0) == pytest.approx(means, rel=1e-8)
    deviations = [
        3151.524202236218,
        5.916159025472469,
        0.09350960518948366,
        15.56760296639676,
        0.013145858876819499,
        6.896361277488788,
    ]
    assert values.std(0) == pytest.approx(deviations, rel=1e-8)


def test_the_table_is_the_books_up_to_float32_rounding(airfoil: Path, table: Table) -> None:
    values = data.parse(airfoil.read_bytes()).astype(np.float32)
    book = torch.from_numpy((values - values.mean(0)) / values.std(0))[:1500]
    assert float((table.X - book[:, :5]).abs().max()) <= 5e-5
    assert float((table.y - book[:, 5]).abs().max()) <= 5e-5


def test_the_real_table_names_its_file(airfoil: Path, table: Table) -> None:
    assert table.source == Source("file", "airfoil", str(airfoil), facts.SHA256)


def test_a_table_has_1500_rows_of_5_features_and_a_label(rows: Table) -> None:
    assert (rows.X.shape, rows.X.dtype) == ((1500, 5), torch.float64)
    assert (rows.y.shape, rows.y.dtype) == ((1500,), torch.float64)


def test_the_means_of_the_training_rows_are_not_quite_zero(rows: Table) -> None:
    means = [-0.00140479, -0.00298089, 0.00074748, 0.00144669, -0.00634555]
    assert rows.X.mean(0).tolist() == pytest.approx(means, abs=1e-5)
    assert float(rows.y.mean()) == pytest.approx(0.00555615, abs=1e-5)


def test_a_file_with_converted_line_endings_is_accepted_and_labelled(
    accepted: Path, tmp_path: Path
) -> None:
    path = tmp_path / "lf.dat"
    path.write_bytes(accepted.read_bytes().replace(b"\r\n", b"\n"))
    original, converted = read(accepted, "file"), read(path, "file")
    assert original.source == Source("file", "airfoil", str(accepted), data.SHA256)
    assert converted.source == Source("file", "airfoil (LF)", str(path), data.SHA256_LF)
    assert torch.equal(original.X, converted.X)
    assert torch.equal(original.y, converted.y)


def first_1000_rows(content: bytes) -> bytes:
    return b"".join(content.splitlines(keepends=True)[:1000])


def without_the_last_column(content: bytes) -> bytes:
    rows = [line.rpartition(b"\t")[0] for line in content.splitlines()]
    return b"\n".join([*rows, b""])


def in_reverse(content: bytes) -> bytes:
    return b"".join(reversed(content.splitlines(keepends=True)))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda content: content[:29_990],
            "it has 737 lines that do not read as 6 tab-separated numbers",
        ),
        (first_1000_rows, "it has 1000 rows of 6 numbers instead"),
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
        (without_the_last_column, "it has 1503 rows of 5 numbers instead of 1503 of 6"),
        (
            lambda content: b"f\ta\tc\tv\td\tp\r\n" + content,
            "it has 1504 lines that do not read as 6 tab-separated",
        ),
        (
            lambda content: content.replace(b"\t", b","),
            "it has 1503 lines that do not read as 6 tab-separated numbers",
        ),
        (in_reverse, "other numbers, another order or other"),
        (
            lambda _: b"\xff\xfe\x00<html>",
            "it has 1 lines that do not read as 6 tab-separated numbers",
        ),
    ],
    ids=[
        "truncated",
        "short",
        "empty",
        "blank",
        "nan",
        "infinite",
        "changed",
        "columns",
        "header",
        "commas",
        "reversed",
        "binary",
    ],
)
def test_a_file_that_is_not_the_table_is_refused_with_what_is_wrong(
    accepted: Path, tmp_path: Path, damage: Callable[[bytes], bytes], message: str
) -> None:
    path = tmp_path / "damaged.dat"
    path.write_bytes(damage(accepted.read_bytes()))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(DataError) as caught:
        read(path, "file")
    text = str(caught.value)
    assert text.startswith(f"{path} is not the airfoil table: ")
    assert message in text
    assert f"Expected SHA-256 {data.SHA256}, found {sha256}." in text


def test_a_changed_copy_of_the_real_file_is_refused(airfoil: Path, tmp_path: Path) -> None:
    path = tmp_path / "changed.dat"
    path.write_bytes(airfoil.read_bytes().replace(b"126.201", b"126.202", 1))
    with pytest.raises(DataError, match="but other numbers, another order or other line"):
        read(path, "file")


class Site(ThreadingHTTPServer):
    """A real web server with the pages it is given; it announces /cut longer than it is."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Page)
        self.pages: dict[str, bytes] = {}
        self.requested: list[str] = []

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class Page(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self.server.requested.append(self.path)
        body = self.server.pages.get(self.path)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"") + 100 * (self.path == "/cut")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """The server, without FLOPLINE_DATA, so that the cache and a download are tried."""
    monkeypatch.delenv("FLOPLINE_DATA")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Site() as site:
        thread = Thread(target=site.serve_forever, args=(0.01,))
        thread.start()
        yield site
        site.shutdown()
        thread.join()


def test_a_path_wins_over_the_variable(accepted: Path, tmp_path: Path) -> None:
    source = resolve(accepted, cache=tmp_path).source
    assert source == Source("file", "airfoil", str(accepted), data.SHA256)


def test_the_variable_wins_over_the_cache(
    accepted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOPLINE_DATA", str(accepted))
    (tmp_path / data.FILE).write_bytes(accepted.read_bytes())
    source = resolve(cache=tmp_path).source
    assert source == Source("file", "airfoil", str(accepted), data.SHA256)


@pytest.mark.parametrize("default", [True, False])
def test_the_cache_wins_over_a_download(
    accepted: Path, tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch, *, default: bool
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cached = tmp_path / "flopline" / "airfoil_self_noise.dat"
    cached.parent.mkdir()
    cached.write_bytes(accepted.read_bytes())
    site.pages["/airfoil"] = accepted.read_bytes()
    cache = None if default else cached.parent
    source = resolve(cache=cache, url=site.url("/airfoil")).source
    assert source == Source("cache", "airfoil", str(cached), data.SHA256)
    assert site.requested == []


def test_a_download_is_shown_on_stderr_and_kept_for_the_next_time(
    accepted: Path, tmp_path: Path, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.pages["/airfoil"] = accepted.read_bytes()
    cached = tmp_path / "deep" / "cache" / "airfoil_self_noise.dat"
    for kind in ("download", "cache"):
        table = resolve(cache=cached.parent, url=site.url("/airfoil"))
        assert table.source == Source(kind, "airfoil", str(cached), data.SHA256)
        assert torch.equal(table.X, read(accepted, "file").X)
    assert site.requested == ["/airfoil"]
    assert list(cached.parent.iterdir()) == [cached]
    assert cached.read_bytes() == accepted.read_bytes()
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
    assert site.requested == ["/wrong"]
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
    assert site.requested == []


@pytest.mark.parametrize("origin", ["FLOPLINE_DATA", "the path"])
@pytest.mark.parametrize("folder", [True, False])
def test_a_path_that_is_no_file_is_an_error(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch, origin: str, *, folder: bool
) -> None:
    path = tmp_path if folder else tmp_path / "absent.dat"
    monkeypatch.setenv("FLOPLINE_DATA", str(path) if origin == "FLOPLINE_DATA" else "surrogate")
    with pytest.raises(
        NoFileError,
        match=f"^{origin} names '{path}', which is no file; give airfoil_self_noise",
    ):
        resolve(
            None if origin == "FLOPLINE_DATA" else path, cache=tmp_path, url=site.url("/airfoil")
        )
    assert site.requested == []


def test_the_word_surrogate_requests_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source("surrogate", "surrogate", "requested; torch generator, seed 0", "")
    assert resolve(cache=tmp_path).source == source
    monkeypatch.setenv("FLOPLINE_DATA", str(tmp_path / "absent.dat"))
    assert resolve("surrogate", cache=tmp_path).source == source


def joined(table: Table) -> Tensor:
    return torch.cat([table.X, table.y[:, None]], 1)


def moments(table: Table) -> tuple[Tensor, Tensor]:
    z = joined(table)
    return z.mean(0), z.T @ z / 1500


MOMENTS = (
    torch.tensor(facts.MEAN, dtype=torch.float64),
    torch.tensor(facts.SECOND_MOMENT, dtype=torch.float64),
)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_surrogate_has_the_moments_of_the_real_rows(seed: int) -> None:
    measured = moments(surrogate("a test", seed=seed))
    torch.testing.assert_close(measured, MOMENTS, rtol=0, atol=1e-12)


def test_the_real_rows_have_the_published_moments(table: Table) -> None:
    torch.testing.assert_close(moments(table), MOMENTS, rtol=0, atol=1e-13)


def test_a_surrogate_depends_on_its_seed_alone_and_names_it() -> None:
    state = torch.get_rng_state()
    first = surrogate("one", seed=3)
    again = surrogate("two", seed=3)
    other = surrogate("one", seed=4)
    assert torch.equal(joined(first), joined(again))
    assert not torch.equal(joined(first), joined(other))
    assert first.source == Source("surrogate", "surrogate", "one; torch generator, seed 3", "")
    assert replace(first.source, detail="two; torch generator, seed 3") == again.source
    assert torch.equal(state, torch.get_rng_state())


def test_minibatches_follow_the_rows_and_the_last_one_is_short() -> None:
    minibatches = Minibatches(torch.tensor([5, 3, 3, 0, 1, 2, 6]), 3)
    for _ in range(2):
        assert [rows.tolist() for rows in minibatches] == [[5, 3, 3], [0, 1, 2], [6]]
    assert len(minibatches) == 3


@either_sampler
@given(n=st.integers(1, 60), size=st.integers(1, 60), seed=st.integers(0, 999))
def test_an_epoch_has_n_rows_in_full_minibatches_but_the_last(
    sampler: Sampler, n: int, size: int, seed: int
) -> None:
    size = min(n, size)
    minibatches = sampler(n, size, seeded(seed))
    lengths = [len(rows) for rows in minibatches]
    assert lengths[:-1] == [size] * (len(lengths) - 1)
    assert 1 <= lengths[-1] <= size
    assert sum(lengths) == n
    assert len(minibatches) == len(lengths) == math.ceil(n / size)
    rows = torch.cat(list(minibatches))
    assert rows.dtype == torch.int64
    assert 0 <= int(rows.min()) <= int(rows.max()) < n


@given(n=st.integers(1, 60), seed=st.integers(0, 999))
def test_an_epoch_without_replacement_has_every_row_once(n: int, seed: int) -> None:
    assert sorted(shuffled(n, 1, seeded(seed)).rows.tolist()) == list(range(n))


def test_an_epoch_with_replacement_repeats_rows_as_independent_draws_do() -> None:
    # Distinct rows among 1000 draws of 1000: mean 632.3, standard deviation 9.8. Six of them leave
    # 2e-9 of epochs out.
    distinct = [len(with_replacement(1000, 10, seeded(seed)).rows.unique()) for seed in range(20)]
    assert 632.3 - 6 * 9.8 < min(distinct) < max(distinct) < 632.3 + 6 * 9.8
    assert len(set(distinct)) > 1


@either_sampler
@pytest.mark.parametrize("position", [0, 19])
def test_every_row_is_as_likely_as_any_other_at_a_position(sampler: Sampler, position: int) -> None:
    generator = seeded(0)
    drawn = torch.stack([sampler(20, 7, generator).rows[position] for _ in range(4000)])
    counts = drawn.bincount(minlength=20).double()
    # Chi-square with 19 degrees of freedom: a right sampler is outside with probability 2e-6, a
    # fixed order always.
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
        MinibatchSizeError,
        match=f"the minibatch size is {size}; allowed are 1 to 10, the number of examples",
    ):
        sampler(10, size, seeded(0))


def test_one_draw_with_replacement_is_an_epoch_with_replacement() -> None:
    drawn = many_draws(20, 20, 1, seeded(3), replacement=True)
    assert torch.equal(drawn[0], with_replacement(20, 5, seeded(3)).rows)


@given(n=st.integers(1, 40), size=st.integers(1, 40), seed=st.integers(0, 999))
def test_draws_without_replacement_repeat_no_row(n: int, size: int, seed: int) -> None:
    size = min(n, size)
    drawn = many_draws(n, size, 5, seeded(seed), replacement=False)
    assert drawn.shape == (5, size)
    for draw in drawn.tolist():
        assert len(set(draw)) == size
        assert set(draw) <= set(range(n))


@pytest.mark.parametrize("replacement", [True, False])
def test_in_many_draws_every_row_is_as_likely_as_any_other(*, replacement: bool) -> None:
    drawn = many_draws(20, 7, 4000, seeded(0), replacement=replacement)
    for position in (0, 6):
        counts = drawn[:, position].bincount(minlength=20).double()
        # As above: chi-square with 19 degrees of freedom.
        assert 2.255 < float(((counts - 200) ** 2 / 200).sum()) < 63.68


def test_many_draws_of_an_impossible_size_are_refused() -> None:
    with pytest.raises(MinibatchSizeError, match="the minibatch size is 21; allowed are 1 to 20"):
        many_draws(20, 21, 3, seeded(0), replacement=True)


CACHES = {
    "a folder of the kernel": "/proc/none",
    "a file above it": "{}/file/deeper",
    "a file in its place": "{}/taken",
    "a name too long": "{}/" + "x" * 300,
}
"""Caches that cannot be used; {} is a folder."""


@pytest.fixture(params=list(CACHES))
def unusable(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    (tmp_path / "file").touch()
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "flopline").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", CACHES[request.param].format(tmp_path))
    return tmp_path


def test_without_a_cache_the_table_is_downloaded_and_not_kept(
    unusable: Path, accepted: Path, site: Site
) -> None:
    site.pages["/airfoil"] = accepted.read_bytes()
    before = sorted(unusable.rglob("*"))
    table = resolve(url=site.url("/airfoil"))
    assert (table.source.kind, table.source.sha256) == ("download", data.SHA256)
    assert "not kept: " in table.source.detail
    assert sorted(unusable.rglob("*")) == before


def test_without_cache_and_network_there_is_the_surrogate(unusable: Path, site: Site) -> None:
    before = sorted(unusable.rglob("*"))
    assert resolve(url=site.url("/missing")).source.kind == "surrogate"
    assert sorted(unusable.rglob("*")) == before


@pytest.mark.parametrize("name", ["missing", ".", "x" * 300, "/dev/zero", "/proc/none/file"])
def test_a_variable_that_names_no_file_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("FLOPLINE_DATA", name)
    with pytest.raises(data.NoFileError, match=r"FLOPLINE_DATA names .*or 'surrogate'"):
        resolve()
