"""The hidden ``credhelper _complete``: what may stand at the cursor, for the scripts of ``credhelper completion``.

Which commands and options there are is read from a table that is made of the parser (``completions/words.json``), for
argparse alone would take longer than a person notices. The first line of the answer says what it is about: ``words``,
``files``, or ``command N`` (the command line of a program begins at the Nth word after ours). Then comes one candidate
a line, after a tab what it is. bash gets them quoted as its line needs it; zsh and fish do that by themselves.
"""

import json
import os
import sys

import credhelper
from credhelper.cli.completing import names

TABLE = os.path.join(os.path.dirname(credhelper.__file__), "completions", "words.json")

LIST_ONLY = "63"
"""``COMP_TYPE`` when bash shows candidates and inserts none (``?``)."""

SAFE_IN_BASH = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-")

Item = tuple[str, str]
"""A candidate, and what it is."""


class Answer:
    """What may stand at the cursor."""

    def __init__(self, kind: str, items: list[Item] | None = None, *, before: str = "") -> None:
        """``before``: what of the word at the cursor stands before the candidates (``--profile=``)."""
        self.kind = kind
        self.items = items or []
        self.before = before


class Line:
    """A command line up to the word at the cursor, read as far as the table knows it."""

    def __init__(self, table: dict, before: list[str]) -> None:  # type: ignore[type-arg]  # JSON
        self.node = table
        self.given: dict[str, str] = {}
        """The values of options, by name; of those without one, nothing."""
        self.awaiting = ""
        """The option whose value comes next."""
        self.positionals = 0
        self.program_at: int | None = None
        """Where the command line of another program begins."""
        self.is_lost = False
        self._takes_options = True
        for index, word in enumerate(before):
            if self.program_at is None:
                self._read(word, index)

    def _read(self, word: str, index: int) -> None:
        if self.awaiting and not (self._is_open_ended() and word.startswith("--")):
            self.given[self.awaiting] = word
            self.awaiting = self.awaiting if self._is_open_ended() else ""
        elif word == "--" and self._takes_options:
            self._takes_options = False
        elif word.startswith("-") and self._takes_options:
            name, equals, value = word.partition("=")
            self.given[name] = value
            takes_more = self.options.get(name, {}).get("takes") and not equals
            self.awaiting = name if takes_more else ""
        elif self.commands:
            self._enter(word)
        elif self.values == ["command"]:
            self.program_at = index
        else:
            self.positionals += 1

    def _enter(self, command: str) -> None:
        if command in self.commands:
            self.node = self.commands[command]
        else:
            self.is_lost = True

    def _is_open_ended(self) -> bool:
        return bool(self.options.get(self.awaiting, {}).get("takes") == "+")

    @property
    def options(self) -> dict:  # type: ignore[type-arg]
        """By name: ``help``, ``takes`` a value (or ``+``, several), ``what`` these are."""
        return self.node.get("options", {})  # type: ignore[no-any-return]

    @property
    def commands(self) -> dict:  # type: ignore[type-arg]
        """The next ones that could be."""
        return self.node.get("commands", {})  # type: ignore[no-any-return]

    @property
    def values(self) -> list:  # type: ignore[type-arg]
        """What the words are that are neither commands nor options."""
        return self.node.get("values", [])  # type: ignore[no-any-return]

    def at_cursor(self, current: str, count: int) -> Answer:
        """What the word may be that begins with ``current``, the one after ``count`` others."""
        if self.program_at is not None:
            return Answer(f"command {self.program_at}")
        if self.is_lost:
            return Answer("words")
        if self.awaiting and not (self._is_open_ended() and current.startswith("-")):
            return self._values(self.options[self.awaiting].get("what"))
        if self._takes_options and current.startswith("-"):
            name, equals, _ = current.partition("=")
            if equals:
                return self._values(self.options.get(name, {}).get("what"), before=name + equals)
            return Answer("words", self._open_options())
        if self.commands:
            return Answer("words", [(name, node["help"]) for name, node in self.commands.items()])
        if self.values == ["command"]:
            return Answer(f"command {count}")
        if self.positionals < len(self.values):
            return self._values(self.values[self.positionals])
        return Answer("words", self._open_options() if self._takes_options else [])

    def _open_options(self) -> list[Item]:
        """Those that have not been given, and those that may be given again."""
        return [
            (name, option["help"])
            for name, option in self.options.items()
            if name not in self.given or option.get("again")
        ]

    def _values(self, what: object, *, before: str = "") -> Answer:
        """What is not known ends with no words; a word that is no option's has none before it."""
        if isinstance(what, list):
            return Answer("words", [(value, "") for value in what], before=before)
        if what == "files":
            return Answer("files", before=before)
        return Answer("words", names.known(what, self.given) if isinstance(what, str) else [], before=before)


def main(words: list[str]) -> int:
    """``bash LINE WORD TYPE``, ``zsh WORD BEFORE…``, ``fish WORD BEFORE…``; or a kind of names (``profiles`` …)."""
    kind, *rest = words or [""]
    if kind == "bash":
        said = for_bash(*[*rest, "", "", ""][:3])
    elif kind in {"zsh", "fish"}:
        current, *before = rest or [""]
        said = _for_others(_answer(before, current), is_whole_word=kind == "fish")
    else:
        said = [_described(item) for item in names.known(kind, {})]
    sys.stdout.buffer.write("".join(line + "\n" for line in said).encode("utf-8", "replace"))
    sys.stdout.buffer.flush()
    return 0


def _answer(before: list[str], current: str) -> Answer:
    with open(TABLE, encoding="utf-8") as file:
        table = json.load(file)
    return Line(table, before).at_cursor(current, len(before))


def _described(item: Item) -> str:
    value, about = item
    return f"{value}\t{about}" if about else value


def _for_others(answer: Answer, *, is_whole_word: bool) -> list[str]:
    before = answer.before if is_whole_word else ""
    return [answer.kind, *(_described((before + value, description)) for value, description in answer.items)]


def for_bash(line: str, replaced: str, kind_of_completion: str) -> list[str]:
    """The answer for the word at the end of ``line``, of which bash replaces the part ``replaced``.

    That part begins where bash breaks words, at a colon too, or behind the quote that is still open. A program's
    command line is told by where in ``line`` it begins, for bash counts the words in its own way.
    """
    words = BashWords(line)
    _, *before = words.whole or [""]
    head = BashWords(line.removesuffix(replaced)).current if replaced else words.current
    answer = _answer(before, words.current)
    if answer.kind.startswith("command "):
        return [f"command {words.begins[int(answer.kind.split()[1]) + 1]}"]
    whole = [(answer.before + value, description) for value, description in answer.items]
    found = [item for item in whole if item[0].startswith(words.current)]
    if kind_of_completion == LIST_ONLY and len(found) > 1:
        return [answer.kind, *(f"{value}  ({about})" if about else value for value, about in found)]
    return [answer.kind, *(quoted(value.removeprefix(head), words.quote) for value, _ in found)]


class BashWords:
    """A command line up to the cursor, split as bash splits it."""

    def __init__(self, line: str) -> None:
        self.whole: list[str] = []
        """Those before the one at the cursor, without their quotes."""
        self.current = ""
        """The one at the cursor, so far."""
        self.quote = ""
        """The one that is open there."""
        self.begins: list[int] = []
        """Where in the line each of them begins, the one at the cursor among them."""
        self._is_in_word = self._is_escaped = False
        for index, character in enumerate(line):
            if self._is_in_word or not character.isspace():
                self._begin(index)
                self._read(character)
        self._begin(len(line))

    def _begin(self, index: int) -> None:
        if not self._is_in_word:
            self.begins.append(index)
            self._is_in_word = True

    def _read(self, character: str) -> None:
        if self._is_escaped:
            is_literal = self.quote and character not in '"\\$`'
            self.current += "\\" + character if is_literal else character
            self._is_escaped = False
        elif character == "\\" and self.quote != "'":
            self._is_escaped = True
        elif self.quote:
            if character == self.quote:
                self.quote = ""
            else:
                self.current += character
        elif character in "\"'":
            self.quote = character
        elif character.isspace():
            self.whole.append(self.current)
            self.current, self._is_in_word = "", False
        else:
            self.current += character


def quoted(text: str, quote: str) -> str:
    """``text`` as it may stand in a line of bash, behind that open quote or none, and mean nothing but itself."""
    if not quote:
        return "".join(each if each in SAFE_IN_BASH or each > "~" else "\\" + each for each in text)
    if quote == "'":
        found = text.replace("'", "'\\''")
    else:
        # An exclamation mark is history's even between double quotes, and a backslash before it would stay.
        found = "".join('"\\!"' if each == "!" else "\\" + each if each in '"\\$`' else each for each in text)
    # bash closes the quote, but not where the last character looks as if it did.
    return found + quote if found.endswith(quote) else found
