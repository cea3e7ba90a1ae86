"""Directories that live as long as one process."""

import subprocess
import sys
from pathlib import Path

import pytest

from credhelper.domain.errors import CredhelperError
from credhelper.local import scratch

KILLED = """
import os, signal, sys
from pathlib import Path
from credhelper.local import scratch
with scratch.directory(Path(sys.argv[1])) as path:
    (path / "secret").write_text("x")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def entries(parent: Path) -> list[Path]:
    return [path for path in parent.iterdir() if path.is_dir()]


def test_it_is_for_its_user_alone_and_gone_at_the_end(tmp_path: Path) -> None:
    parent = tmp_path / "a" / "b"
    with scratch.directory(parent) as path:
        (path / "inside").mkdir()
        (path / "inside" / "file").write_text("x")
        assert [place.stat().st_mode & 0o777 for place in (parent.parent, parent, path)] == [0o700] * 3
    assert entries(parent) == []


def test_it_is_gone_after_an_error_too(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), scratch.directory(tmp_path / "x"):
        raise KeyboardInterrupt
    assert entries(tmp_path / "x") == []


def test_what_a_killed_process_has_left_is_swept_and_what_is_in_use_is_not(tmp_path: Path) -> None:
    parent = tmp_path / "x"
    subprocess.run([sys.executable, "-c", KILLED, str(parent)], check=False)
    (left,) = entries(parent)
    with scratch.directory(parent) as in_use:
        (in_use / "file").write_text("x")
        scratch.sweep(parent)
        assert not left.exists()
        assert (in_use / "file").exists()


def test_a_sweep_leaves_what_is_no_directory(tmp_path: Path) -> None:
    scratch.sweep(tmp_path / "absent")
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path.parent)
    (tmp_path / "gone").mkdir()
    scratch.sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link", "lock"]


def test_a_directory_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x").chmod(0o755)
    with pytest.raises(CredhelperError, match="others may enter"), scratch.directory(tmp_path / "x" / "y"):
        pytest.fail("it was made")
