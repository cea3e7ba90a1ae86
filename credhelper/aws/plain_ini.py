"""A quick reading of configuration files in which every line is plain, as nearly all lines of large ones are.

configparser, by whose rules the files are read, takes a tenth of a second for 2,500 profiles, and the daemon's loop
stands still meanwhile. Here a line is blank, a comment, a ``[header]`` or a ``key = value`` that begins in the first
column; wherever one is anything else, or a name is there twice, this reading gives up and configparser is asked.
"""

import re

Sections = dict[str, dict[str, str]]

_LINE = re.compile(
    r"""
      [ \t]* (?: [#;] [^\n]* )? \n
    | \[ (?P<header> [^][\n]+ ) \] [ \t]* \n
    | (?P<key> [A-Za-z0-9_.-]+ ) [ \t]* = (?P<value> [^\n]* ) \n
    """,
    re.VERBOSE,
)
_UNLIKE = frozenset({"DEFAULT"})  # configparser gives its keys to every section


def sections(content: bytes) -> Sections | None:
    """Each section with its keys in lower case, both in file order; None where configparser must be asked."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    text += "\n"
    found: Sections = {}
    keys: dict[str, str] | None = None
    at = 0
    for line in _LINE.finditer(text):
        if line.start() != at:
            return None
        at = line.end()
        if line.lastgroup is None:
            continue
        header, key, value = line.groups()
        if header is not None:
            if header in found or header in _UNLIKE:
                return None
            keys = found[header] = {}
        elif keys is None or (key := key.lower()) in keys:
            return None
        else:
            keys[key] = value.strip()
    return found if at == len(text) else None
