"""Text from elsewhere steers no terminal, and every encoding can show it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopline.characters import ERRORS, visible, visible_lines, visible_text

HOSTILE = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("\x1b\x9b\x07\r\n\t\0\x7f\u202e\u2028\ud800\ufffe─│╭⠋…±é語"),
    ),
    max_size=20,
)


@given(HOSTILE)
def test_what_is_visible_is_printable_and_stays(words: str) -> None:
    assert visible(words).isprintable()
    assert visible(visible(words)) == visible(words)


def test_escape_sequences_are_spelled_out() -> None:
    assert visible("a\x1b[31m\n\u202e\ud800é語") == r"a\x1b[31m\n\u202e\ud800é語"


def test_lines_stay_lines_and_are_visible() -> None:
    assert visible_lines("a\tb\nc\r\nd") == [r"a\tb", "c", "d"]


@given(HOSTILE)
def test_a_text_keeps_its_line_ends_and_nothing_else_that_steers(words: str) -> None:
    shown = visible_text(words)
    assert shown.replace("\n", "").isprintable()
    assert shown.count("\n") == words.count("\n")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8", "utf-16", "shift_jis"])
@given(words=HOSTILE)
def test_every_text_can_be_encoded(encoding: str, words: str) -> None:
    assert words.encode(encoding, ERRORS).decode(encoding)[:1] or not words


def test_tables_stay_aligned_and_names_can_be_told_apart() -> None:
    assert "╭──┬─╮│é│⠋".encode("ascii", ERRORS) == b"+--+-+|\\xe9|*"
    assert "±3 %, …, 語".encode("latin-1", ERRORS) == b"\xb13 %, ..., \\u8a9e"
