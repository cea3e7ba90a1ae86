"""Notices and screen locks over a real bus, whose services are there, or not, or hang; and macOS's way."""

import os
import queue
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from credhelper.local import dbus, desktop
from credhelper.local.dbus import Bus, BusUnavailable
from credhelper.local.desktop import DesktopUnavailable, FreedesktopDesktop, MacDesktop, Notice
from tests.bus import Answer, LoginManager, NotificationServer, PrivateBus, ScreenSaver, needs_bus

pytestmark = needs_bus

SECONDS = 60

NOTICE = Notice("AWS session corp ends at 15:40", "aws used it\nTo go on, run: credhelper login --sso-session corp")


@pytest.fixture(scope="module")
def buses() -> Iterator[tuple[PrivateBus, PrivateBus]]:
    with PrivateBus() as session, PrivateBus() as system:
        yield session, system


@pytest.fixture
def session(buses: tuple[PrivateBus, PrivateBus]) -> PrivateBus:
    return buses[0]


@pytest.fixture
def system(buses: tuple[PrivateBus, PrivateBus]) -> PrivateBus:
    return buses[1]


@pytest.fixture
def here(session: PrivateBus, system: PrivateBus) -> FreedesktopDesktop:
    return at(session.address, system.address)


def at(session: str, system: str = "unix:path=/nonexistent/system", seconds: float = 30.0) -> FreedesktopDesktop:
    environment = {"DBUS_SESSION_BUS_ADDRESS": session, "DBUS_SYSTEM_BUS_ADDRESS": system}
    return FreedesktopDesktop(environment, seconds)


# -- showing ----------------------------------------------------------------------------------------------------------


def test_a_notice_is_shown_with_our_name_and_an_icon_and_goes_as_the_desktop_likes(
    session: PrivateBus, here: FreedesktopDesktop
) -> None:
    with NotificationServer(session, "body") as server:
        assert here.show(NOTICE) == 1
        (shown,) = server.shown
    assert (shown.application, shown.summary, shown.body) == ("credhelper", NOTICE.summary, NOTICE.body)
    assert (shown.icon, shown.actions, shown.expires, shown.replaces) == ("dialog-password", [], -1, 0)
    assert shown.hints == {"urgency": ("y", 1)}


def test_a_later_notice_takes_the_place_of_an_earlier_one(session: PrivateBus, here: FreedesktopDesktop) -> None:
    with NotificationServer(session) as server:
        number = here.show(NOTICE)
        assert here.show(Notice("ended", "", replaces=number)) == number
        assert server.shown[1].replaces == number


def test_a_notice_can_be_taken_away(session: PrivateBus, here: FreedesktopDesktop) -> None:
    with NotificationServer(session) as server:
        here.withdraw(here.show(NOTICE))
        assert server.withdrawn == [1]
    with pytest.raises(DesktopUnavailable):
        here.withdraw(1)


@pytest.mark.parametrize(
    ("capabilities", "body"),
    [(["body", "body-markup"], "a &amp; b &lt;i&gt;c&lt;/i&gt;"), (["body"], "a & b <i>c</i>")],
    ids=["markup", "plain"],
)
def test_text_stays_text_where_the_server_reads_markup(
    session: PrivateBus, here: FreedesktopDesktop, capabilities: list[str], body: str
) -> None:
    with NotificationServer(session, *capabilities) as server:
        here.show(Notice("a & b", "a & b <i>c</i>"))
        assert (server.shown[0].summary, server.shown[0].body) == ("a & b", body)


def test_a_server_that_does_not_tell_what_it_can_gets_text_that_is_harmless_in_any_case(
    session: PrivateBus, here: FreedesktopDesktop
) -> None:
    with NotificationServer(session) as server:
        del server.answers["GetCapabilities"]
        here.show(Notice("s", "<b>"))
        assert server.shown[0].body == "&lt;b&gt;"


def test_without_a_notification_server_the_error_says_so(here: FreedesktopDesktop) -> None:
    with pytest.raises(DesktopUnavailable, match=r"org\.freedesktop\.Notifications.*ServiceUnknown"):
        here.show(NOTICE)


@pytest.mark.parametrize(
    "address", ["unix:path=/nonexistent/bus", "tcp:host=localhost", "autolaunch:", "nonsense", ":", "unix:", "\0"]
)
def test_without_a_bus_nothing_is_shown_and_nothing_is_locked(address: str) -> None:
    with pytest.raises(DesktopUnavailable):
        at(address).show(NOTICE)
    assert not at(address, address).is_locked()


def test_a_machine_without_any_bus_has_no_desktop(tmp_path: Path) -> None:
    nowhere = FreedesktopDesktop({"XDG_RUNTIME_DIR": str(tmp_path)})
    with pytest.raises(DesktopUnavailable, match="there is no session bus"):
        nowhere.show(NOTICE)


def test_a_server_that_does_not_answer_may_have_shown_it(session: PrivateBus) -> None:
    class Slow(NotificationServer):
        def _answer(self, message: object) -> None:
            if not self.asked.empty():
                return
            super()._answer(message)

    with Slow(session) as server:
        assert at(session.address, seconds=1.5).show(NOTICE) == 0
        assert server.shown == []


def test_a_bus_that_hangs_is_given_up() -> None:
    with PrivateBus() as bus:
        bus.hang()
        with pytest.raises(DesktopUnavailable, match="did not answer"):
            at(bus.address, seconds=0.2).show(NOTICE)
        assert not at(bus.address, bus.address, seconds=0.2).is_locked()
        bus.go_on()
        with NotificationServer(bus) as server:
            at(bus.address).show(NOTICE)
            assert len(server.shown) == 1


# -- questions --------------------------------------------------------------------------------------------------------


class Asked:
    """A question that is put to the desktop in a thread."""

    def __init__(self, desktop: FreedesktopDesktop, seconds: float = SECONDS) -> None:
        self.numbers: queue.Queue[int] = queue.Queue()
        self._outcome: queue.Queue[bool | None] = queue.Queue()
        asking = lambda: self._outcome.put(desktop.ask(NOTICE, seconds, self.numbers.put))  # noqa: E731
        self.thread = threading.Thread(target=asking)
        self.thread.start()

    def outcome(self) -> bool | None:
        self.thread.join(SECONDS)
        return self._outcome.get_nowait()


@pytest.mark.parametrize(("button", "expected"), [("allow", True), ("deny", False)])
def test_a_button_answers_a_question(
    session: PrivateBus, here: FreedesktopDesktop, button: str, expected: bool
) -> None:
    with NotificationServer(session, "actions") as server:
        asked = Asked(here)
        number = asked.numbers.get(timeout=SECONDS)
        shown = server.shown[0]
        assert (shown.summary, shown.actions) == (NOTICE.summary, ["allow", "Allow", "deny", "Deny"])
        assert (shown.hints, shown.expires) == ({"urgency": ("y", 2)}, SECONDS * 1000)
        server.press(number + 1, "allow")  # of somebody else's notice
        server.press(number, "default")  # on its words
        server.put_aside(number + 1)
        server.press(number, button)
        assert asked.outcome() is expected


def test_a_button_may_be_pressed_before_the_desktop_has_told_which_number_it_gave(
    session: PrivateBus, here: FreedesktopDesktop
) -> None:
    with NotificationServer(session, "actions") as server:
        number_it = server.answers["Notify"]

        def press_first(*arguments: object) -> Answer:
            server.press(1, "allow")
            return number_it(*arguments)

        server.answers["Notify"] = press_first
        assert Asked(here).outcome() is True


def test_a_question_that_is_put_aside_or_taken_away_has_no_answer(
    session: PrivateBus, here: FreedesktopDesktop
) -> None:
    with NotificationServer(session, "actions") as server:
        asked = Asked(here)
        server.put_aside(asked.numbers.get(timeout=SECONDS))
        assert asked.outcome() is None
        asked = Asked(here)
        here.withdraw(asked.numbers.get(timeout=SECONDS))
        assert asked.outcome() is None


def test_an_answer_in_the_servers_name_by_somebody_else_is_none(session: PrivateBus, here: FreedesktopDesktop) -> None:
    class Impostor(NotificationServer):
        names = ("org.example.Impostor",)

    with NotificationServer(session, "actions") as server, Impostor(session) as impostor:
        asked = Asked(here)
        number = asked.numbers.get(timeout=SECONDS)
        impostor.press(number, "allow")
        server.press(number, "deny")
        assert asked.outcome() is False


def test_nobody_waits_for_an_answer_for_ever(session: PrivateBus, here: FreedesktopDesktop) -> None:
    with NotificationServer(session, "actions"):
        assert Asked(here, seconds=0.05).outcome() is None


def test_a_desktop_without_buttons_shows_the_words(session: PrivateBus, here: FreedesktopDesktop) -> None:
    with NotificationServer(session, "body") as server:
        asked = Asked(here)
        assert asked.outcome() is None
        assert asked.numbers.get_nowait() == 1
        assert server.shown[0].actions == []


def test_a_question_needs_a_desktop_that_answers(session: PrivateBus, here: FreedesktopDesktop) -> None:
    with pytest.raises(DesktopUnavailable):
        here.ask(NOTICE, 1.0, lambda _: None)
    with pytest.raises(DesktopUnavailable, match="there is no session bus"):
        FreedesktopDesktop({"XDG_RUNTIME_DIR": str(session.directory / "none")}).ask(NOTICE, 1.0, lambda _: None)


# -- the screen -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["org.freedesktop.ScreenSaver", "org.gnome.ScreenSaver"])
def test_a_screen_saver_that_is_active_is_a_lock(session: PrivateBus, here: FreedesktopDesktop, name: str) -> None:
    with ScreenSaver(session, name) as saver:
        assert not here.is_locked()
        saver.is_locked = True
        assert here.is_locked()


def test_logind_knows_of_locks_too(system: PrivateBus, here: FreedesktopDesktop) -> None:
    with LoginManager(system) as logind:
        assert not here.is_locked()
        logind.is_locked = True
        assert here.is_locked()


def test_a_user_without_a_graphical_session_has_no_lock(system: PrivateBus, here: FreedesktopDesktop) -> None:
    with LoginManager(system) as logind:
        logind.is_locked, logind.display = True, "/"
        assert not here.is_locked()


def test_one_that_says_locked_is_believed(session: PrivateBus, system: PrivateBus, here: FreedesktopDesktop) -> None:
    with ScreenSaver(session), LoginManager(system) as logind:
        logind.is_locked = True
        assert here.is_locked()


def test_services_that_know_nothing_of_locks_lock_nothing(
    session: PrivateBus, system: PrivateBus, here: FreedesktopDesktop
) -> None:
    with ScreenSaver(session) as saver, LoginManager(system) as logind:
        saver.answers, logind.answers = {}, {"GetUser": lambda _: ("s", ("no path",)), "Get": lambda *_: ("", ())}
        assert not here.is_locked()


# -- where the buses are ----------------------------------------------------------------------------------------------


def test_the_usual_place_stands_in_for_a_missing_address(session: PrivateBus, tmp_path: Path) -> None:
    assert dbus.session_bus({"XDG_RUNTIME_DIR": str(session.directory)}) == session.address
    assert dbus.session_bus({"XDG_RUNTIME_DIR": str(tmp_path)}) is None
    assert dbus.session_bus({"DBUS_SESSION_BUS_ADDRESS": "unix:path=/x"}) == "unix:path=/x"


def test_a_strange_place_is_found_all_the_same(tmp_path: Path) -> None:
    strange = tmp_path / "a,b;c=%d é"
    strange.mkdir()
    with PrivateBus() as bus:
        (strange / "bus").symlink_to(bus.path)
        address = dbus.session_bus({"XDG_RUNTIME_DIR": str(strange)})
        assert address is not None
        with Bus(address, 30):
            pass


@pytest.mark.parametrize(
    "said", [b"", b"REJECTED ANONYMOUS\r\n", b"OK x\r\nl\x01garbage" * 40, b"OK\r\n", b"\xff" * 999]
)
def test_a_bus_that_speaks_something_else_is_no_bus(tmp_path: Path, said: bytes) -> None:
    with tempfile.TemporaryDirectory(prefix="bus-") as directory, socket.socket(socket.AF_UNIX) as listener:
        path = os.path.join(directory, "bus")
        listener.bind(path)
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(100)
                connection.sendall(said)

        serving = threading.Thread(target=serve)
        serving.start()
        with pytest.raises(BusUnavailable):
            Bus(f"unix:path={path}", 30)
        serving.join()


# -- macOS ------------------------------------------------------------------------------------------------------------


def osascript(directory: Path, monkeypatch: pytest.MonkeyPatch, status: int = 0, said: str = "") -> Path:
    """A program of that name that notes its arguments, one a line, NUL between them."""
    program, notes = directory / "osascript", directory / "arguments"
    code = (
        f"import sys\nopen({str(notes)!r}, 'w').write('\\0'.join(sys.argv[1:]))\nprint({said!r})\nsys.exit({status})\n"
    )
    program.write_text(f"#!{sys.executable} -IS\n{code}")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(directory), prepend=os.pathsep)
    return notes


def test_macos_shows_text_that_is_no_part_of_a_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes = osascript(tmp_path, monkeypatch)
    tricky = '" & (do shell script "id") & "\n$(id) `id` \\ é'
    assert MacDesktop().show(Notice("ends", tricky)) == 0
    *script, summary, body = notes.read_text().split("\0")
    assert (summary, body) == ("ends", tricky)
    assert "id" not in script
    assert script == [
        *("-e", "on run argv"),
        *("-e", "display notification (item 2 of argv) with title (item 1 of argv)"),
        *("-e", "end run"),
    ]
    assert not MacDesktop().is_locked()


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("button returned:Allow, gave up:false", True),
        ("button returned:Deny, gave up:false", False),
        ("button returned:, gave up:true", None),
        ("", None),
    ],
)
def test_macos_asks_in_a_dialogue_that_denies_unless_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, expected: bool | None
) -> None:
    notes = osascript(tmp_path, monkeypatch, said=said)
    assert MacDesktop().ask(Notice("Let aws use dev?", "b"), 120.0, lambda _: None) is expected
    arguments = notes.read_text().split("\0")
    assert arguments[-3:] == ["Let aws use dev?", "b", "120"]
    assert any('default button "Deny"' in line for line in arguments)


def test_macos_tells_when_nothing_was_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    osascript(tmp_path, monkeypatch, status=1)
    with pytest.raises(DesktopUnavailable, match="status 1"):
        MacDesktop().show(NOTICE)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(DesktopUnavailable, match="cannot be run"):
        MacDesktop().show(NOTICE)


def test_each_system_has_its_desktop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert isinstance(desktop.this_desktop(), MacDesktop)
    monkeypatch.setattr(sys, "platform", "linux")
    assert isinstance(desktop.this_desktop(), FreedesktopDesktop)
