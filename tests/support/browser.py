"""A headless Chromium, driven through the DevTools protocol: what a page shows and asks for."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def program() -> str:
    """Returns the path of a Chromium, or skips the test where there is none."""
    for name in PROGRAMS:
        path = shutil.which(name)
        if path is not None:
            return path
    pytest.skip(f"there is no browser: none of {', '.join(PROGRAMS)} is on the path")


class Page:
    """One page of a running browser.

    Args:
        sending: The file descriptor to which messages to the browser are written.
        receiving: The file descriptor from which its messages are read.

    Attributes:
        events: The protocol's messages since the page was opened.
    """

    def __init__(self, sending: int, receiving: int) -> None:
        self.events: list[dict[str, Any]] = []
        self._sending = sending
        self._receiving = receiving
        self._number = 0
        self._received = b""
        target = self.ask("Target.createTarget", session="", url="about:blank")
        attached = self.ask(
            "Target.attachToTarget", session="", targetId=target["targetId"], flatten=True
        )
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(
        self, method: str, *, session: str | None = None, **parameters: object
    ) -> dict[str, Any]:
        """Calls a method of the protocol and returns its result.

        Args:
            method: Its name.
            session: Empty for the browser itself; by default the page's.
            parameters: The method's own.
        """
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if session != "":
            message["sessionId"] = session or self._session
        os.write(self._sending, json.dumps(message).encode() + b"\0")
        answer = self._receive()
        while answer.get("id") != self._number:
            self.events.append(answer)
            answer = self._receive()
        assert "error" not in answer, answer
        return dict(answer["result"])

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._received:
            chunk = os.read(self._receiving, 1 << 20)
            assert chunk, "the browser has ended"
            self._received += chunk
        line, _, self._received = self._received.partition(b"\0")
        return dict(json.loads(line))

    def open(self, address: str, *, width: int = 1000, dark: bool = False) -> None:
        """Opens an address and waits until it is loaded.

        The address must differ from the one that is shown in more than its fragment, unless it is
        the same.
        """
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        self.events.clear()
        self.ask("Page.navigate", url=address)
        while not self._events("Page.loadEventFired"):
            self.events.append(self._receive())

    def press(self, key: str, code: int) -> None:
        """Presses a key, by its name and its virtual key code."""
        self.ask(
            "Input.dispatchKeyEvent",
            type="keyDown",
            key=key,
            code=key,
            windowsVirtualKeyCode=code,
        )

    def evaluate(self, expression: str) -> Any:  # noqa: ANN401  # whatever the page says
        """Returns the value of a JavaScript expression."""
        answer = self.ask(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, expression: str) -> None:
        """Waits until a JavaScript expression is true, half a minute at most."""
        self.evaluate(
            f"""
            new Promise((done, fail) => {{
              const end = Date.now() + 30000;
              const look = () => {{
                if ({expression}) done();
                else if (Date.now() > end) fail('never true');
                else setTimeout(look, 50);
              }};
              look();
            }})
            """
        )

    def rows(self, body: str) -> list[list[str]]:
        """Returns the texts in the rows of the table bodies that a CSS selector finds."""
        rows = f"[...document.querySelectorAll({json.dumps(f'{body} tr')})]"
        texts: list[list[str]] = self.evaluate(
            f"{rows}.map(row => [...row.cells].map(cell => cell.textContent.trim()))"
        )
        return texts

    def _events(self, *methods: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event.get("method") in methods]

    def complaints(self) -> list[str]:
        """Returns what the page wrote to the console, and the errors that it met."""
        events = self._events(
            "Runtime.consoleAPICalled",
            "Runtime.exceptionThrown",
            "Log.entryAdded",
            "Network.loadingFailed",
        )
        return [json.dumps(event["params"]) for event in events]

    def requests(self) -> list[str]:
        """Returns the addresses that the page asked for; what is embedded in it is left out."""
        sent = self._events("Network.requestWillBeSent")
        addresses = [event["params"]["request"]["url"] for event in sent]
        return [address for address in addresses if not address.startswith("data:")]

    def screenshot(self, path: Path) -> None:
        """Saves the whole page as a PNG file."""
        size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        picture = self.ask(
            "Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip
        )
        path.write_bytes(base64.b64decode(picture["data"]))


@contextlib.contextmanager
def page(profile: Path) -> Iterator[Page]:
    """Opens a page of a fresh browser, which ends with the block.

    Args:
        profile: An empty folder for the browser's state.
    """
    read_by_browser, sending = os.pipe()
    receiving, written_by_browser = os.pipe()
    # The protocol's pipes are file descriptors 3 and 4; a shell moves ours there.
    move = f'exec "$@" 3<&{read_by_browser} 4>&{written_by_browser}'
    options = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        f"--user-data-dir={profile}",
        "--remote-debugging-pipe",
    ]
    with (
        (profile / "log").open("wb") as log,
        subprocess.Popen(
            ["bash", "-c", move, "bash", program(), *options],
            pass_fds=(read_by_browser, written_by_browser),
            stdout=log,
            stderr=log,
        ) as browser,
    ):
        os.close(read_by_browser)
        os.close(written_by_browser)
        try:
            opened = Page(sending, receiving)
            yield opened
            opened.ask("Browser.close", session="")
        finally:
            os.close(sending)
            os.close(receiving)
            browser.terminate()
