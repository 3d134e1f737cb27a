"""A real browser to try a page in: Chromium without a window, driven over its DevTools protocol."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--remote-debugging-port=0",
]
PATIENCE_S = 60.0


class Page:
    """One tab. `events`: what the browser told about it."""

    def __init__(self, socket: Any) -> None:
        self.socket, self.sent = socket, 0
        self.events: list[dict[str, Any]] = []

    def tell(self, method: str, **params: Any) -> Any:
        """Send a command and wait for its result."""
        self.sent += 1
        self.socket.send(json.dumps({"id": self.sent, "method": method, "params": params}))
        while True:
            got = json.loads(self.socket.recv(timeout=PATIENCE_S))
            if got.get("id") == self.sent:
                assert "error" not in got, got
                return got["result"]
            self.events.append(got)

    def open(self, path: Path) -> None:
        """Go to a file and wait until it is there."""
        self.tell("Page.navigate", url=path.as_uri())
        self.wait("document.readyState === 'complete' && location.protocol === 'file:'")

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        found = self.tell("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until a JavaScript expression is true."""
        until = time.monotonic() + PATIENCE_S
        while not self.run(condition):
            assert time.monotonic() < until, f"never true: {condition}"
            time.sleep(0.05)

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            text = {"text": {"Enter": "\r"}.get(key, key)} if len(key) == 1 or key == "Enter" else {}
            self.tell("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
            self.tell("Input.dispatchKeyEvent", type="keyUp", key=key)

    def write(self, text: str) -> None:
        """Put text where the cursor is."""
        self.tell("Input.insertText", text=text)

    def text(self, selector: str) -> str:
        """The text of an element as it is on the screen."""
        return str(self.run(f"document.querySelector({selector!r}).innerText"))

    def picture(self, path: Path, scheme: str = "light", width: int = 1280, height: int = 800) -> None:
        """Save what is on the screen."""
        self.tell("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.tell("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        path.write_bytes(base64.b64decode(self.tell("Page.captureScreenshot")["data"]))


@contextlib.contextmanager
def browser(folder: Path) -> Iterator[Page]:
    """A fresh browser whose profile and downloads lie in `folder`."""
    assert CHROMIUM is not None
    profile = folder / "profile"
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port, until = profile / "DevToolsActivePort", time.monotonic() + PATIENCE_S
        while not (port.exists() and port.read_text().count("\n")):
            assert running.poll() is None and time.monotonic() < until, "the browser does not start"
            time.sleep(0.1)
        with urllib.request.urlopen(f"http://127.0.0.1:{port.read_text().split()[0]}/json") as answer:
            [tab] = [tab for tab in json.load(answer) if tab["type"] == "page"]
        with connect(tab["webSocketDebuggerUrl"], max_size=None) as socket:
            page = Page(socket)
            for domain in ("Page", "Runtime", "Network", "Log"):
                page.tell(f"{domain}.enable")
            page.tell("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder), eventsEnabled=True)
            yield page
    finally:
        running.terminate()
        running.wait()
