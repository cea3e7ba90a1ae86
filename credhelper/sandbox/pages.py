"""The HTML of the pages. Values are escaped here and nowhere else; no page needs a script or another file."""

import base64
import hashlib
from collections.abc import Iterable
from html import escape

from credhelper.sandbox.directory import Person
from credhelper.sandbox.messages import Answer

_STYLE = """
:root { color-scheme: light dark; --accent: #0b5cad; --paper: #fff; --ground: #eef1f5; --ink: #16191f;
  --soft: #545b64; --line: #c6ccd4; --bad: #b3261e }
@media (prefers-color-scheme: dark) {
  :root { --accent: #7cb8ff; --paper: #1d232b; --ground: #12161b; --ink: #e9ecf0; --soft: #a9b3bf;
    --line: #46505c; --bad: #ff9c94 } }
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem;
  font: 1rem/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground) }
main { width: 100%; max-width: 27rem; padding: 2rem; background: var(--paper); border: 1px solid var(--line);
  border-radius: .75rem }
h1 { margin: 0 0 1rem; font-size: 1.4rem; line-height: 1.25 }
.brand, .hint { color: var(--soft); font-size: .875rem }
.brand { margin: 0 0 1.5rem }
.code { margin: 1rem 0; padding: .75rem; font: 700 2rem/1.2 ui-monospace, monospace; letter-spacing: .08em;
  text-align: center; border: 1px dashed var(--line); border-radius: .5rem }
.wrong { color: var(--bad); font-weight: 600 }
label { display: block; margin: 1rem 0 .25rem; font-weight: 600 }
input { width: 100%; padding: .6rem; font: inherit; color: inherit; background: var(--ground);
  border: 1px solid var(--line); border-radius: .4rem }
.buttons { display: flex; gap: .75rem; margin-top: 1.5rem }
button { flex: 1; padding: .7rem; font: inherit; font-weight: 600; border-radius: .4rem; cursor: pointer;
  border: 1px solid var(--accent); color: var(--accent); background: none }
button.main { color: var(--paper); background: var(--accent) }
button.link { flex: none; padding: 0; border: 0; font-size: .875rem; font-weight: 400;
  text-decoration: underline }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

# form-action also governs where a form's answer redirects to: the callbacks on the loopback.
_CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none';"
    " form-action 'self' http://127.0.0.1:*"
)
_SECURITY_HEADERS = (
    ("Content-Security-Policy", _CONTENT_SECURITY_POLICY),
    ("Cache-Control", "no-store"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
)


def sign_in_page(csrf: str, next_path: str, people: Iterable[Person], *, wrong: bool = False) -> Answer:
    """Asks for name and password, and gives them away: this is a sandbox."""
    complaint = '<p class="wrong" role="alert">Name or password is wrong.</p>' if wrong else ""
    hints = "".join(
        f"<li><code>{escape(person.name)}</code> / <code>{escape(person.password)}</code></li>" for person in people
    )
    return page(
        "Sign in",
        f"""{complaint}
<form method="post" action="/sign-in">
{_hidden(csrf=csrf, next=next_path)}
<label for="name">Name</label>
<input id="name" name="name" autocomplete="username" autocapitalize="none" required autofocus>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
<div class="buttons"><button class="main">Sign in</button></div>
</form>
<div class="hint"><p>The people of this sandbox:</p><ul>{hints}</ul></div>""",
        status=403 if wrong else 200,
    )


def code_page(*, wrong: bool = False) -> Answer:
    """Asks for the code a device shows."""
    complaint = '<p class="wrong" role="alert">No device waits under this code. Codes expire: start anew.</p>'
    return page(
        "Connect a device",
        f"""{complaint if wrong else ""}
<form method="get" action="/device">
<label for="user_code">Code shown on your device</label>
<input id="user_code" name="user_code" autocomplete="off" autocapitalize="characters" required autofocus>
<div class="buttons"><button class="main">Continue</button></div>
</form>""",
        status=404 if wrong else 200,
    )


def device_page(csrf: str, person: str, user_code: str, client: str, scopes: Iterable[str]) -> Answer:
    return page(
        "Does this code match?",
        f"""<p>Your device must show the very same code:</p>
<p class="code">{escape(user_code)}</p>
{_request(client, scopes)}
<form method="post" action="/device">
{_hidden(csrf=csrf, user_code=user_code)}
{_ALLOW_OR_DENY}
</form>
{_signed_in_as(csrf, person, f"/device?user_code={user_code}")}""",
    )


def access_page(csrf: str, person: str, raw_query: str, client: str, scopes: Iterable[str]) -> Answer:
    return page(
        "Allow access?",
        f"""{_request(client, scopes)}
<form method="post" action="/authorize">
{_hidden(csrf=csrf, request=raw_query)}
{_ALLOW_OR_DENY}
</form>
{_signed_in_as(csrf, person, f"/authorize?{raw_query}")}""",
    )


def message_page(title: str, text: str, status: int = 200) -> Answer:
    return page(title, f"<p>{escape(text)}</p>", status=status)


def redirect(location: str) -> Answer:
    """303: whatever the method was, the browser now gets `location`, without its form (RFC 9700, 4.12)."""
    return Answer(303, content_type="text/html", headers=(("Location", location), *_SECURITY_HEADERS))


_ALLOW_OR_DENY = """<div class="buttons">
<button class="main" name="decision" value="allow">Allow</button>
<button name="decision" value="deny">Deny</button>
</div>"""


def page(title: str, content: str, status: int = 200, brand: str = "IAM Identity Center · sandbox") -> Answer:
    """A page of ours. `content` is HTML, and whoever makes it escapes what goes in."""
    document = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} · sandbox</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<p class="brand">{escape(brand)}</p>
<h1>{escape(title)}</h1>
{content}
</main>
</body>
</html>
"""
    return Answer(status, document.encode(), content_type="text/html; charset=utf-8", headers=_SECURITY_HEADERS)


def _request(client: str, scopes: Iterable[str]) -> str:
    items = "".join(f"<li><code>{escape(scope)}</code></li>" for scope in scopes)
    return f"<p><strong>{escape(client)}</strong> asks for access to your AWS accounts:</p><ul>{items}</ul>"


def _signed_in_as(csrf: str, person: str, next_path: str) -> str:
    return f"""<form class="hint" method="post" action="/sign-out">
{_hidden(csrf=csrf, next=next_path)}
<p>Signed in as <strong>{escape(person)}</strong>. <button class="link">Not you?</button></p>
</form>"""


def _hidden(**values: str) -> str:
    return "".join(f'<input type="hidden" name="{name}" value="{escape(value)}">' for name, value in values.items())
