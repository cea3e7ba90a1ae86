"""What a login shows at which size, before it reaches a terminal."""

import pytest
from rich.text import Text

from credhelper.cli.logging_in import login_screen
from credhelper.cli.logging_in.large_letters import HEIGHT, WIDTH, large
from credhelper.cli.logging_in.login_screen import device_lines, fitting, qr_code, waiting_line
from credhelper.cli.logging_in.login_ways import Way
from credhelper.domain.model import Flow

EVENT = {
    "event": "device_authorization",
    "verification_uri": "https://corp-example.awsapps.com/start/#/device",
    "verification_uri_complete": "https://corp-example.awsapps.com/start/#/device?user_code=ABCD-EFGH",
    "user_code": "ABCD-EFGH",
    "expires_at": "2026-06-01T09:10:00Z",
}
SSH = Way(Flow.DEVICE_CODE, reason="this is an SSH connection")
SIZES = [(columns, rows) for columns in (20, 41, 60, 80, 100, 200) for rows in (5, 12, 20, 24, 30, 60)]


def shown(columns: int, rows: int, *, can_draw: bool = True, way: Way = SSH, name: str = "corp") -> list[str]:
    session = Text.assemble("Session ", (name, "bold"), ": ")
    lines = fitting(device_lines(EVENT, session, way, columns, can_draw), columns, rows)
    return [line.text.plain.rstrip() for line in lines]


@pytest.mark.parametrize(("columns", "rows"), SIZES)
def test_at_every_size_what_must_be_seen_is_there_and_pictures_are_never_too_wide(columns: int, rows: int) -> None:
    session = Text("Session corp: ")
    lines = fitting(device_lines(EVENT, session, SSH, columns, can_draw=True), columns, rows)
    assert [line.text.plain for line in lines if line.is_result] == [EVENT["verification_uri"], EVENT["user_code"]]
    assert "Session corp: to log in" in " ".join(line.text.plain.strip() for line in lines)
    assert max((line.text.cell_len for line in lines if line.is_picture), default=0) <= columns


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (100, 30), (60, 60), (200, 24)])
def test_code_and_picture_stand_together_where_there_is_room(columns: int, rows: int) -> None:
    lines = shown(columns, rows)
    squares = qr_code(EVENT["verification_uri_complete"])
    at = next(number for number, line in enumerate(lines) if "█▀▀▀▀▀█" in line) - 1
    assert [line[: len(squares[0])].rstrip() for line in lines[at : at + len(squares)]] == [
        square.rstrip() for square in squares
    ]
    letters = large("ABCD-")
    assert letters is not None
    assert any(letters[0].strip() in line for line in lines)
    beside = " ".join(line[len(squares[0]) :].strip() for line in lines)
    assert "because this is an SSH connection" in beside + " ".join(lines)


def test_a_terminal_without_blocks_gets_the_code_with_its_letters_apart() -> None:
    lines = shown(80, 24, can_draw=False)
    assert "  A B C D - E F G H" in lines
    assert all(line.isascii() for line in lines)


def test_a_picture_is_the_qr_code_module_for_module() -> None:
    from qrcode.constants import ERROR_CORRECT_L
    from qrcode.main import QRCode

    code = QRCode(error_correction=ERROR_CORRECT_L, border=2)
    code.add_data(EVENT["verification_uri_complete"])
    code.make()
    dark = {" ": (False, False), "▀": (True, False), "▄": (False, True), "█": (True, True)}
    rows = [[dark[block] for block in line] for line in qr_code(EVENT["verification_uri_complete"])]
    modules = [[half[side] for half in row] for row in rows for side in (0, 1)]
    matrix = code.get_matrix()
    assert modules[: len(matrix)] == matrix
    assert not any(any(row) for row in modules[len(matrix) :])


def test_letters_are_all_different_and_of_one_size() -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-"
    shapes = [large(letter) for letter in alphabet]
    assert len({tuple(shape or ()) for shape in shapes}) == len(alphabet)
    assert all(shape and len(shape) == HEIGHT and {len(row) for row in shape} == {WIDTH} for shape in shapes)
    assert large("abc") == large("ABC")
    assert large("A_B") is None


@pytest.mark.parametrize(
    ("seconds", "waiting", "columns", "expected"),
    [
        (598.7, [], 79, "* 9:58 left to approve it there. Ctrl-C gives up."),
        (61, ["aws"], 79, "* 1:01 left to approve it there. aws waits for it. Ctrl-C gives up."),
        (59, ["aws", "go"], 79, "* 0:59 left to approve it there. aws and go wait for it. Ctrl-C gives up."),
        (5, ["aws", "go"], 60, "* 0:05 left to approve it there. aws and go wait for it."),
        (5, ["aws", "go"], 40, "* 0:05 left. aws and go wait for it."),
        (5, ["aws", "go"], 20, "* 0:05 left. aws an…"),
        (-3, [], 79, "* 0:00 left to approve it there. Ctrl-C gives up."),
        (None, [], 79, "* Waiting for you to approve it there. Ctrl-C gives up."),
    ],
)
def test_the_last_line_says_what_matters_most_in_the_room_there_is(
    seconds: float | None, waiting: list[str], columns: int, expected: str
) -> None:
    assert waiting_line("*", seconds, waiting, columns).plain == expected


def test_the_last_minute_is_told_by_colour_too() -> None:
    styles = {str(span.style) for span in waiting_line("*", 59, [], 79).spans}
    assert "bold yellow" in styles
    assert login_screen.HURRY == 60
