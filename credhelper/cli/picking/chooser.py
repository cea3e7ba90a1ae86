"""A searchable list over the whole terminal, from which a person chooses one row, or none.

An application of our own on prompt_toolkit, and not questionary's ``select``: that one chooses the first row of all
where the search finds nothing, draws every row at each key, and asks the terminal where its cursor stands, the answer
to which can reach the program that ``exec`` runs next. On the alternate screen nobody has to ask.

It is drawn on stderr, for stdout may be a pipe: ``eval "$(credhelper export --format env)"``.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from credhelper.cli import terminal
from credhelper.cli.picking.searchable import Cells, Searchable
from credhelper.domain.text import safe

if TYPE_CHECKING:
    from prompt_toolkit.application import Application
    from prompt_toolkit.buffer import Buffer
    from prompt_toolkit.formatted_text import StyleAndTextTuples
    from prompt_toolkit.key_binding import KeyBindings
    from prompt_toolkit.key_binding.key_processor import KeyPressEvent

    App = Application[int | None]
    Event = KeyPressEvent

HELP = ("type to search   ↑↓ PgUp PgDn move   Enter chooses   Esc leaves", "Enter chooses   Esc leaves")
"""What the keys do, and the same where there is little room."""
CHROME = 4  # lines that are no rows: the question, the search, the titles, the help
ESCAPE_WAIT = 0.1  # seconds after which Esc is that key, and not the beginning of another one's code


def can_be_shown() -> bool:
    """Whether a person can be shown a list: not in a pipe, and not on a terminal that cannot be drawn on."""
    return terminal.can_ask() and terminal.can_draw(sys.stderr)


def choose(question: str, titles: Cells, rows: Sequence[Cells]) -> int | None:
    """The number of the row that the person chooses; None when they leave without. The terminal is then as before."""
    application = _application(question, Searchable(titles, rows))
    try:
        return application.run(pre_run=lambda: _end_in_order(application))
    except EOFError:  # the terminal has gone
        return None
    except _Signalled as told:
        signal.signal(told.number, signal.SIG_DFL)
        os.kill(os.getpid(), told.number)
        raise


class _Signalled(Exception):
    """We are told to end, and do once the terminal is as before."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def _end_in_order(application: "App") -> None:
    import asyncio

    def end(number: int) -> None:
        if not application.is_done:
            application.exit(exception=_Signalled(number))

    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, end, number)


def _application(question: str, rows: Searchable) -> "App":
    from prompt_toolkit.application import Application
    from prompt_toolkit.buffer import Buffer
    from prompt_toolkit.input import create_input
    from prompt_toolkit.layout import BufferControl, FormattedTextControl, HSplit, Layout, VSplit, Window
    from prompt_toolkit.output import create_output
    from prompt_toolkit.styles import Style

    output = create_output(sys.stderr)
    search = Buffer(multiline=False, on_text_changed=lambda buffer: rows.search(buffer.text))

    def head() -> "StyleAndTextTuples":
        count = f"{len(rows.matches):,} of {len(rows):,}"
        return [("class:question", safe(question)), ("", f"   {count}")]

    def body() -> "StyleAndTextTuples":
        size = output.get_size()
        lines: StyleAndTextTuples = [("class:titles", "  " + rows.title(size.columns - 2))]
        for text, is_pointed_at in rows.window(size.rows - CHROME, size.columns - 2):
            lines.append(("class:pointed", f"\n> {text}") if is_pointed_at else ("", f"\n  {text}"))
        if not rows.matches:
            lines.append(("", "\n  Nothing matches; Backspace takes back what was typed."))
        return lines

    def foot() -> str:
        whole, brief = HELP
        return whole if len(whole) <= output.get_size().columns else brief

    layout = HSplit(
        [
            Window(FormattedTextControl(head), height=1),
            VSplit(
                [
                    Window(FormattedTextControl([("class:titles", "search: ")]), width=8, height=1),
                    Window(BufferControl(search), height=1),
                ]
            ),
            Window(FormattedTextControl(body)),
            Window(FormattedTextControl(foot), height=1),
        ]
    )
    application: App = Application(
        layout=Layout(layout, focused_element=search),
        key_bindings=_keys(rows, search, lambda: max(1, output.get_size().rows - CHROME)),
        style=Style([("question", "bold"), ("titles", "bold"), ("pointed", "reverse")]),
        full_screen=True,
        input=create_input(sys.stdin),
        output=output,
    )
    application.ttimeoutlen = ESCAPE_WAIT
    return application


def _keys(rows: Searchable, search: "Buffer", page: Callable[[], int]) -> "KeyBindings":
    from prompt_toolkit.key_binding import KeyBindings

    keys = KeyBindings()

    def on(names: Sequence[str], act: Callable[["Event"], None]) -> None:
        for name in names:
            keys.add(name, eager=True)(act)

    def enter(event: "Event") -> None:
        if rows.chosen is not None:
            event.app.exit(result=rows.chosen)

    on(("up", "c-p"), lambda _: rows.move(-1))
    on(("down", "c-n"), lambda _: rows.move(1))
    on(("pageup",), lambda _: rows.move(-page()))
    on(("pagedown",), lambda _: rows.move(page()))
    on(("home",), lambda _: rows.move(-len(rows)))
    on(("end",), lambda _: rows.move(len(rows)))
    on(("enter", "c-j"), enter)
    on(("escape", "c-c", "c-g", "<sigint>"), lambda event: event.app.exit(result=None))
    on(("c-z",), lambda event: event.app.suspend_to_background())
    on(("<bracketed-paste>",), lambda event: search.insert_text(" ".join(safe(event.data).split())))
    return keys
