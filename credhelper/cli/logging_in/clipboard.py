"""The clipboard of the person's own terminal, which a program reaches by OSC 52, also over SSH (xterm's ctlseqs).

Nothing comes back: whether the terminal has taken it, only the terminal knows. What goes there is a login's address. It
holds no secret: a client id, a PKCE challenge and a state, or a device's user code, all for one login and some minutes.
Whoever opens it is asked to sign in, and signs in as themselves.
"""

import base64
from collections.abc import Mapping

from credhelper.cli import terminal

LONGEST = 4096  # characters; terminals that keep little take some 6,000 bytes
SCREEN_PIECE = 240  # bytes of a control string that every GNU screen keeps; newer ones keep 768
DEAF = frozenset({"", "dumb", "linux"})
"""Terminals without a clipboard, which might print what they do not understand."""


def why_not_sent(text: str, env: Mapping[str, str]) -> str | None:
    """Sends ``text`` to the terminal's clipboard; or says why not, in words that follow "because"."""
    if env.get("TERM", "") in DEAF:
        return "this terminal has none"
    if len(text) > LONGEST:
        return "it is too long"
    try:
        with terminal.opened() as person:
            person.write(sequence(text, env))
    except OSError:
        return "there is no terminal"
    return None


def sequence(text: str, env: Mapping[str, str]) -> str:
    """What to write to the terminal, through tmux or GNU screen where one is in between.

    It ends in BEL, as screen would take a string terminator inside for its own. tmux gets it twice: bare, which counts
    with ``set-clipboard on``, and wrapped, with ``allow-passthrough on``.
    """
    bare = f"\x1b]52;c;{base64.b64encode(text.encode()).decode()}\a"
    if env.get("TMUX"):
        return bare + "\x1bPtmux;" + bare.replace("\x1b", "\x1b\x1b") + "\x1b\\"
    if env.get("STY"):
        pieces = (bare[start : start + SCREEN_PIECE] for start in range(0, len(bare), SCREEN_PIECE))
        return "".join(f"\x1bP{piece}\x1b\\" for piece in pieces)
    return bare
