"""What a person's browser sees: signing in, comparing a device's code, allowing an application."""

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl

from credhelper.sandbox import pages
from credhelper.sandbox.authorizations import RedirectedError, RefusedError
from credhelper.sandbox.errors import ApiError
from credhelper.sandbox.messages import Answer, Request
from credhelper.sandbox.state import State


@dataclass
class _Visit:
    """A browser known by its cookie, signed in or not. `csrf` proves that a form came from a page of ours."""

    cookie: str = field(repr=False)
    csrf: str = field(repr=False)
    ends_at: float
    person: str | None = None


class Browser:
    def __init__(self, state: State, clock: Callable[[], float], port: int) -> None:
        self._state = state
        self._clock = clock
        # Cookies do not tell ports apart: two sandboxes side by side must not share one.
        self._cookie_name = f"sandbox_{port}"
        self._visits: dict[str, _Visit] = {}
        self._pages: dict[tuple[str, str], Callable[[_Visit, Request], Answer]] = {
            ("Authorize", "GET"): self._show_authorization,
            ("Authorize", "POST"): self._decide_authorization,
            ("Device", "GET"): self._show_device,
            ("Device", "POST"): self._decide_device,
            ("SignIn", "POST"): self._sign_in,
            ("SignOut", "POST"): self._sign_out,
        }

    def perform(self, operation: str, request: Request) -> Answer:
        if operation == "Start":
            return pages.message_page(
                "A sandbox",
                "This is an IAM Identity Center to try things with. Log in from a terminal to see more.",
            )
        visit = self._visit_of(request)
        if request.method == "POST" and not hmac.compare_digest(_field(request, "csrf").encode(), visit.csrf.encode()):
            return pages.message_page("That did not come from here", "Go back, reload the page, try again.", 403)
        try:
            answer = self._pages[operation, request.method](visit, request)
        except RefusedError as refusal:
            answer = pages.message_page("This request cannot be granted", str(refusal), 400)
        except RedirectedError as mistake:
            answer = pages.redirect(mistake.location)
        return replace(answer, headers=(*answer.headers, ("Set-Cookie", self._set_cookie(visit))))

    def refuse(self, error: ApiError) -> Answer:
        return pages.message_page("Something went wrong", error.message, error.status or 500)

    def end_visits(self, person: str) -> None:
        """Sign the person out of every browser."""
        self._visits = {cookie: visit for cookie, visit in self._visits.items() if visit.person != person}

    def _show_authorization(self, visit: _Visit, request: Request) -> Answer:
        wanted = self._state.authorizations.check(request.query)
        if visit.person is None:
            return self._ask_to_sign_in(visit, f"/authorize?{request.raw_query}")
        return pages.access_page(visit.csrf, visit.person, request.raw_query, wanted.registration.name, wanted.scopes)

    def _decide_authorization(self, visit: _Visit, request: Request) -> Answer:
        raw_query = _field(request, "request")
        wanted = self._state.authorizations.check(parse_qsl(raw_query, keep_blank_values=True))
        if visit.person is None:
            return self._ask_to_sign_in(visit, f"/authorize?{raw_query}")
        if _field(request, "decision") == "allow":
            return pages.redirect(self._state.authorizations.approve(wanted, visit.person))
        return pages.redirect(self._state.authorizations.deny(wanted))

    def _show_device(self, visit: _Visit, request: Request) -> Answer:
        user_code = dict(request.query).get("user_code", "")
        if not user_code:
            return pages.code_page()
        device = self._state.devices.waiting(user_code)
        if device is None:
            return pages.code_page(wrong=True)
        if visit.person is None:
            return self._ask_to_sign_in(visit, f"/device?user_code={device.user_code}")
        registration = device.registration
        return pages.device_page(
            visit.csrf, visit.person, device.user_code, registration.name, registration.granted_scopes
        )

    def _decide_device(self, visit: _Visit, request: Request) -> Answer:
        device = self._state.devices.waiting(_field(request, "user_code"))
        if device is None:
            return pages.code_page(wrong=True)
        if visit.person is None:
            return self._ask_to_sign_in(visit, f"/device?user_code={device.user_code}")
        if _field(request, "decision") == "allow":
            self._state.devices.approve(device, visit.person)
            return pages.message_page("Access allowed", "You can close this tab and go back to your device.")
        self._state.devices.deny(device)
        return pages.message_page("Access denied", "The device gets nothing. You can close this tab.")

    def _sign_in(self, visit: _Visit, request: Request) -> Answer:
        next_path = _page_of_ours(_field(request, "next"))
        name = _field(request, "name")
        if not self._state.knows(name, _field(request, "password")):
            return self._ask_to_sign_in(visit, next_path, wrong=True)
        self._renew(visit, name)
        return pages.redirect(next_path)

    def _sign_out(self, visit: _Visit, request: Request) -> Answer:
        self._renew(visit, None)
        return pages.redirect(_page_of_ours(_field(request, "next")))

    def _ask_to_sign_in(self, visit: _Visit, next_path: str, *, wrong: bool = False) -> Answer:
        return pages.sign_in_page(visit.csrf, next_path, self._state.directory.people, wrong=wrong)

    def _visit_of(self, request: Request) -> _Visit:
        visit = self._visits.get(self._cookie_of(request))
        if visit is None or self._clock() >= visit.ends_at:
            visit = _Visit(secrets.token_urlsafe(32), secrets.token_urlsafe(32), self._end_of_a_visit())
            self._visits[visit.cookie] = visit
        return visit

    def _renew(self, visit: _Visit, person: str | None) -> None:
        """With the person change cookie and CSRF token: none known before is worth anything after."""
        self._visits.pop(visit.cookie, None)
        visit.cookie, visit.csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        visit.person, visit.ends_at = person, self._end_of_a_visit()
        self._visits[visit.cookie] = visit

    def _end_of_a_visit(self) -> float:
        return self._clock() + self._state.lifetimes.sign_in_session

    def _cookie_of(self, request: Request) -> str:
        try:
            cookies = SimpleCookie(request.headers.get("cookie", ""))
        except CookieError:  # some other server on this host has set a strange one
            return ""
        morsel = cookies.get(self._cookie_name)
        return morsel.value if morsel else ""

    def _set_cookie(self, visit: _Visit) -> str:
        # Lax, not Strict: the sign-in page is mostly reached by a link from elsewhere.
        return f"{self._cookie_name}={visit.cookie}; Path=/; HttpOnly; SameSite=Lax"


def _field(request: Request, name: str) -> str:
    return dict(request.form()).get(name, "")


def _page_of_ours(path: str) -> str:
    """Where a form may send the browser next: a page here, never another site."""
    ours = path.startswith(("/authorize?", "/device?")) and path.isascii() and path.isprintable()
    return path if ours else "/device"
