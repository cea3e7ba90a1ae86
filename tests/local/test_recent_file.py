"""The file that says when each role was last handed out."""

import resource
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from credhelper.local import recent_file
from credhelper.local.recent_file import MOST, Use

NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
DEV = Use("corp", "111122223333", "Developer", "dev")
OTHER = Use("https://other.example/start", "222233334444", "ReadOnly", "")

UNUSABLE = {
    "empty": b"",
    "torn": b'{"version": 1, "used": [{"session"',
    "no object": b"[1, 2]",
    "no list": b'{"used": {"a": 1}}',
    "a number for a name": b'{"used": [{"session": 1, "account_id": "", "role_name": "", "profile": "", "at": 1}]}',
    "no time": b'{"used": [{"session": "", "account_id": "", "role_name": "", "profile": "", "at": "noon"}]}',
    "a time without end": b'{"used": [{"session": "", "account_id": "", "role_name": "", "profile": "", "at": 1e99}]}',
    "a time that is none": b'{"used": [{"session": "", "account_id": "", "role_name": "", "profile": "", "at": NaN}]}',
    "nested without end": b"[" * 100_000,
    "no text": b"\xff\xfe",
}


def test_what_is_written_is_read_the_latest_last(tmp_path: Path) -> None:
    path = tmp_path / "state" / "recent.json"
    recent_file.save(path, {OTHER: NOON + timedelta(hours=1), DEV: NOON})
    assert list(recent_file.load(path).items()) == [(DEV, NOON), (OTHER, NOON + timedelta(hours=1))]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_name_of_bytes_that_are_no_text_comes_back_as_it_was(tmp_path: Path) -> None:
    odd = DEV._replace(profile="b\udcfcro")
    recent_file.save(tmp_path / "recent.json", {odd: NOON})
    assert recent_file.load(tmp_path / "recent.json") == {odd: NOON}


@pytest.mark.parametrize("content", UNUSABLE.values(), ids=UNUSABLE)
def test_what_makes_no_sense_counts_as_nothing(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "recent.json"
    path.write_bytes(content)
    path.chmod(0o600)
    assert recent_file.load(path) == {}


def test_only_so_many_are_read(tmp_path: Path) -> None:
    path = tmp_path / "recent.json"
    recent_file.save(path, {DEV._replace(profile=str(n)): NOON + timedelta(seconds=n) for n in range(MOST + 5)})
    found = recent_file.load(path)
    assert len(found) == MOST
    assert DEV._replace(profile="4") not in found


def test_a_session_is_taken_out_and_the_file_goes_with_the_last(tmp_path: Path) -> None:
    path = tmp_path / "recent.json"
    recent_file.save(path, {DEV: NOON, OTHER: NOON})
    recent_file.forget(path, "corp")
    recent_file.forget(path, "nobody's")
    assert recent_file.load(path) == {OTHER: NOON}
    recent_file.forget(path, OTHER.session)
    assert not path.exists()
    recent_file.forget(path, None)


def test_with_no_session_named_everything_goes(tmp_path: Path) -> None:
    path = tmp_path / "recent.json"
    path.write_bytes(b"torn")
    recent_file.forget(path, None)
    assert not path.exists()


def test_a_file_of_which_nobody_can_tell_whose_it_is_goes_with_any_session(tmp_path: Path) -> None:
    path = tmp_path / "recent.json"
    path.write_bytes(b"torn, and it names corp")
    recent_file.forget(path, "corp")
    assert not path.exists()


def test_as_many_as_are_remembered_can_be_read_with_the_longest_names_of_aws(tmp_path: Path) -> None:
    path = tmp_path / "recent.json"
    account, role = "a" * 50, "r" * 64
    used = {
        Use("https://d-1234567890.awsapps.com/start", f"{n:012}", role, f"{account}-{role}-{n}") for n in range(MOST)
    }
    recent_file.save(path, dict.fromkeys(used, NOON))
    assert len(recent_file.load(path)) == MOST


def test_on_a_disk_that_takes_no_other_file_all_of_it_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "recent.json"
    recent_file.save(path, {DEV: NOON, OTHER: NOON})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        recent_file.forget(path, "corp")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not path.exists()
