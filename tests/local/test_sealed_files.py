"""Sealed files: readable with the key and for their purpose only, and known by their names without it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credhelper.local import private_files, sealed_files
from credhelper.local.sealed_files import KeyBox, Unsealable

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
CANARY = b"canary-in-a-sealed-file"


def why(key: bytes, sealed: bytes, bound_to: bytes = b"purpose") -> str:
    with pytest.raises(Unsealable) as caught:
        sealed_files.unseal(key, sealed, bound_to)
    return str(caught.value)


@given(st.binary(max_size=3000), st.binary(max_size=100))
def test_what_was_sealed_is_unsealed(content: bytes, bound_to: bytes) -> None:
    assert sealed_files.unseal(KEY, sealed_files.seal(KEY, content, bound_to), bound_to) == content


def test_the_content_cannot_be_seen_and_no_two_files_are_alike() -> None:
    first, second = (sealed_files.seal(KEY, CANARY, b"purpose") for _ in range(2))
    assert CANARY not in first
    assert first != second


def test_another_key_opens_nothing() -> None:
    assert "another key" in why(OTHER_KEY, sealed_files.seal(KEY, CANARY, b"purpose"))


def test_a_file_for_another_purpose_is_refused() -> None:
    assert "another purpose" in why(KEY, sealed_files.seal(KEY, CANARY, b"purpose"), b"another")


def test_every_changed_bit_is_noticed() -> None:
    sealed = sealed_files.seal(KEY, CANARY, b"purpose")
    for place in range(len(sealed) * 8):
        changed = bytearray(sealed)
        changed[place // 8] ^= 1 << place % 8
        assert CANARY.decode() not in why(KEY, bytes(changed))


def test_every_cut_is_noticed() -> None:
    sealed = sealed_files.seal(KEY, CANARY, b"purpose")
    for length in range(len(sealed)):
        assert why(KEY, sealed[:length])
    assert why(KEY, sealed + b"x")


@given(st.binary(max_size=200))
def test_garbage_is_refused(garbage: bytes) -> None:
    assert why(KEY, garbage)
    assert why(KEY, b"CHS1" + garbage)


def test_a_name_tells_nothing_but_whose_it_is(tmp_path: Path) -> None:
    path = sealed_files.path_of(tmp_path, "corp", "role:111122223333/Developer")
    assert path.parent == tmp_path
    assert len(path.name) == len("0123456789abcdef-0123456789abcdef.sealed")
    assert path != sealed_files.path_of(tmp_path, "corp", "role:111122223333/ReadOnly")
    assert path.name[:16] == sealed_files.path_of(tmp_path, "corp", "token").name[:16]
    assert path.name[:16] != sealed_files.path_of(tmp_path, "other", "token").name[:16]


def test_a_name_has_a_place_for_every_owner(tmp_path: Path) -> None:
    for owner in ("", "../../etc", "a\nb", "\udcff", "\ud800", "x" * 5000):
        path = sealed_files.path_of(tmp_path, owner, "token")
        path.write_bytes(b"")
        assert sealed_files.files_of(tmp_path, owner) == [path]


def test_whose_and_what_a_file_is_can_be_told_without_the_key(tmp_path: Path) -> None:
    of_corp = [sealed_files.path_of(tmp_path, "corp", what) for what in ("token", "sign-in")]
    of_other = [sealed_files.path_of(tmp_path, "other", "token")]
    for path in of_corp + of_other:
        private_files.write(path, b"x")
    assert sealed_files.files_of(tmp_path, "corp") == sorted(of_corp)
    assert sealed_files.files_of(tmp_path, "nobody") == []
    assert sealed_files.all_files(tmp_path) == sorted(of_corp + of_other)
    assert [path for path in of_corp if sealed_files.is_about(path, "token")] == of_corp[:1]


def test_what_killed_writers_left_belongs_to_the_same_owner(tmp_path: Path) -> None:
    path = sealed_files.path_of(tmp_path, "corp", "token")
    code = (
        "import os, pathlib, sys; from credhelper.local import private_files as files\n"
        "files.os.fsync = lambda _: os._exit(0)\n"
        "files.write(pathlib.Path(sys.argv[1]), b'x')"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    [left] = tmp_path.iterdir()
    assert left != path
    assert sealed_files.files_of(tmp_path, "corp") == [left]
    assert sealed_files.files_of(tmp_path, "other") == []
    assert sealed_files.all_files(tmp_path) == [left]
    assert sealed_files.is_about(left, "token")
    assert not sealed_files.is_about(left, "sign-in")


def test_other_files_are_nobodys(tmp_path: Path) -> None:
    owner = sealed_files.path_of(tmp_path, "corp", "token").name[:16]
    for name in (owner, f"{owner}-x.sealed", f"{owner}-{owner}.sealed.bak", f".{owner}-{owner}.sealed", ".x.tmp", "x"):
        (tmp_path / name).write_bytes(b"")
    assert sealed_files.files_of(tmp_path, "corp") == sealed_files.all_files(tmp_path) == []


def test_a_directory_that_is_missing_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for directory in (tmp_path / "no", tmp_path / "file", tmp_path / "no" / "no"):
        assert sealed_files.all_files(directory) == sealed_files.files_of(directory, "corp") == []


def test_a_box_shows_nothing_of_its_key() -> None:
    box = KeyBox()
    assert box.key is None
    box.key = os.urandom(32)
    assert repr(box.key) not in repr(box)
    assert box.key.hex() not in repr(box)


def test_a_process_that_seals_nothing_loads_no_cryptography() -> None:
    code = (
        "import sys, credhelper.agent.vault, credhelper.local.keychain\n"
        "print([name for name in ('cryptography', 'keyring', 'secretstorage') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
