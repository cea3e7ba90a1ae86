"""A person at a browser, for programs that open one: visits a URL, fills in its forms and decides.

Run as a program of its own (`BROWSER` names a script that does). It goes into the background at once, as a
browser does, because the program that opened it waits for it before it serves the redirect. What the person
saw ends up in the file that `--seen` names, a JSON object for each page; it appears when the visit is over.
"""

from __future__ import annotations

import argparse
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookiejar import CookieJar
from pathlib import Path

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
MOST_PAGES = 8
SECONDS = 20


@dataclass
class Form:
    """What a person can fill in and press."""

    action: str
    method: str
    values: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str, str]] = field(default_factory=list)


class Page(HTMLParser):
    """The forms of a page, and the words on it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.words: list[str] = []
        self._silent = 0
        self._button: tuple[str, str] | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        name, value = given.get("name", ""), given.get("value", "")
        if tag in {"style", "script", "title"}:
            self._silent += 1
        elif tag == "form":
            self.forms.append(Form(given.get("action", ""), given.get("method", "get").lower()))
        elif tag == "button":
            self._button = (name, value)
        elif tag == "input" and self.forms:
            if given.get("type") == "submit":
                self.forms[-1].buttons.append((name, value, value))
            elif name:
                self.forms[-1].values[name] = value
                self.forms[-1].kinds[name] = given.get("type", "text")

    def handle_endtag(self, tag: str) -> None:
        if tag in {"style", "script", "title"}:
            self._silent -= 1
        elif tag == "button":
            self._button = None

    def handle_data(self, data: str) -> None:
        words = " ".join(data.split())
        if not words or self._silent:
            return
        self.words.append(words)
        if self._button is not None and self.forms:
            self.forms[-1].buttons.append((*self._button, words))


@dataclass(frozen=True)
class Seen:
    """One page as the person saw it."""

    url: str
    status: int
    text: str


class Person:
    """Signs in with a name and a password, and presses the button that carries the decision."""

    def __init__(self, username: str, password: str, decision: str) -> None:
        self._username = username
        self._password = password
        self._decision = decision.lower()
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), OnLoopback(), urllib.request.HTTPCookieProcessor(CookieJar())
        )

    def visit(self, url: str) -> list[Seen]:
        """Every page from `url` on, to one that leaves nothing to press or the same one again."""
        seen: list[Seen] = []
        request: urllib.request.Request | None = urllib.request.Request(url)  # noqa: S310 -- OnLoopback decides
        while request is not None and len(seen) < MOST_PAGES:
            arrived, status, html = self._load(request)
            page = Page(html)
            seen.append(Seen(arrived, status, " ".join(page.words)))
            repeated = len(seen) > 1 and seen[-1].text == seen[-2].text
            request = None if status >= 400 or repeated else self._next(arrived, page)
        return seen

    def _load(self, request: urllib.request.Request) -> tuple[str, int, str]:
        try:
            with self._opener.open(request, timeout=SECONDS) as response:
                return response.url, response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.url, error.code, error.read().decode()

    def _next(self, url: str, page: Page) -> urllib.request.Request | None:
        for form in page.forms:
            data = self._fill(form)
            if data is not None:
                return submit(url, form, data)
        return None

    def _fill(self, form: Form) -> dict[str, str] | None:
        typed = {name: kind for name, kind in form.kinds.items() if kind in {"text", "email", "password"}}
        if "password" in typed.values():
            values = form.values | {
                name: self._password if kind == "password" else self._username for name, kind in typed.items()
            }
            return values | dict([(name, value) for name, value, _ in form.buttons if name][:1])
        for name, value, label in form.buttons:
            if label.lower().startswith(self._decision):
                return form.values | ({name: value} if name else {})
        only_field_given = len(typed) == 1 and all(form.values[name] for name in typed)
        return dict(form.values) if only_field_given else None


class OnLoopback(urllib.request.HTTPRedirectHandler):
    """Refuses to follow a page off this machine."""

    def http_request(self, request: urllib.request.Request) -> urllib.request.Request:
        host = urllib.parse.urlsplit(request.full_url).hostname
        if host not in LOOPBACK:
            raise urllib.error.URLError(f"{host} is not on this machine")
        return request

    https_request = http_request


def submit(url: str, form: Form, data: dict[str, str]) -> urllib.request.Request:
    """The request that a browser makes for the form at `url`."""
    target = urllib.parse.urljoin(url, form.action or url)
    encoded = urllib.parse.urlencode(data)
    if form.method == "post":
        # A browser sends where a form came from.
        site = urllib.parse.urlsplit(url)
        headers = {"Origin": f"{site.scheme}://{site.netloc}", "Referer": url}
        return urllib.request.Request(target, encoded.encode(), headers)  # noqa: S310
    return urllib.request.Request(target.partition("?")[0] + "?" + encoded)  # noqa: S310


def into_the_background() -> None:
    """Lets the program that started us go on, and holds nothing of its open."""
    if os.fork():
        os._exit(0)
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    os.closerange(3, 256)


def main() -> None:
    parser = argparse.ArgumentParser(description="visits a URL as a person would")
    parser.add_argument("--username", required=True)
    parser.add_argument("--password", required=True)
    parser.add_argument("--decision", required=True)
    parser.add_argument("--seen", type=Path, required=True)
    parser.add_argument("url")
    options = parser.parse_args()
    into_the_background()
    try:
        seen = Person(options.username, options.password, options.decision).visit(options.url)
    except (OSError, ValueError) as error:
        seen = [Seen(options.url, 0, f"{type(error).__name__}: {error}")]
    lines = "".join(json.dumps(page.__dict__) + "\n" for page in seen)
    unfinished = options.seen.with_suffix(f".{os.getpid()}")
    unfinished.write_text(lines)
    unfinished.replace(options.seen)


if __name__ == "__main__":
    main()
