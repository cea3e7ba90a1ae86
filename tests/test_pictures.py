"""The README's pictures are small, safe to show anywhere, and the same whenever they are made."""

import re
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.pictures import steady, svg
from tests.pictures.__main__ import LARGEST
from tests.pictures.recording import Cell, Frame, Row
from tests.pictures.scenes import SCENES

PLACE = Path(svg.__file__).parent
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", [scene.name for scene in SCENES])
def test_a_picture_is_small_and_loads_nothing(name: str) -> None:
    content = (PLACE / f"{name}.svg").read_text(encoding="utf-8")
    assert len(content.encode()) <= LARGEST
    root = ElementTree.fromstring(content)  # noqa: S314  # our own
    kinds = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert kinds <= {"svg", "title", "style", "rect", "circle", "text", "tspan", "path", "defs", "g", "use"}
    links = {value for element in root.iter() for key, value in element.items() if key.endswith("href")}
    assert all(link.startswith("#") for link in links)
    assert "url(" not in content
    assert "@import" not in content
    assert "/tmp/" not in content


def test_they_show_what_they_are_about() -> None:
    shown = {name: re.sub(r"<[^>]+>", " ", (PLACE / f"{name}.svg").read_text()) for name in ("login", "status", "sync")}
    assert "Successfully logged into" in shown["login"]
    assert "active" in shown["status"]
    assert "added" in shown["sync"]


def row(text: str, columns: int = 60) -> Row:
    return tuple(Cell(character) for character in text.ljust(columns))


def text_of(frame: Frame) -> list[str]:
    return ["".join(cell.text for cell in line).rstrip() for line in frame.rows]


def test_times_pids_and_places_become_the_same_in_every_recording() -> None:
    began = datetime(2026, 11, 30, 23, 40, 12, tzinfo=UTC)
    recorded = Frame((row("pid 123456, since 23:40"), row("until 00:39, 59 min 7 s"), row("/tmp/ch-ab12/home/.aws")), 1)
    assert text_of(steady.frames([recorded], began)[0]) == [
        "pid 4711, since 14:02",
        "until 15:01, 59 min 7 s",
        "/home/alice/.aws",
    ]


def test_what_looks_like_markup_is_text() -> None:
    frame = Frame((row("<script>&amp; ]]>"),), 1)
    root = ElementTree.fromstring(svg.document([frame], "a < b"))  # noqa: S314
    assert "<script>&amp; ]]>" in ["".join(each.itertext()) for each in root.iter(SVG + "tspan")]


def test_without_motion_the_last_frame_is_shown() -> None:
    picture = svg.document([Frame((row("first"),), 1), Frame((row("last"),), 3)], "two")
    assert "#f1{visibility:visible}" in picture
    assert "prefers-reduced-motion:no-preference" in picture
