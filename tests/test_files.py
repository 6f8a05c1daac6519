"""Files are written whole or not at all, and what is no regular file is never replaced."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from flopline import files


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.json"


def test_writing_replaces_a_file_and_leaves_no_other(path: Path) -> None:
    path.write_text("before")
    files.write(path, "after: é\n")
    assert path.read_text(encoding="utf-8") == "after: é\n"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_a_new_file_has_the_permissions_that_the_umask_leaves(path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        files.write(path, "")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666])
def test_a_file_that_was_there_keeps_its_permissions(path: Path, mode: int) -> None:
    path.touch()
    path.chmod(mode)
    files.write(path, "after")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("after", mode)


def test_a_relative_path_is_relative_to_the_current_folder(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    files.write(Path(path.name), "here")
    assert path.read_text() == "here"


@pytest.mark.parametrize("before", [None, "before"])
def test_a_text_that_cannot_be_written_leaves_everything_as_it_was(
    path: Path, before: str | None
) -> None:
    if before is not None:
        path.write_text(before)
    long_and_bad = "x" * 1_000_000 + "\udc80"
    with pytest.raises(UnicodeEncodeError):
        files.write(path, long_and_bad)
    kept = [] if before is None else [before]
    assert [file.read_text() for file in path.parent.iterdir()] == kept


@pytest.mark.parametrize(
    "interruption", [OSError(28, "No space left on device"), KeyboardInterrupt()]
)
def test_an_interrupted_write_leaves_everything_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch, interruption: BaseException
) -> None:
    def interrupt(*_: object) -> None:
        raise interruption

    path.write_text("before")
    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(type(interruption)):
        files.write(path, "after")
    assert [file.read_text() for file in path.parent.iterdir()] == ["before"]


def test_a_folder_that_is_not_there_is_an_error(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.write(path / "deeper.json", "x")


def test_a_folder_is_not_replaced_by_a_file(path: Path) -> None:
    path.mkdir()
    with pytest.raises(OSError, match=r"file\.json"):
        files.write(path, "x")
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "note.json"
    path.write_text("before")
    with pytest.raises(UnicodeEncodeError):
        files.write(path, "\ud800")
    path.unlink()
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        files.write(path, "after")
    assert [file.name for file in tmp_path.iterdir()] == ["note.json"]


# --------------------------------------------------------------------- no regular files


def test_a_link_stays_a_link_and_the_file_that_it_names_is_written(path: Path) -> None:
    target = path.parent / "deep" / "target.json"
    target.parent.mkdir()
    target.write_text("before")
    path.symlink_to("between")
    (path.parent / "between").symlink_to("deep/target.json")
    files.write(path, "after")
    assert path.is_symlink()
    assert target.read_text() == "after"


def test_a_link_to_nothing_makes_the_file_that_it_names(path: Path) -> None:
    path.symlink_to("new.json")
    files.write(path, "here")
    assert path.is_symlink()
    assert (path.parent / "new.json").read_text() == "here"


def test_links_in_a_circle_are_refused(path: Path) -> None:
    path.symlink_to("other")
    (path.parent / "other").symlink_to(path.name)
    with pytest.raises(OSError, match="symbolic links"):
        files.write(path, "x")
    with pytest.raises(files.OutputError, match="symbolic links"):
        files.demand_writable(path)


def test_a_pipe_is_written_to(path: Path) -> None:
    os.mkfifo(path)
    received: list[str] = []
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reader, True)
    writer = os.open(path, os.O_WRONLY)  # otherwise the reader may find an end before a beginning

    def read() -> None:
        with os.fdopen(reader) as pipe:
            received.append(pipe.read())

    content = "x" * 200_000  # more than a pipe holds
    thread = threading.Thread(target=read)
    thread.start()
    files.write(path, content)
    os.close(writer)
    thread.join()
    assert received == [content]
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_a_pipe_that_nobody_reads_is_an_error_and_not_a_reason_to_wait(path: Path) -> None:
    os.mkfifo(path)
    files.demand_writable(path)
    with pytest.raises(OSError, match="No such device"):
        files.write(path, "x")


def test_a_device_is_written_to(path: Path) -> None:
    path.symlink_to(os.devnull)
    files.demand_writable(path)
    files.write(path, "x")
    assert path.is_symlink()
    assert Path(os.devnull).is_char_device()


def test_a_full_device_is_an_error() -> None:
    with pytest.raises(OSError, match="No space left"):
        files.write(Path("/dev/full"), "x")


def test_an_open_file_is_written_where_its_writer_is(path: Path) -> None:
    with path.open("w") as opened:
        opened.write("first ")
        opened.flush()
        files.demand_writable(Path(f"/dev/fd/{opened.fileno()}"))
        files.write(Path(f"/dev/fd/{opened.fileno()}"), "second ")
        opened.write("third")
    assert path.read_text() == "first second third"


# ------------------------------------------------------------------ tried before


def refusal(path: Path) -> str:
    with pytest.raises(files.OutputError) as refused:
        files.demand_writable(path)
    assert str(refused.value).startswith(f"{path} cannot be written because ")
    return str(refused.value)


def test_what_can_be_written_is_left_as_it_was_by_the_trial(path: Path) -> None:
    files.demand_writable(path)
    assert list(path.parent.iterdir()) == []
    path.write_text("before")
    files.demand_writable(path)
    assert path.read_text() == "before"
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path).endswith("it is a folder; give the name of a file")


def test_a_file_in_the_place_of_a_folder_is_refused(path: Path) -> None:
    path.touch()
    refusal(path / "deeper.json")


def test_a_folder_that_does_not_exist_is_refused(path: Path) -> None:
    assert refusal(path / "deeper.json").endswith("its folder does not exist; make it first")


def test_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / ("x" * 300)).endswith("File name too long")


def test_an_open_file_that_is_only_read_is_refused(path: Path) -> None:
    path.touch()
    with path.open() as opened:
        refused = refusal(Path(f"/dev/fd/{opened.fileno()}"))
    assert refused.endswith("it is open for reading only")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_what_permissions_forbid_is_refused(path: Path) -> None:
    path.touch(0o444)
    assert refusal(path).endswith("its permissions forbid it")
    path.parent.chmod(0o555)
    assert refusal(path.parent / "new").endswith("Permission denied")


def test_a_folder_of_the_kernel_in_which_nothing_can_be_made_is_refused() -> None:
    refusal(Path("/proc/new.json"))


@pytest.mark.parametrize("spelling", ["{0}/file", "{0}/./file", "{0}/deep/../file", "{0}/link"])
def test_two_spellings_of_one_file_are_refused(tmp_path: Path, spelling: str) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "link").symlink_to("file")
    other = Path(spelling.format(tmp_path))
    with pytest.raises(files.OutputError, match="the same file is another output"):
        files.demand_distinct([tmp_path / "file", other])
    with pytest.raises(files.OutputError, match="the same file is read"):
        files.demand_distinct([tmp_path / "file"], [other])


def test_two_outputs_may_be_thrown_away() -> None:
    files.demand_distinct([Path(os.devnull), Path(os.devnull)])


def test_appending_keeps_what_is_there_and_makes_what_is_not(path: Path) -> None:
    files.append(path, "a")
    files.append(path, "é")
    assert path.read_text("utf-8") == "aé"
