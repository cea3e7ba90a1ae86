"""Environments that a service may be installed from, and those that are thrown away."""

from pathlib import Path

import pytest

from credhelper.local.service import interpreter

TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# by a tool\n"
CACHE = "a cache, as `uvx` and `pipx run` use one"
HERE_TO_STAY = ("/nowhere",)
"""Stands for the temporary directories, in one of which the test itself works."""


def why(place: Path, **environment: str) -> str | None:
    return interpreter.why_passing(place, environment, HERE_TO_STAY)


@pytest.mark.parametrize(
    "place",
    [
        "/home/u/.local/share/uv/tools/credhelper",
        "/home/u/.local/share/pipx/venvs/credhelper",
        "/home/u/.local/pipx/venvs/credhelper",
        "/home/u/src/credhelper/.venv",
        "/usr",
        "/opt/homebrew/Cellar/credhelper/1.0/libexec",
        "/tmpfs/venv",
    ],
)
def test_where_tools_are_installed_to_last(place: str) -> None:
    assert interpreter.why_passing(Path(place), {"TMPDIR": "/"}) is None


@pytest.mark.parametrize(
    "place",
    [
        "/home/u/.cache/uv/archive-v0/hsMCuotjYZbl5fXF",  # uvx, uv tool run
        "/home/u/.cache/uv/builds-v0/.tmpgmYekT",  # uv run --with
        "/home/u/.cache/pipx/85a6528a58a0859",  # pipx run
        "/home/u/.local/pipx/.cache/85a6528a58a0859",  # with PIPX_HOME, and before pipx 1.6
        "/Users/u/Library/Caches/pipx/85a6528a58a0859",
    ],
)
def test_caches_are_known_by_their_names(place: str) -> None:
    assert why(Path(place)) == CACHE


def test_a_cache_elsewhere_is_known_by_its_tag(tmp_path: Path) -> None:
    place = tmp_path / "uv" / "archive-v0" / "hsMCuotjYZbl5fXF"
    place.mkdir(parents=True)
    assert why(place) is None
    (tmp_path / "uv" / "CACHEDIR.TAG").write_text(TAG, encoding="ascii")
    assert why(place) == CACHE
    assert why(tmp_path / "other" / "venv", XDG_CACHE_HOME=str(tmp_path / "other")) == CACHE


def test_the_tag_within_an_environment_means_nothing(tmp_path: Path) -> None:
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "CACHEDIR.TAG").write_text(TAG, encoding="ascii")
    assert why(tmp_path / "venv") is None


def test_temporary_directories_are_known_by_any_of_their_names(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    (real / "venv").mkdir(parents=True)
    link.symlink_to(real)
    for place in (real / "venv", link / "venv"):
        for temporary in (real, link):
            assert why(place, TMPDIR=str(temporary)) == "a temporary directory"
    assert interpreter.why_passing(Path("/var/tmp/venv"), {}) == "a temporary directory"
