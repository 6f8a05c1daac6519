"""Text that comes from elsewhere, as characters that steer nothing and that every stream can show.

Names of benchmarks, labels of versions, facts of machines and messages come from whatever is
measured, and from files. A terminal obeys some characters, and no eye sees others. `visible` spells
both out. What the encoding of a stream lacks is replaced by the handler of encoding errors that
this module registers.
"""

from __future__ import annotations

import codecs

ERRORS = "flopline.plain"
"""The name of the handler, for the `errors` of a stream: nothing is refused for its encoding."""

PLAIN = str.maketrans(
    dict.fromkeys("─━═", "-") | dict.fromkeys("│┃║", "|") | {"…": "...", "±": "+-"}
)
"""What is shown for characters of flopline's own tables and sentences where they cannot be."""


def visible(text: str) -> str:
    """Returns a text as one line of printable characters.

    What a terminal would obey, and what no eye would see, is spelled out as in a Python literal.
    """
    shown = []
    for character in text:
        if character.isprintable():
            shown.append(character)
        else:
            shown.append(character.encode("unicode_escape").decode())
    return "".join(shown)


def visible_lines(text: str) -> list[str]:
    """Returns the lines of a text, each visible."""
    return [visible(line) for line in text.splitlines()]


def visible_text(text: str) -> str:
    """Returns a text of several lines in which only line ends are no printable characters.

    Tabs become spaces.
    """
    if text.isprintable():
        return text
    return "\n".join(visible(line) for line in text.expandtabs().split("\n"))


def replace_unencodable(error: UnicodeError) -> tuple[str, int]:
    """Returns what is written for characters that an encoding lacks, and where to go on.

    Lines of tables and the dots of a spinner become ASCII, one character for each. Everything else
    is spelled out as in a Python literal, so that names can still be told apart.

    Raises:
        UnicodeError: It is an error of decoding.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    replaced = []
    for character in error.object[error.start : error.end].translate(PLAIN):
        is_corner = "\u2500" <= character <= "\u257f"
        is_spinner = "\u2800" <= character <= "\u28ff"
        if character.isascii():
            replaced.append(character)
        elif is_corner or is_spinner:
            replaced.append("+" if is_corner else "*")
        else:
            replaced.append(character.encode("unicode_escape").decode())
    return "".join(replaced), error.end


codecs.register_error(ERRORS, replace_unencodable)
