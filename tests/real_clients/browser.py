"""Drives a real chromium through chromedriver, in the W3C WebDriver protocol over plain HTTP."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
DRIVER_ATTEMPTS = 5
STARTED = re.compile(r"started successfully on port (\d+)")
CHROMIUM_ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=900,760",
    # Nothing but this machine can be reached, whatever a page asks for.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)


class BrowserError(Exception):
    """What the browser answered instead of doing what it was told."""


class Browser:
    """One chromium with an empty profile; a context manager that ends it."""

    def __init__(self, chromium: Path, chromedriver: Path, *, seconds: float = 30) -> None:
        self._chromium = chromium
        self._chromedriver = chromedriver
        self._seconds = seconds
        # Not a test's own directory: the path of chromium's socket in there may have 107 bytes.
        self._scratch = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        self._session = ""

    def __enter__(self) -> Self:
        self._driver, self._port = self._start_driver()
        try:
            options = {"binary": str(self._chromium), "args": self._arguments()}
            wanted = {"browserName": "chrome", "goog:chromeOptions": options}
            self._session = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._call("DELETE", f"/session/{self._session}")
        finally:
            self._end()

    def open(self, url: str) -> None:
        """Loads `url` and waits until the page has."""
        self._in_session("POST", "/url", {"url": url})

    @property
    def url(self) -> str:
        return cast("str", self._in_session("GET", "/url"))

    @property
    def title(self) -> str:
        return cast("str", self._in_session("GET", "/title"))

    @property
    def text(self) -> str:
        """What a person can read on the page."""
        return cast("str", self.script("return document.body.innerText"))

    def fields(self) -> list[str]:
        """The names of the fields that a person can type into, in the order of the page."""
        find = "return [...document.querySelectorAll('input')].filter(i => i.offsetParent).map(i => i.name)"
        return cast("list[str]", self.script(find))

    def buttons(self) -> list[str]:
        """The labels of the buttons, in the order of the page."""
        find = "return [...document.querySelectorAll('button,input[type=submit]')]"
        return cast("list[str]", self.script(find + ".map(b => (b.innerText || b.value).trim())"))

    def fill(self, **values: str) -> None:
        """Types each value into the field of that name."""
        for name, value in values.items():
            field = self._element(f"[name='{name}']")
            self._in_session("POST", f"/element/{field}/clear", {})
            self._in_session("POST", f"/element/{field}/value", {"text": value})

    def press(self, label: str) -> None:
        """Clicks the one button that says `label` and waits until the page that it leads to has loaded."""
        words = json.dumps(label)
        found = self.script(
            "return [...document.querySelectorAll('button,input[type=submit]')]"
            f".filter(b => (b.innerText || b.value).trim() === {words})"
        )
        if len(found) != 1:
            raise BrowserError(f"{len(found)} buttons say {label!r}; the page has {self.buttons()}")
        self.script("window.left = false")
        self._in_session("POST", f"/element/{found[0][ELEMENT]}/click", {})
        deadline = time.monotonic() + self._seconds
        while not self._arrived():
            if time.monotonic() > deadline:
                raise BrowserError(f"{label!r} led nowhere from {self.url}")
            time.sleep(0.01)

    def script(self, body: str) -> Any:
        """The value that the JavaScript function body `body` returns on the page."""
        return self._in_session("POST", "/execute/sync", {"script": body, "args": []})

    def screenshot(self, path: Path) -> Path:
        """Writes a PNG of the page."""
        path.write_bytes(base64.b64decode(self._in_session("GET", "/screenshot")))
        return path

    def _arrived(self) -> bool:
        """Whether this is another page than the one on which the button was, and all of it."""
        try:
            return bool(self.script("return !('left' in window) && document.readyState === 'complete'"))
        except BrowserError:  # the page went away under the question
            return False

    def _arguments(self) -> list[str]:
        return [*CHROMIUM_ARGUMENTS, f"--user-data-dir={self._scratch.name}/profile"]

    def _element(self, selector: str) -> str:
        found = self._in_session("POST", "/element", {"using": "css selector", "value": selector})
        return cast("str", found[ELEMENT])

    def _in_session(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        return self._call(method, f"/session/{self._session}{path}", body)

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=self._seconds)
        try:
            sent = None if body is None else json.dumps(body)
            connection.request(method, path, sent, {"Content-Type": "application/json"})
            value = json.loads(connection.getresponse().read())["value"]
        finally:
            connection.close()
        if isinstance(value, dict) and "error" in value:
            raise BrowserError(f"{method} {path}: {value['error']}: {value.get('message', '')}")
        return value

    def _start_driver(self) -> tuple[subprocess.Popen[str], int]:
        """chromedriver gives up when its port is free for one address family and taken for the other."""
        said = ""
        environ = {"HOME": self._scratch.name, "TMPDIR": self._scratch.name, "LANG": "C.UTF-8"}
        for _ in range(DRIVER_ATTEMPTS):
            driver = subprocess.Popen(
                [str(self._chromedriver), "--port=0"],
                env=environ | {"PATH": os.defpath},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            port, said = read_port(driver, self._seconds)
            if port is not None:
                return driver, port
            end(driver)
        raise BrowserError(f"chromedriver did not start:\n{said}")

    def _end(self) -> None:
        end(self._driver)
        self._scratch.cleanup()


def read_port(driver: subprocess.Popen[str], seconds: float) -> tuple[int | None, str]:
    """The port on which chromedriver says that it listens, if it does, and all that it said until then."""
    assert driver.stdout is not None
    deadline = threading.Timer(seconds, driver.kill)
    deadline.start()
    said = ""
    try:
        for line in driver.stdout:
            said += line
            if match := STARTED.search(line):
                return int(match[1]), said
    finally:
        deadline.cancel()
    return None, said


def end(driver: subprocess.Popen[str]) -> None:
    driver.terminate()
    try:
        driver.wait(10)
    except subprocess.TimeoutExpired:
        driver.kill()
        driver.wait()
    if driver.stdout is not None:
        driver.stdout.close()
