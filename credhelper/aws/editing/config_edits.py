"""The one way in which credhelper changes ``~/.aws/config``.

``plan`` reads the file, refuses what cannot be edited safely and computes the new text; ``Change.write`` puts it in
place. Whatever the line model (``config_text``) made of an edit is proven before anybody sees it, by the parser that
botocore uses: it reads the new text as the old one but for the intended keys, sections in their order included, and
every line outside what was edited is there as it was. What is written is read back and compared; if it is not what was
proven, the file is restored.

Refused, with the line where there is one: what botocore refuses as a whole (a section or key that is there twice, bytes
that are no UTF-8, a byte order mark, lines that are neither a header nor a key), a section to be edited that stands
there in two spellings, somebody else's file, a hard link, what is not a regular file; and names and values that cannot
be written so that botocore finds them again.

New lines end as their neighbours do (LF, CRLF), comments and blank lines stay, and a file without a newline at its end
stays one without. Where the files lie, a backup's name and the lock: ``local/edited_files``.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from configparser import DEFAULTSECT
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote

from credhelper.aws import config_file
from credhelper.aws.editing import config_difference
from credhelper.aws.editing.config_proof import Expectation, Reading, prove, prove_block, reading_of
from credhelper.aws.editing.config_text import ConfigText, SectionName, decoded, is_hostile
from credhelper.domain.errors import ConfigChanged, ConfigError, CredhelperError
from credhelper.domain.text import safe
from credhelper.local import edited_files
from credhelper.local.file_lock import LockBusy
from credhelper.local.private_files import UnusableFile

BOM = "\ufeff"

_DOCTOR = "credhelper doctor"

_MARKER = re.compile(r"[!-~]+( [!-~]+)*")


@dataclass(frozen=True, slots=True)
class SetKeys:
    """Adds keys to a section, below its last one, or changes their values; makes the section at the end of the file."""

    section: SectionName
    keys: Mapping[str, str]

    def make(self, text: ConfigText) -> None:
        """On the lines."""
        text.set_keys(self.section, self.keys)

    def foresee(self, expected: Expectation) -> None:
        """On what botocore reads."""
        expected.set_keys(self.section, self.keys)

    def named(self) -> frozenset[str]:
        """The keys that may differ afterwards, in lower case."""
        return frozenset(key.lower() for key in self.keys)

    def written(self) -> Iterator[tuple[str, str | None]]:
        """What it puts into the file: keys and values."""
        yield from self.keys.items()


@dataclass(frozen=True, slots=True)
class RemoveKeys:
    """Takes keys, with all lines of their values, out of a section that must be there; absent ones are no mistake."""

    section: SectionName
    keys: Collection[str]

    def make(self, text: ConfigText) -> None:
        """On the lines."""
        text.remove_keys(self.section, self.named())

    def foresee(self, expected: Expectation) -> None:
        """On what botocore reads."""
        expected.remove_keys(self.section, self.keys)

    def named(self) -> frozenset[str]:
        """The keys that may differ afterwards, in lower case."""
        return frozenset(key.lower() for key in self.keys)

    def written(self) -> Iterator[tuple[str, str | None]]:
        """It puts nothing into the file."""
        yield from ()


@dataclass(frozen=True, slots=True)
class ReplaceKeys:
    """Renames keys where they stand: from each name to the new one with a value, None to keep the value's lines.

    A value that is the old one keeps them as well.
    """

    section: SectionName
    keys: Mapping[str, tuple[str, str | None]]

    def make(self, text: ConfigText) -> None:
        """On the lines."""
        text.replace_keys(self.section, self.keys)

    def foresee(self, expected: Expectation) -> None:
        """On what botocore reads."""
        expected.replace_keys(self.section, self.keys)

    def named(self) -> frozenset[str]:
        """The keys that may differ afterwards, in lower case."""
        return frozenset(key.lower() for old, (new, _) in self.keys.items() for key in (old, new))

    def written(self) -> Iterator[tuple[str, str | None]]:
        """What it puts into the file: keys and values, None where that is the old one."""
        yield from self.keys.values()


@dataclass(frozen=True, slots=True)
class RemoveSection:
    """Takes a section out, from its header to its last key's value; the comments below stay."""

    section: SectionName

    def make(self, text: ConfigText) -> None:
        """On the lines."""
        text.remove_section(self.section)

    def foresee(self, expected: Expectation) -> None:
        """On what botocore reads."""
        expected.remove_section(self.section)

    def named(self) -> frozenset[str]:
        """The whole section, and no key of it if it is made anew."""
        return frozenset()

    def written(self) -> Iterator[tuple[str, str | None]]:
        """It puts nothing into the file."""
        yield from ()


@dataclass(frozen=True, slots=True)
class SetBlock:
    """Makes ``text``, whole sections with LF, all that stands between ``# BEGIN marker`` and ``# END marker``.

    A block that is not there is made at the end of the file; an empty text takes it away with its two lines. ``marker``
    is printable ASCII with single spaces; blocks whose first word is the same do not lie in each other.
    """

    marker: str
    text: str

    def written(self) -> Iterator[tuple[str, str | None]]:
        """What it puts into the file: keys and values."""
        for section in ConfigText(self.text, Path()).sections:
            yield from ((entry.key, entry.value) for entry in section.entries())


KeyEdit = SetKeys | RemoveKeys | ReplaceKeys | RemoveSection
Edit = KeyEdit | SetBlock


@dataclass(frozen=True)
class Change:
    """A proven change that is not made yet. ``before`` is None where there is no file."""

    path: Path
    found: bytes | None = field(repr=False)
    after: bytes = field(repr=False)
    edits: Sequence[Edit] = field(repr=False)

    @property
    def before(self) -> bytes:
        """The file's content, empty where there is no file."""
        return self.found or b""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return self.before == self.after

    def diff(self) -> list[str]:
        """A unified difference for a terminal, without line ends; values that may be secrets are not in it."""
        if self.is_empty:
            return []
        written = {(key.lower(), value) for edit in self.edits for key, value in edit.written()}
        before, after = (ConfigText(content.decode(), self.path) for content in (self.before, self.after))
        return config_difference.lines(safe(str(self.path)), before, after, written)

    def write(self, *, backup: bool) -> Path | None:
        """Makes the change; the backup's path if one was asked for and there was a file.

        Blocks. Raises ConfigChanged, ConfigError, and CredhelperError when the file had to be restored.
        """
        if self.is_empty:
            return None
        try:
            return edited_files.replace(self.path, self.found, self.after, backup=backup)
        except edited_files.Changed:
            raise ConfigChanged(
                f"{self.path}: was changed by another program meanwhile; nothing was written",
                hint="run the same command once more",
            ) from None
        except edited_files.NotWritten:
            raise CredhelperError(f"{self.path}: what was written read back differently; it was restored") from None
        except edited_files.NotRestored:
            raise CredhelperError(
                f"{self.path}: what was written read back differently, and it could not be restored",
                hint=f"ls -l {quote(str(self.path))}*   # a backup, if one was made, is the newest",
            ) from None
        except LockBusy:
            raise ConfigError(f"{self.path}: another credhelper has been writing it for too long") from None
        except OSError as error:
            raise ConfigError(
                f"{self.path}: cannot be written: {error.strerror or error}; nothing was changed",
                hint=f"ls -ld {quote(str(self.path.parent))} {quote(str(self.path))}",
            ) from error


def plan(path: Path, edits: Sequence[Edit]) -> Change:
    """What the edits, in their order, would make of the file at ``path``. Raises ConfigError."""
    found = _read(path)
    text = _text(path, found or b"")
    after = _apply(path, text, edits).encode()
    if len(after) > config_file.LARGEST:
        raise ConfigError(f"{path}: would be larger than {config_file.LARGEST // 1024**2} MiB")
    return Change(path, found, after, tuple(edits))


def block(path: Path, marker: str) -> str | None:
    """The text in a managed block, with LF; None when there is no such block. Raises ConfigError."""
    return _begin(path, _text(path, _read(path) or b""))[0].block(marker)


def _read(path: Path) -> bytes | None:
    try:
        return edited_files.read(path, largest=config_file.LARGEST)
    except UnusableFile as error:
        raise ConfigError(f"{path}: cannot be edited: {error}", hint=f"ls -l {quote(str(path))}") from None


def _text(path: Path, content: bytes) -> str:
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{path}: line {line} is not UTF-8 text, and botocore refuses the file", hint=_DOCTOR
        ) from None
    if text.startswith(BOM):
        raise ConfigError(
            f"{path}: line 1 begins with a byte order mark, and botocore refuses the file",
            hint=f"sed -i '1s/^\\xEF\\xBB\\xBF//' {quote(str(path))}",
        )
    return text


def _apply(path: Path, text: str, edits: Sequence[Edit]) -> str:
    """Block by block and, between these, all the others at once: they are named by sections, a block by its place."""
    together: list[KeyEdit] = []
    for edit in edits:
        if isinstance(edit, SetBlock):
            text = _set_block(path, _edit_keys(path, text, together) if together else text, edit)
            together = []
        else:
            together.append(edit)
    return _edit_keys(path, text, together) if together or not edits else text


def _edit_keys(path: Path, before: str, edits: Sequence[KeyEdit]) -> str:
    text, expected = _begin(path, before)
    named: dict[SectionName, frozenset[str]] = {}
    for edit in edits:
        edit.make(text)
        edit.foresee(expected)
        named[edit.section] = named.get(edit.section, frozenset()) | edit.named()
    after = text.render()
    if edits:
        prove(expected, before, after, named, path)
    return after


def _set_block(path: Path, before: str, edit: SetBlock) -> str:
    text, expected = _begin(path, before)
    new = _block_reading(path, edit)
    above, gone = text.sections_around(edit.marker)
    expected.replace_sections(above, gone, new)
    text.set_block(edit.marker, edit.text)
    after = text.render()
    text.refuse_twins([name for name in map(decoded, new.sections) if name is not None])
    prove_block(expected, before, after, edit.marker, path)
    return after


def _begin(path: Path, before: str) -> tuple[ConfigText, Expectation]:
    """The two models of a file that botocore can read and that both see alike."""
    try:
        reading = reading_of(before, path)
    except ConfigError as error:
        error.hint = error.hint or _DOCTOR
        raise
    text = ConfigText(before, path)
    reading.confirm(text, path)
    return text, Expectation(reading)


def _block_reading(path: Path, edit: SetBlock) -> Reading:
    """What the block's new text says by itself. Raises ConfigError where it cannot be one."""
    if not _MARKER.fullmatch(edit.marker):
        raise ConfigError(f"{path}: “{safe(edit.marker)}” cannot be the name of a block")
    if any(is_hostile(character) for character in set(edit.text) - {"\n", "\t"}):
        raise ConfigError(f"{path}: the block “{safe(edit.marker)}” would hold a control character")
    reading = reading_of(edit.text, path)
    text = ConfigText(edit.text, path)
    if text.has_block_lines(edit.marker) or any(section.text == DEFAULTSECT for section in text.sections):
        raise ConfigError(f"{path}: the block “{safe(edit.marker)}” would hold another block or a section DEFAULT")
    return reading
