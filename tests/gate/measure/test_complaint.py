from __future__ import annotations

import pytest

from flopline.gate.measure.complaint import complaint

UNKNOWN = """\
ERROR: usage: pytest.main() [options] [file_or_dir] [file_or_dir] [...]
pytest.main(): error: unrecognized arguments: --emoji
  inifile: /tree/pytest.ini
  rootdir: /tree
"""
CONFTEST = """\
ImportError while loading conftest '/tree/conftest.py'.
conftest.py:1: in <module>
    import driver
E   ModuleNotFoundError: No module named 'driver'
"""
CONFTEST_TOLD = """\
ImportError while loading conftest '/tree/conftest.py'.
conftest.py:1: in <module>
ModuleNotFoundError: No module named 'driver'"""
WARNING = """\
ImportError while loading conftest '/tree/conftest.py'.
conftest.py:2: in <module>
    import client
client.py:1: in <module>
    warn("old", DeprecationWarning)
E   DeprecationWarning: old
"""
WARNING_TOLD = """\
ImportError while loading conftest '/tree/conftest.py'.
conftest.py:2: in <module>
client.py:1: in <module>
DeprecationWarning: old"""
INTERNAL = """\
============================= test session starts ==============================
INTERNALERROR> Traceback (most recent call last):
INTERNALERROR>   File "/tree/conftest.py", line 2, in pytest_configure
INTERNALERROR>     raise RuntimeError("no server")
INTERNALERROR> RuntimeError: no server
"""
EXIT = "Exit: no server\n!!!!!!!!! _pytest.outcomes.Exit: no server !!!!!!!!!\n"


@pytest.mark.parametrize(
    ("output", "essential", "advice"),
    [
        (UNKNOWN, "unrecognized arguments: --emoji", "the plugin that has this option"),
        (
            CONFTEST,
            CONFTEST_TOLD,
            "install what is missing",
        ),
        (
            WARNING,
            WARNING_TOLD,
            "the suite turns warnings into errors",
        ),
        (INTERNAL, "RuntimeError: no server", ""),
        (EXIT, "no server", ""),
        ("ERROR: Missing required plugins: pytest-x\n", "Missing required plugins: pytest-x", "in"),
        ("ERROR: file or directory not found: a\n", "file or directory not found: a", ""),
    ],
)
def test_the_reason_is_told_without_what_stands_around_it(
    output: str, essential: str, advice: str
) -> None:
    told, _, advised = complaint(output).partition("; ")
    assert told == essential
    assert advised.startswith(advice)
    assert bool(advised) is bool(advice)


def test_of_other_output_the_end_is_told() -> None:
    output = "\n".join(f"line {number}\n" for number in range(100))
    assert complaint(output).splitlines() == [f"line {number}" for number in range(88, 100)]


def test_no_output_is_no_error() -> None:
    assert complaint("") == ""
