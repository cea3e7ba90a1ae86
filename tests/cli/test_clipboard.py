"""OSC 52: what reaches the terminal, through whatever lies between, and when nothing is sent."""

import base64

import pytest

from credhelper.cli.logging_in import clipboard

URL = "https://oidc.example/authorize?state=" + "x" * 400
SENT = base64.b64encode(URL.encode()).decode()


def test_a_terminal_gets_the_text_in_base64() -> None:
    assert clipboard.sequence(URL, {"TERM": "xterm"}) == f"\x1b]52;c;{SENT}\a"


def test_tmux_gets_it_for_itself_and_for_the_terminal_around_it() -> None:
    bare = f"\x1b]52;c;{SENT}\a"
    found = clipboard.sequence(URL, {"TERM": "screen", "TMUX": "/tmp/tmux-0/default,1,0"})
    assert found == bare + f"\x1bPtmux;\x1b\x1b]52;c;{SENT}\a\x1b\\"


def test_screen_gets_it_in_pieces_that_it_can_keep() -> None:
    found = clipboard.sequence(URL, {"TERM": "screen", "STY": "1.pts"})
    pieces = found.split("\x1b\\")
    assert pieces.pop() == ""
    assert len(pieces) > 2
    assert all(piece.startswith("\x1bP") and len(piece) <= 2 + clipboard.SCREEN_PIECE for piece in pieces)
    assert "".join(piece.removeprefix("\x1bP") for piece in pieces) == f"\x1b]52;c;{SENT}\a"


@pytest.mark.parametrize("term", ["dumb", "linux", ""])
def test_terminals_that_might_print_it_get_nothing(term: str) -> None:
    assert clipboard.why_not_sent(URL, {"TERM": term}) == "this terminal has none"


def test_what_is_too_long_for_some_terminals_is_not_sent() -> None:
    assert clipboard.why_not_sent("x" * 5000, {"TERM": "xterm"}) == "it is too long"
