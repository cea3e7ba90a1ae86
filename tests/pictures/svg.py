"""Frames of a terminal as one animated SVG: no scripts, no fonts from elsewhere, the last frame where nothing moves."""

from collections.abc import Iterator
from html import escape
from itertools import groupby

from tests.pictures.recording import Cell, Frame, Row

WIDTH, HEIGHT = 8, 16  # of a cell; two by one, so that a QR code of half blocks is square
FONT_SIZE = 13.3  # a monospaced font's characters are 0.6 of it wide
FONTS = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
PADDING, BAR = 14, 30

PAPER, INK = "#16181d", "#d7dae0"
COLOURS = {
    "black": "#3b4048",
    "red": "#ff7b72",
    "green": "#7ee787",
    "brown": "#f2cc60",
    "blue": "#79c0ff",
    "magenta": "#d2a8ff",
    "cyan": "#76e3ea",
    "white": "#d7dae0",
    "brightblack": "#8b949e",
    "brightred": "#ffa198",
    "brightgreen": "#aff5b4",
    "brightbrown": "#f8e3a1",
    "brightblue": "#a5d6ff",
    "brightmagenta": "#e2c5ff",
    "brightcyan": "#b3f0ff",
    "brightwhite": "#ffffff",
}
"""pyte's words; readable on the dark paper."""

BLOCKS = {"█": (0, 1), "▀": (0,), "▄": (1,)}
"""Characters that are drawn, for a font would leave gaps between them: which halves of the cell they fill."""


def document(frames: list[Frame], title: str) -> str:
    """The picture."""
    columns, rows = _columns_used(frames), _rows_used(frames)
    width, height = columns * WIDTH + 2 * PADDING, rows * HEIGHT + BAR + PADDING
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{_style(frames)}</style>",
        f'<rect x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="8" fill="{PAPER}" stroke="#4d5562"/>',
        *(
            f'<circle cx="{PADDING + 6 + 18 * place}" cy="15" r="5" fill="{colour}"/>'
            for place, colour in enumerate(("#ff5f56", "#ffbd2e", "#27c93f"))
        ),
        f'<text class="c" x="{width / 2:g}" y="19" text-anchor="middle">{escape(title)}</text>',
    ]
    names: dict[Row, str] = {}
    shown = [_uses(frame.rows[:rows], names) for frame in frames]
    parts.append("<defs>")
    parts += (f'<g id="{name}">{"".join(_drawn(row))}</g>' for row, name in names.items())
    parts.append("</defs>")
    for number, uses in enumerate(shown):
        parts.append(f'<g class="f" id="f{number}" transform="translate({PADDING} {BAR})">{uses}</g>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _uses(rows: tuple[Row, ...], names: dict[Row, str]) -> str:
    """A frame out of rows, each of which is drawn once, whichever frame it is in."""
    return "".join(
        f'<use href="#{names.setdefault(row, f"r{len(names)}")}" y="{number * HEIGHT}"/>'
        for number, row in enumerate(rows)
        if any(map(_is_visible, row))
    )


def _rows_used(frames: list[Frame]) -> int:
    return max(
        number for frame in frames for number, row in enumerate(frame.rows, 1) if any(_is_visible(cell) for cell in row)
    )


def _columns_used(frames: list[Frame]) -> int:
    return max(
        number for frame in frames for row in frame.rows for number, cell in enumerate(row, 1) if _is_visible(cell)
    )


def _is_visible(cell: Cell) -> bool:
    return cell.text.strip() != "" or cell.back != "default"


def _style(frames: list[Frame]) -> str:
    """Each frame is there for its part of the whole, again and again; without motion, the last."""
    whole = sum(frame.seconds for frame in frames)
    rules = [
        f"text{{font:{FONT_SIZE}px {FONTS};fill:{INK};white-space:pre}}.b{{font-weight:700}}.c{{fill:#8b949e}}",
        f".f{{visibility:hidden}}#f{len(frames) - 1}{{visibility:visible}}",
    ]
    moving, begins = [], 0.0
    for number, frame in enumerate(frames):
        first, last = begins / whole * 100, (begins + frame.seconds) / whole * 100
        moving.append(f"#f{number}{{animation:k{number} {whole:g}s step-end infinite}}")
        before = "0%{visibility:hidden}" if number else ""
        after = f"{last:.2f}%{{visibility:hidden}}" if number < len(frames) - 1 else ""
        rules.append(f"@keyframes k{number}{{{before}{first:.2f}%{{visibility:visible}}{after}}}")
        begins += frame.seconds
    rules.append(f"@media (prefers-reduced-motion:no-preference){{{''.join(moving)}}}")
    return "".join(rules)


def _drawn(row: Row) -> Iterator[str]:
    yield from _backs(row)
    yield from _blocks(row)
    if spans := "".join(_spans(row)):
        yield f'<text y="12">{spans}</text>'


def _runs(row: Row) -> Iterator[tuple[int, list[Cell]]]:
    """Neighbours that look alike, and where they begin."""
    place = 0
    for _, group in groupby(row, key=lambda cell: (cell.front, cell.back, cell.bold, cell.text in BLOCKS)):
        cells = list(group)
        yield place, cells
        place += len(cells)


def _backs(row: Row) -> Iterator[str]:
    for place, cells in _runs(row):
        if cells[0].back != "default":
            size = f'width="{len(cells) * WIDTH}" height="{HEIGHT}"'
            yield f'<rect x="{place * WIDTH}" {size} fill="{_colour(cells[0].back, PAPER)}"/>'


def _blocks(row: Row) -> Iterator[str]:
    """Thick lines: one through the upper halves of the cells, one through the lower."""
    for place, cells in _runs(row):
        if cells[0].text not in BLOCKS:
            continue
        lines = ""
        for half in (0, 1):
            at = place
            for is_filled, group in groupby(cells, key=lambda cell: half in BLOCKS[cell.text]):
                count = len(list(group))
                if is_filled:
                    lines += f"M{at * WIDTH} {HEIGHT // 4 + half * HEIGHT // 2}h{count * WIDTH}"
                at += count
        yield f'<path d="{lines}" stroke="{_front(cells[0])}" stroke-width="{HEIGHT // 2}"/>'


def _spans(row: Row) -> Iterator[str]:
    for place, cells in _runs(row):
        if cells[0].text in BLOCKS:
            continue
        text = "".join(cell.text for cell in cells)
        begin = len(text) - len(text.lstrip())
        shown = text.strip()
        if not shown:
            continue
        length = sum(1 for cell in cells) - (len(text) - len(shown))
        front = _front(cells[0])
        look = ' class="b"' if cells[0].bold else ""
        look += f' style="fill:{front}"' if front != INK else ""
        at = f'x="{(place + begin) * WIDTH}" textLength="{length * WIDTH}"'
        yield f"<tspan {at}{look}>{escape(shown, quote=False)}</tspan>"


def _front(cell: Cell) -> str:
    """Reversed and without a colour of its own, it is paper on ink."""
    return _colour(cell.front, PAPER if cell.back != "default" and cell.front == "default" else INK)


def _colour(name: str, default: str) -> str:
    if name == "default":
        return default
    return COLOURS.get(name) or "#" + name
