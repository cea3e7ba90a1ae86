"""A person at a browser without scripts: follows redirects, keeps cookies, fills in the forms it is shown."""

import html
import http.client
import re
from http.cookies import SimpleCookie
from urllib.parse import urlencode, urlsplit

from credhelper.sandbox.server import Sandbox


class Person:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.cookies: dict[str, str] = {}
        self.status = 0
        self.page = ""
        self.headers: dict[str, str] = {}
        self.location = ""
        """Where the browser was sent last, if that is outside of the sandbox."""

    def visit(self, url: str) -> None:
        self._request("GET", url.removeprefix(self._sandbox.url))

    def fill_in(self, action: str, *, without: str = "", **fields: str) -> None:
        """Send the page's form to `action` with its hidden fields and these ones."""
        form = re.search(rf'<form[^>]*action="{action}">.*?</form>', self.page, re.DOTALL)
        assert form, f"the page has no form for {action}"
        hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form[0]))
        values = {name: html.unescape(value) for name, value in hidden.items()} | fields
        values.pop(without, None)
        self.post(action, values)

    def sign_in(self, name: str = "alice", password: str | None = None) -> None:
        """With the person's own password, if no other is given."""
        found = self._sandbox.directory.person(name)
        right = found.password if found else ""
        self.fill_in("/sign-in", name=name, password=right if password is None else password)

    def post(self, path: str, values: dict[str, str]) -> None:
        self._request("POST", path, urlencode(values))

    def _request(self, method: str, path: str, body: str | None = None) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", urlsplit(self._sandbox.url).port or 0, timeout=5)
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            self.status, self.page = answer.status, answer.read().decode()
            self.headers = {name.lower(): value for name, value in answer.getheaders()}
        finally:
            connection.close()
        for name, morsel in SimpleCookie(self.headers.get("set-cookie", "")).items():
            self.cookies[name] = morsel.value
        self._follow(self.headers.get("location"))

    def _follow(self, location: str | None) -> None:
        self.location = ""
        if location is None:
            return
        if location.startswith("/"):
            self._request("GET", location)
        else:
            self.location = location
