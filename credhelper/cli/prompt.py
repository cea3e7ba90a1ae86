"""``credhelper status --prompt``: one short line for a shell's prompt, such as ``corp ok`` or ``corp 42m``.

It is shown again and again, so it costs little, waits for nobody, and is nothing at all where there is nothing to say.
"""

import sys

from credhelper.cli import quick

OPTIONS = {"--profile": "profile", "--sso-session": "sso_session", "--cognito-login": "cognito_login"}


def plain_fields(words: list[str]) -> dict[str, str] | None:
    """The request's fields, where the options are none but those that a prompt uses; None leaves them to argparse."""
    fields: dict[str, str] = {}
    left = iter([word for word in words if word != "--prompt"])
    for word in left:
        option, equals, value = word.partition("=")
        if option not in OPTIONS:
            return None
        fields[OPTIONS[option]] = value if equals else next(left, "")
    return fields if len(fields) < 2 and all(fields.values()) else None


def show(fields: dict[str, str]) -> int:
    """Prints the line, where there is one. Always 0: a prompt has no use for a status, and some shells show it."""
    line = quick.ask("prompt", fields)
    if line:
        sys.stdout.buffer.write(line.encode("utf-8", "replace") + b"\n")
        sys.stdout.buffer.flush()
    return 0
