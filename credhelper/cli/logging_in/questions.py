"""What a Cognito login wants of its person: a password, a code, a token of their own command; or a copied address.

Asked on the terminal, and nowhere else; the answer goes to the daemon and is kept nowhere. A command is only ever run
as the person's own ``config.toml`` names it, whatever the daemon says.
"""

import contextlib
import json
import os
import select
import sys
from collections.abc import Callable, Mapping
from typing import Any

from credhelper.cli import daemon_link, terminal
from credhelper.domain.errors import ConfigError, LoginRequired, UsageError
from credhelper.domain.text import safe

ANSWER_SECONDS = 10  # for the daemon to take an answer
TRIES = 3  # for a choice, or a new password typed twice alike
LONGEST_LINE = 4096  # bytes; a terminal takes no more on one line
CALLBACK = "/callback"

Event = Mapping[str, Any]


def answer(about: Event, event: Event) -> bool:
    """Asks the person what ``event`` wants to know, and tells the daemon; whether it is this person who is asked.

    Raises UsageError without a terminal, ConfigError, CommandFailed, LoginRequired.
    """
    if not about.get("asks_you", True):
        return False
    send(about, _answer_to(about, event))
    return True


def send(about: Event, text: str) -> bool:
    """Gives an answer to the daemon; whether it was waited for."""
    fields = {"id": about["login_id"], "answer": text}
    taken: bool = json.loads(daemon_link.ask("login_answer", fields, start=False, seconds=ANSWER_SECONDS))["taken"]
    return taken


def _answer_to(about: Event, event: Event) -> str:
    prompt = safe(event["prompt"])
    match event["kind"]:
        case "token":
            return _token(about["cognito_login"])
        case "password" | "code":
            return _secret(about, f"{prompt}: ")
        case "new_password":
            return _new_secret(about, prompt)
        case "choice":
            return _choice(about, prompt, event["choices"])
        case _:
            return _line(about, f"{prompt}: ")


def _token(name: str) -> str:
    """What the person's own ``token_command`` prints, which may ask them something first."""
    from credhelper.local import places, printed, settings

    path = places.settings_file(places.environment())
    logins = {login.name: login for login in settings.load(path).cognito_login}
    login = logins.get(name)
    if login is None or not login.token_command:
        raise ConfigError(f"{path}: there is no token_command in [cognito_login.{safe(name)}]")
    what = f"[cognito_login.{safe(name)}] token_command"
    try:
        return printed.of(login.token_command, what, seconds=printed.PERSON_SECONDS, in_front_of_person=True)
    except printed.CommandFailed as error:  # the words of the command may be secret: they are not repeated
        again = f"run the command by itself until it prints a token, then: {_command({'cognito_login': name})}"
        raise printed.CommandFailed(error.message, hint=again) from None


def _secret(about: Event, prompt: str) -> str:
    import getpass

    _need_terminal(about)
    try:
        return getpass.getpass(prompt)
    except EOFError:
        raise _given_up(about) from None


def _new_secret(about: Event, prompt: str) -> str:
    for _ in range(TRIES):
        found = _secret(about, f"{prompt}: ")
        if _secret(about, f"{prompt}, once more: ") == found:
            return found
    raise LoginRequired("the new password was not typed twice alike", hint=_command(about))


def _line(about: Event, prompt: str) -> str:
    _need_terminal(about)
    with terminal.opened() as person:
        person.write(prompt)
        found = person.readline()
    if not found:
        raise _given_up(about)
    return found.strip()


def _choice(about: Event, prompt: str, choices: list[str]) -> str:
    offered = ", ".join(f"{number} {safe(choice)}" for number, choice in enumerate(choices, start=1))
    for _ in range(TRIES):
        found = _line(about, f"{prompt} ({offered}): ")
        if found.isdecimal() and 1 <= int(found) <= len(choices):
            return choices[int(found) - 1]
    raise LoginRequired("none of the choices was made", hint=_command(about))


def _need_terminal(about: Event) -> None:
    try:
        with terminal.opened():
            return
    except OSError:
        raise UsageError(
            f"the Cognito login “{safe(about['cognito_login'])}” asks for a password, and there is no terminal",
            hint=f"in a terminal: {_command(about)}",
        ) from None


def _given_up(about: Event) -> LoginRequired:
    with contextlib.suppress(OSError), terminal.opened() as person:  # the end of the input ends no line
        person.write("\n")
    return LoginRequired("nothing was answered, and so nobody is logged in", hint=_command(about))


def _command(about: Event) -> str:
    import shlex

    return f"credhelper login --cognito-login {shlex.quote(about['cognito_login'])}"


class Pasted:
    """The address that the person's browser, elsewhere, ended at: pasted into this terminal instead of coming here."""

    def __init__(self, about: Event, note: Callable[[str], None]) -> None:
        self._about = about
        self._note = note
        self._is_open = True

    def look(self) -> None:
        """Takes what has been pasted since the last look, if anything was."""
        if not self._is_open or not _is_ours(sys.stdin.fileno()):
            return
        if not select.select([sys.stdin], [], [], 0)[0]:
            return
        line = os.read(sys.stdin.fileno(), LONGEST_LINE)
        if not line:
            self._is_open = False
            return
        address = line.decode("utf-8", "replace").strip()
        if address and not send(self._about, address):
            self._note("That is not the address that this login ends at: copy all of it, and paste it here.")


def _is_ours(descriptor: int) -> bool:
    """Whether the terminal is ours to read from now; reading from behind would stop us."""
    try:
        return os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:
        return False


def how_to_paste(port: int | None) -> list[str]:
    """What a person is told whose browser cannot come back by itself."""
    where = "127.0.0.1" if port is None else f"127.0.0.1:{port}"
    return [
        f"The browser ends at an address that begins with http://{where}{CALLBACK}. If it cannot be shown there,",
        "copy that address from the browser, paste it here and press Enter.",
    ]
