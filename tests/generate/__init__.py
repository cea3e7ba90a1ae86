"""What is made of the parser: the table that completion reads, and the manual page."""

from pathlib import Path

from tests.generate import manual, words

ROOT = Path(__file__).parents[2]


def made() -> dict[Path, str]:
    """Each file and what it is to hold."""
    return {
        ROOT / "credhelper" / "completions" / "words.json": words.document(),
        ROOT / "credhelper" / "man" / "credhelper.1": manual.document(),
    }
