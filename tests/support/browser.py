"""A headless Chromium, driven through the DevTools protocol over two pipes: what a page says, asks for and shows."""

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
    """Chromium, or a skipped test."""
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        pytest.skip(f"no browser here: none of {', '.join(PROGRAMS)} is on the path")
    return found


class Page:
    """One page of a running browser; `events` are the protocol's messages so far."""

    def __init__(self, sending: int, receiving: int) -> None:
        self.events: list[dict[str, Any]] = []
        self._sending, self._receiving = sending, receiving
        self._number, self._rest = 0, b""
        target = self.ask("Target.createTarget", session="", url="about:blank")["targetId"]
        self._session = self.ask(
            "Target.attachToTarget", session="", targetId=target, flatten=True
        )["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(
        self, method: str, *, session: str | None = None, **parameters: object
    ) -> dict[str, Any]:
        """Calls a method of the protocol and waits for its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if session != "":
            message["sessionId"] = session or self._session
        os.write(self._sending, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, answer
        return dict(answer["result"])

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            chunk = os.read(self._receiving, 1 << 20)
            assert chunk, "the browser has ended"
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(line))

    def open(self, address: str, *, width: int = 1000, dark: bool = False) -> None:
        """Opens an address other than the one that is shown, and waits until it is loaded."""
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
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._receive())

    def evaluate(self, expression: str) -> Any:  # noqa: ANN401  # whatever the page says
        """The value of a JavaScript expression."""
        found = self.ask(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, expression: str) -> None:
        """Waits until a JavaScript expression is true, half a minute at most."""
        self.evaluate(
            "new Promise((done, fail) => { const end = Date.now() + 30000; const look = () => "
            f"({expression}) ? done() : Date.now() > end ? fail('never true') : setTimeout(look, 50); look() }})"
        )

    def rows(self, body: str) -> list[list[str]]:
        """The texts in the rows of the table bodies that a CSS selector finds."""
        rows = f"[...document.querySelectorAll({json.dumps(f'{body} tr')})]"
        found: list[list[str]] = self.evaluate(
            f"{rows}.map(row => [...row.cells].map(cell => cell.textContent.trim()))"
        )
        return found

    def complaints(self) -> list[str]:
        """What the page wrote to the console, and the errors it met."""
        methods = {
            "Runtime.consoleAPICalled",
            "Runtime.exceptionThrown",
            "Log.entryAdded",
            "Network.loadingFailed",
        }
        return [
            json.dumps(event["params"]) for event in self.events if event.get("method") in methods
        ]

    def requests(self) -> list[str]:
        """The addresses it asked for, what is embedded in it left out."""
        sent = [
            event["params"]
            for event in self.events
            if event.get("method") == "Network.requestWillBeSent"
        ]
        return [
            each["request"]["url"]
            for each in sent
            if not each["request"]["url"].startswith("data:")
        ]

    def screenshot(self, path: Path) -> None:
        """Saves the whole page as a PNG file."""
        size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        found = self.ask(
            "Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip
        )
        path.write_bytes(base64.b64decode(found["data"]))


@contextlib.contextmanager
def page(profile: Path) -> Iterator[Page]:
    """A page of a fresh browser, which ends with the block.

    Args:
        profile: An empty folder for the browser's state.
    """
    theirs, sending = os.pipe()
    receiving, back = os.pipe()
    # The protocol's pipes are file descriptors 3 and 4; a shell moves ours there.
    move = f'exec "$@" 3<&{theirs} 4>&{back}'
    options = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
    ]
    command = [
        "bash",
        "-c",
        move,
        "bash",
        program(),
        *options,
        f"--user-data-dir={profile}",
        "--remote-debugging-pipe",
    ]
    with (
        (profile / "log").open("wb") as log,
        subprocess.Popen(command, pass_fds=(theirs, back), stdout=log, stderr=log) as browser,
    ):
        os.close(theirs)
        os.close(back)
        try:
            shown = Page(sending, receiving)
            yield shown
            shown.ask("Browser.close", session="")
        finally:
            os.close(sending)
            os.close(receiving)
            browser.terminate()
