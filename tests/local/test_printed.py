"""Programs of the user's own that print a token or a secret."""

import sys
from collections.abc import Sequence

import pytest

from credhelper.domain.errors import ConfigError, CredhelperError, Unavailable
from credhelper.local import printed
from credhelper.local.printed import CommandFailed

WHAT = "[cognito_login.notes] token_command"


def shell(script: str) -> Sequence[str]:
    return ("/bin/sh", "-c", script)


def failure(words: Sequence[str], kind: type[CredhelperError], seconds: float = 10.0) -> str:
    with pytest.raises(kind) as failed:
        printed.of(words, WHAT, seconds=seconds)
    assert type(failed.value) is kind
    assert failed.value.message.startswith(WHAT)
    return failed.value.message


def test_what_it_prints_comes_without_the_white_space_around_it() -> None:
    assert printed.of(shell("printf '\\n a.b.c \\n\\n'"), WHAT) == "a.b.c"


def test_no_shell_reads_the_words() -> None:
    assert printed.of((sys.executable, "-c", "import sys; print(sys.argv[1])", "$HOME; `id`"), WHAT) == "$HOME; `id`"


def test_a_failure_tells_the_status_and_not_what_was_said() -> None:
    told = failure(shell("echo topsecret; echo topsecret >&2; exit 3"), CommandFailed)
    assert "exit status 3" in told
    assert "topsecret" not in told


@pytest.mark.parametrize("script", ["true", "echo", "printf 'two\\nlines'", "printf 'gr\\303\\274n'"])
def test_nothing_or_something_else_than_one_plain_line_is_a_failure(script: str) -> None:
    failure(shell(script), CommandFailed)


def test_a_program_that_is_not_there_is_a_mistake_of_the_configuration() -> None:
    assert "No such file" in failure(("/nowhere/at-all",), ConfigError)


def test_one_that_hangs_is_ended_with_all_that_it_has_started() -> None:
    failure(shell("cat /dev/zero | cat >/dev/null & exec cat"), CommandFailed)  # stdin is empty: it ends by itself
    failure(shell("exec sleep 1000"), Unavailable, seconds=0.05)


def test_one_that_never_stops_printing_is_ended() -> None:
    assert "more than" in failure(shell("exec yes"), CommandFailed)


def test_a_signal_is_told() -> None:
    assert "signal 9" in failure(shell("kill -9 $$"), CommandFailed)


def test_it_does_not_inherit_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "topsecret")
    assert printed.of(shell('echo "${AWS_SECRET_ACCESS_KEY:-none}"'), WHAT) == "none"
