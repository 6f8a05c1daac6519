from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

PROGRAM = """
import ctypes, os, signal, sys, threading, time
import typer
from flopline.cli import child

def work(announce):
    announce("first")
    announce("second")
{work}
    return 1

ending = child.run(work)
print(ending.code, ending.running, ending.how, ending.signal and ending.signal.name)
"""


def ending(work: str) -> str:
    """What is known of a child that does this work."""
    program = PROGRAM.format(work="    " + work)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        ("pass", "1 second exit code 1 None"),
        ("raise typer.Exit(3)", "3 second exit code 1 None"),
        ("raise RuntimeError", "2 second exit code 1 None"),
        ("os._exit(0)", "None second exit code 0 None"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "None second signal 11 None"),
        ("ctypes.string_at(0)", "None second signal 11 None"),
        ("if os.fork() == 0: return 0", "1 second exit code 1 None"),
        ("os.closerange(3, 100); os._exit(0)", "None second exit code 0 None"),
    ],
)
def test_only_work_that_ends_in_order_has_an_exit_code(work: str, expected: str) -> None:
    assert ending(work).splitlines()[-1] == expected


def test_a_child_that_does_not_end_after_its_work_is_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    quickly = "child.GRACE_SECONDS = 0.5\nending = child.run"
    program = PROGRAM.replace("ending = child.run", quickly).format(
        work="    threading.Thread(target=time.sleep, args=(60,)).start()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.stdout == "1 second signal 9 None\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_handed_on_to_the_child(number: signal.Signals) -> None:
    program = PROGRAM.format(work="    print('ready', flush=True); time.sleep(60)")
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
        time.sleep(0.1)
        run.send_signal(number)
        said, _ = run.communicate(timeout=30)
    assert said.endswith(f"{number.name}\n")
