"""Log lines: one record is one entry, in the form that its reader wants, and no secret is in it."""

import asyncio
import gc
import json
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from credhelper import log
from credhelper.domain.errors import ConfigError
from credhelper.local.settings import Settings

ours = logging.getLogger("credhelper.part")
TOKEN = "aoaAAAAAGkX4bWQ9tJ0cV8hYr2LzKs"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
TIMED = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} "


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """What a test sets up for the package's logger, and for the libraries', ends with it."""
    names = ["credhelper", "botocore", "botocore.endpoint", "asyncio", "urllib3", "keyring", "jeepney", "watchdog"]
    loggers = [logging.getLogger(name) for name in [*names, "boto3", "h11", "secretstorage"]]
    before = [(one, list(one.handlers), one.level, one.propagate) for one in loggers]
    complains, last_resort = logging.raiseExceptions, logging.lastResort
    yield
    logging.raiseExceptions, logging.lastResort = complains, last_resort
    for one, handlers, level, propagate in before:
        for handler in set(one.handlers) - set(handlers):
            handler.close()
        one.handlers[:] = handlers
        one.setLevel(level)
        one.propagate = propagate


def to_file(tmp_path: Path, *, debug: bool = False, **settings: str) -> Path:
    """Sets up a log file with these settings; its path."""
    path = tmp_path / "x.log"
    log.to_file(path, debug=debug)
    log.apply(Settings(**{f"log_{name}": value for name, value in settings.items()}))  # type: ignore[arg-type]
    return path


def caught(call: Callable[[], object]) -> Exception:
    """What ``call`` raises."""
    with pytest.raises(Exception) as found:  # of any kind
        call()
    return found.value


def fault(text: str) -> Exception:
    """An exception that has been raised, of a kind that may say anything."""

    def fail() -> None:
        raise ValueError(text)

    return caught(fail)


# -- the forms --------------------------------------------------------------------------------------------------------


def test_a_line_for_people_has_time_level_and_message(tmp_path: Path) -> None:
    path = to_file(tmp_path)
    ours.warning("the token of %s is gone", "corp")
    assert re.fullmatch(TIMED + "WARNING the token of corp is gone\n", path.read_text())


def test_a_json_line_is_one_object_with_the_time_in_utc(tmp_path: Path) -> None:
    path = to_file(tmp_path, format="json")
    ours.error("die Größe\nzwei", exc_info=fault("unsaid"))
    [line] = path.read_text().splitlines()
    found = json.loads(line)
    exception = found.pop("exception")
    moment = datetime.strptime(found.pop("time"), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert abs((datetime.now(UTC) - moment).total_seconds()) < 60
    assert found == {"level": "error", "logger": "credhelper.part", "message": "die Größe\nzwei"}
    assert "in fail" in exception
    assert exception.endswith("ValueError")


def test_a_json_line_without_an_exception_speaks_of_none(tmp_path: Path) -> None:
    path = to_file(tmp_path, format="json")
    ours.info("x")
    assert set(json.loads(path.read_text())) == {"time", "level", "logger", "message"}


def test_no_message_can_look_like_two_lines(tmp_path: Path) -> None:
    path = to_file(tmp_path)
    forged = "2026-01-01 00:00:00,000 ERROR forged"
    ours.info("a\n%s\r%s\x1b[31m\u2028b", forged, forged)
    lines = path.read_text().splitlines()
    assert len(lines) == 2
    assert re.fullmatch(TIMED + "INFO a", lines[0])
    assert lines[1] == f"    {forged} {forged} [31m b"


def test_the_further_lines_of_an_exception_are_indented(tmp_path: Path) -> None:
    path = to_file(tmp_path)
    ours.error("a fault", exc_info=fault("unsaid"))
    first, *more = path.read_text().splitlines()
    assert first.endswith("ERROR a fault")
    assert len(more) > 1
    assert all(line.startswith("    ") for line in more)


@pytest.mark.parametrize(
    ("level", "said"),
    [("debug", "DIWE"), ("info", "IWE"), ("warning", "WE"), ("error", "E")],
)
def test_the_level_is_the_least_that_is_said(tmp_path: Path, level: str, said: str) -> None:
    path = to_file(tmp_path, level=level)
    for speak in (ours.debug, ours.info, ours.warning, ours.error):
        speak("x")
    assert "".join(re.findall(TIMED + "([A-Z])", path.read_text())) == said


def test_debug_from_the_command_line_is_stronger_than_the_settings(tmp_path: Path) -> None:
    path = to_file(tmp_path, debug=True, level="error")
    ours.debug("x")
    assert path.read_text().endswith("DEBUG x\n")


def test_level_and_format_can_change_while_it_runs(tmp_path: Path) -> None:
    path = to_file(tmp_path)
    ours.debug("unsaid")
    log.apply(Settings(log_level="debug", log_format="json"))
    ours.debug("said")
    log.apply(Settings())
    ours.debug("unsaid")
    ours.info("text")
    first, second = path.read_text().splitlines()
    assert json.loads(first)["message"] == "said"
    assert second.endswith("INFO text")


def test_setting_it_up_again_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    for _ in range(3):
        path = to_file(tmp_path)
    ours.info("once")
    assert len(path.read_text().splitlines()) == 1


def test_the_file_keeps_one_earlier_part(tmp_path: Path) -> None:
    to_file(tmp_path)
    for _ in range(40):
        ours.info("%s", "x" * 100_000)
    assert {found.name for found in tmp_path.iterdir()} == {"x.log", "x.log.1"}
    assert sum(found.stat().st_size for found in tmp_path.iterdir()) < 2.2 * 1024 * 1024


# -- the journal ------------------------------------------------------------------------------------------------------

SPEAK = """
import logging, os, sys
found = os.fstat(2)
if sys.argv[1] != "-":
    os.environ["JOURNAL_STREAM"] = sys.argv[1].format(device=found.st_dev, inode=found.st_ino)
from credhelper import log
from credhelper.local.settings import Settings
log.to_stderr(debug=True)
log.apply(Settings(log_format=sys.argv[2]))
ours = logging.getLogger("credhelper.part")
for speak in (ours.debug, ours.info, ours.warning, ours.error, ours.critical):
    speak("one\\ntwo")
"""


def speak(journal: str, form: str) -> list[str]:
    """What a process says on stderr whose JOURNAL_STREAM is ``journal``."""
    done = subprocess.run([sys.executable, "-c", SPEAK, journal, form], capture_output=True, text=True, check=True)
    return done.stderr.splitlines()


def test_every_line_to_a_journal_begins_with_its_level_and_has_no_time() -> None:
    expected = [line for level in (7, 6, 4, 3, 2) for line in (f"<{level}>one", f"<{level}>    two")]
    assert speak("{device}:{inode}", "text") == expected


def test_json_to_a_journal_has_the_level_in_front() -> None:
    lines = speak("{device}:{inode}", "json")
    assert [line[:3] for line in lines] == ["<7>", "<6>", "<4>", "<3>", "<2>"]
    assert all(json.loads(line[3:])["message"] == "one\ntwo" for line in lines)


@pytest.mark.parametrize("journal", ["-", "{device}:0", "0:{inode}", "", "nonsense"])
def test_whoever_is_no_journal_gets_the_time(journal: str) -> None:
    """A service may send its stderr elsewhere, and pass the variable on to what it starts."""
    assert re.fullmatch(TIMED + "DEBUG one", speak(journal, "text")[0])


# -- secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "secret"),
    [
        (f"it is {TOKEN}.", TOKEN),
        ("aor" + TOKEN[3:], "aor" + TOKEN[3:]),
        (f"x={JWT}&y", JWT),
        ("key AKIAIOSFODNN7EXAMPLE here", "AKIAIOSFODNN7EXAMPLE"),
        ("ASIAIOSFODNN7EXAMPLE", "ASIAIOSFODNN7EXAMPLE"),
        ('{"accessToken": "canary+1/2", "x": 1}', "canary"),
        ('{"clientSecret":"canary \\" canary"}', "canary"),
        ("{'deviceCode': 'canary'}", "canary"),
        ("{'SecretAccessKey': 'canary'}", "canary"),
        ("('x-amz-sso_bearer_token', b'canary')", "canary"),
        ("[(b'authorization', b'canary')]".replace("b'a", "'a"), "canary"),
        ("Token(access_token='canary', n=1)", "canary"),
        ("refresh_token=canary&x=1", "canary"),
        ("session-token=canary", "canary"),
        ("POST /token?code=canary&state=canary HTTP/1.1", "canary"),
        ("code_verifier=canary", "canary"),
        ("aws_secret_access_key=canary", "canary"),
        ("client_secret=canary", "canary"),
        ("password=canary", "canary"),
        ("Authorization: Basic Y2FuYXJ5Y2FuYXJ5", "Y2FuYXJ5"),
        ("sent authorization: AWS4-HMAC-SHA256 Credential=canary, Signature=canary", "canary"),
        ("X-Amz-Security-Token: canary canary", "canary"),
        ("Set-Cookie: canary=canary", "canary"),
        ("a header of bearer canary_canary~canary", "canary"),
    ],
)
def test_what_looks_like_a_secret_is_not_written(tmp_path: Path, said: str, secret: str) -> None:
    for form in ("text", "json"):
        path = to_file(tmp_path, format=form)
        ours.info("before %s after", said)
        written = path.read_text()
        assert secret not in written
        assert "***" in written
        assert "before" in written
        path.unlink()


@pytest.mark.parametrize(
    "said",
    [
        "refreshed the token of session corp, good until 2026-01-01 00:00:00+00:00",
        "ignoring the token file /home/u/.aws/sso/cache/8c5d6a2c2a1f8d0f8e4a1e8a6c5b4d3e2f1a0b9c.json: it is empty",
        "could not refresh the token of session corp: https://oidc.eu-west-1.amazonaws.com refused: SlowDownException",
        "the settings stay as they were: /c.toml: line 1: token_store is 5, and must be one of",
        "no credentials for Developer in 111122223333: the secret: unknown",
        "token_store=keyring",
        "serving at /run/user/1000/credhelper/credhelper.sock",
    ],
)
def test_plain_words_stay_as_they_are(said: str) -> None:
    assert log.redacted(said) == said


def test_redacting_a_long_line_is_no_work_to_speak_of() -> None:
    """No pattern goes over a text again and again: ten times the text takes about ten times the work."""
    for said in ('"token', "token=", "'x-", "x-", "eyJeyJeyJ", "bearer ", "?code", "aoa", '"token":\'\\', '\\"'):
        assert log.redacted(said * 20_000)


def test_a_foreign_exception_is_told_by_kind_and_place_and_not_by_text() -> None:
    told = log.trace(fault("canary"))
    assert "canary" not in told
    assert "in fail" in told
    assert told.endswith("\nValueError")


def test_errors_of_ours_and_of_the_system_keep_their_words() -> None:
    assert log.trace(ConfigError("line 7: x")).endswith("credhelper.domain.errors.ConfigError: line 7: x")
    assert log.trace(FileNotFoundError(2, "No such file", "/x")).endswith(
        "FileNotFoundError: [Errno 2] No such file: '/x'"
    )
    assert "***" in log.trace(ConfigError(f"not {TOKEN}"))


def test_what_led_to_an_exception_is_told_too_and_as_carefully() -> None:
    text = "".join(("can", "ary"))  # a trace shows lines of code

    def fail() -> None:
        raise ExceptionGroup(text, [fault(text), OSError("broken")]) from KeyError(text)

    told = log.trace(caught(fail))
    assert text not in told
    kinds = [line for line in told.splitlines() if not line.startswith(" ")]
    assert kinds == [
        "KeyError",
        "which led to:",
        "ValueError",
        "which is part of:",
        "OSError: broken",
        "which is part of:",
        "ExceptionGroup",
    ]


def test_exceptions_that_lead_to_each_other_are_told_once() -> None:
    first, second = ValueError(), TypeError()
    first.__cause__, second.__cause__ = second, first
    assert log.trace(first) == "TypeError\nwhich led to:\nValueError"


def test_an_exception_that_hides_what_led_to_it_is_told_alone() -> None:
    def fail(*, is_hidden: bool) -> None:
        try:
            {"a": 1}["missing"]
        except KeyError:
            if is_hidden:
                raise ValueError from None
            raise ValueError  # noqa: B904  # what was under way then leads to it

    assert "KeyError" in log.trace(caught(partial(fail, is_hidden=False)))
    assert "KeyError" not in log.trace(caught(partial(fail, is_hidden=True)))


async def test_faults_that_nobody_catches_are_logged_without_what_they_were_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    path = to_file(tmp_path)
    loop = asyncio.get_running_loop()
    log.take_faults(loop)

    def fail(what: str) -> None:
        raise ValueError(what)

    class Untidy:
        def __del__(self) -> None:
            fail(secret)

    async def task() -> None:
        fail(secret)

    secret = "".join(("can", "ary"))
    loop.call_soon(fail, secret)
    thread = threading.Thread(target=fail, args=(secret,))
    thread.start()
    thread.join()
    Untidy()
    failing = asyncio.ensure_future(task())
    await asyncio.wait([failing])
    del failing
    gc.collect()
    told = path.read_text()
    assert secret not in told
    for where in ("in a callback", "in a thread", "while tidying up", "in the event loop: Task exception was never"):
        assert f"ERROR a fault {where}" in told
    assert told.count("\n    ValueError\n") == 4


# -- libraries --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["botocore.endpoint", "botocore", "urllib3.connectionpool", "asyncio", "keyring.backend"]
)
def test_libraries_say_nothing_whatever_was_set_up_for_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    library, root = logging.getLogger(name), logging.getLogger()
    stream = logging.StreamHandler(sys.stderr)
    before = root.level
    library.addHandler(stream)
    library.setLevel(logging.DEBUG)
    root.addHandler(stream)
    root.setLevel(logging.DEBUG)
    try:
        path = to_file(tmp_path, debug=True)
        library.debug("canary")
        library.critical("canary")
        ours.info("x")
    finally:
        root.removeHandler(stream)
        root.setLevel(before)
    assert "canary" not in capsys.readouterr().err
    assert "canary" not in path.read_text()


def test_a_library_that_nobody_has_thought_of_says_nothing_either() -> None:
    code = "import logging; from credhelper import log; log.to_stderr(debug=True); "
    code += "logging.getLogger('unheard.of').critical('canary'); logging.getLogger('credhelper').info('ours')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.endswith(" ours\n")
    assert "canary" not in done.stderr


SITE = """
import logging
logging.basicConfig(level=logging.DEBUG)
logging.getLogger("botocore.endpoint").addHandler(logging.StreamHandler())
import boto3, botocore.session
boto3.set_stream_logger("", logging.DEBUG)
botocore.session.get_session().set_debug_logger("botocore")
"""


def hear(tmp_path: Path, code: str) -> str:
    """What a process says after it has said "now", on a machine whose sitecustomize wants to know all."""
    (tmp_path / "sitecustomize.py").write_text(SITE, encoding="utf-8")
    env = os.environ | {"PYTHONPATH": str(tmp_path), "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    code = "import sys\n" + code.replace("now()", "sys.stderr.write('now\\n')")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    return done.stderr.partition("now\n")[2]


def test_whoever_loads_the_border_to_aws_hears_nothing_of_botocore_even_if_asked_for(tmp_path: Path) -> None:
    ours = """
import logging
from credhelper.aws.identity_center import IdentityCenter
from credhelper.domain.errors import Unavailable
from credhelper.local.clock import SystemClock
now()
try:
    IdentityCenter(SystemClock()).revoke("us-east-1", "canary-of-a-token")
except Unavailable:
    logging.getLogger("somebody").warning("heard")
"""
    theirs = """
import botocore, botocore.exceptions, botocore.session
from botocore.config import Config
config = Config(signature_version=botocore.UNSIGNED, retries={"total_max_attempts": 1})
client = botocore.session.Session().create_client("sso", region_name="us-east-1", config=config)
now()
try:
    client.logout(accessToken="canary-of-a-token")
except botocore.exceptions.EndpointConnectionError:
    print("unreachable")
"""
    assert "canary" in hear(tmp_path, theirs)
    said = hear(tmp_path, ours)
    assert "heard" in said
    assert set(said.splitlines()) <= {line for line in said.splitlines() if "somebody" in line}


def test_a_command_without_debug_loads_no_logging_of_ours() -> None:
    code = "import sys, credhelper.cli.main; print('credhelper.log' in sys.modules, 'logging.handlers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"
