"""``~/.aws/config`` and ``~/.aws/credentials`` as files: whether every tool can read them, and reads the same."""

import difflib
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from credhelper.aws import config_file, second_reading
from credhelper.doctor import ini
from credhelper.doctor.findings import Finding, listed, ok, problem, warning
from credhelper.doctor.ini import Mistake, Section
from credhelper.doctor.scene import Scene
from credhelper.domain.errors import ConfigError

_KINDS = ("profile", "sso-session", "services")
_KNOWN = {"default", "plugins", "preview", "DEFAULT"}


def readable(scene: Scene) -> Iterator[Finding]:
    """Whether botocore and we can read the two files at all, and see the same in them.

    ``config.readable``, ``config.missing``, ``config.unreadable``, and one id for each mistake that makes botocore
    refuse the whole file: ``config.bom``, ``config.encoding``, ``config.duplicate_section``, ``config.duplicate_key``,
    ``config.syntax``, ``config.nested``.
    """
    for path, is_config in ((scene.paths.config, True), (scene.paths.credentials, False)):
        if not os.path.lexists(path):
            if is_config:
                yield warning("config.missing", f"there is no {path}", "credhelper configure sso-session")
            continue
        mistakes = list(_refusals(path, is_config=is_config))
        yield from mistakes or [ok("config.readable", f"{path} can be read by every tool")]


def _refusals(path: Path, *, is_config: bool) -> Iterator[Finding]:
    edit = f"$EDITOR {shlex.quote(str(path))}"
    try:
        content = config_file.read(path)
    except FileNotFoundError:
        yield problem(
            "config.unreadable", f"{path} is a link to what does not exist", f"ls -l {shlex.quote(str(path))}"
        )
        return
    except OSError as error:
        yield problem("config.unreadable", f"{path} cannot be read: {error.strerror}", _make_readable(path))
        return
    except ConfigError as error:
        yield problem("config.unreadable", error.message, f"ls -l {shlex.quote(str(path))}")
        return
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        yield problem("config.encoding", f"{path}: line {line} is not UTF-8 text", _recode(path))
        return
    if text.startswith(ini.BOM):
        yield problem(
            "config.bom",
            f"{path} begins with a byte order mark, and botocore refuses the whole file",
            f"sed -i '1s/^\\xEF\\xBB\\xBF//' {shlex.quote(str(path))}",
        )
        return
    found = [_mistake(path, mistake, edit) for mistake in ini.read(text).mistakes if mistake.kind != "indented"]
    yield from found or _parsers_words(path, is_config=is_config, edit=edit)


def _mistake(path: Path, mistake: Mistake, edit: str) -> Finding:
    place = f"{path}: line {mistake.line}"
    match mistake.kind:
        case "duplicate_section":
            return problem(
                "config.duplicate_section",
                f"{place}: the section [{mistake.what}] is there twice, and botocore refuses the whole file",
                f"{edit}   # move its keys into the first [{mistake.what}] and delete line {mistake.line}",
            )
        case "duplicate_key":
            return problem(
                "config.duplicate_key",
                f"{place}: the key {mistake.what} is there twice in its section, and botocore refuses the whole file",
                f"{edit}   # delete one of the two",
            )
        case "headless":
            why = "something stands before the first [section]"
        case _:
            why = "a line is neither a [section] nor key = value"
    return problem(
        "config.syntax", f"{place}: {why}, and botocore refuses the whole file", f"{edit}   # mend that line"
    )


def _parsers_words(path: Path, *, is_config: bool, edit: str) -> Iterator[Finding]:
    """What the two parsers say of a file in which nothing wrong was seen."""
    try:
        ours = config_file.load(_alone(path, is_config=is_config))
    except ConfigError as error:
        yield problem("config.syntax", error.message, edit)
        return
    try:
        theirs = second_reading.names(path, is_config=is_config)
    except ConfigError:
        yield problem(
            "config.nested",
            f"{path}: botocore refuses the file; below a key without a value every indented line needs key = value",
            edit,
        )
        return
    differing = set(ours.profiles) ^ theirs.profiles | set(ours.sso_sessions) ^ theirs.sso_sessions
    if differing:
        yield warning(
            "config.differs",
            f"{path}: botocore and credhelper read these names differently: {listed(sorted(differing))}",
            edit,
        )


def _alone(path: Path, *, is_config: bool) -> config_file.ConfigPaths:
    nothing = Path(os.devnull)
    return config_file.ConfigPaths(path if is_config else nothing, nothing if is_config else path)


def _make_readable(path: Path) -> str:
    quoted = shlex.quote(str(path))
    return f"sudo chown $USER {quoted} && chmod 600 {quoted}"


def _recode(path: Path) -> str:
    quoted = shlex.quote(str(path))
    return f"iconv -f latin1 -t utf-8 -o {quoted}.utf8 {quoted} && mv {quoted}.utf8 {quoted}"


def overlooked(scene: Scene) -> Iterator[Finding]:
    """Lines that tools pass over in silence.

    ``config.unquoted_section``, ``config.profile_prefix``, ``config.credentials_prefix``, ``config.unknown_section``,
    ``config.section_twice``, ``config.indented``.
    """
    config = scene.config_lines()
    yield from _indented(scene.paths.config, config)
    for section in config.sections:
        yield from _section_of_config(scene.paths.config, section)
    yield from _twice(scene.paths.config, config.sections)
    for section in scene.credentials_lines().sections:
        yield from _section_of_credentials(scene.paths.credentials, section)


def _indented(path: Path, text: ini.Text) -> Iterator[Finding]:
    for mistake in text.mistakes:
        if mistake.kind == "indented":
            yield problem(
                "config.indented",
                f"{path}: line {mistake.line} ({mistake.what}) is indented, and so is part of the value above it",
                f"sed -i '{mistake.line}s/^[[:space:]]*//' {shlex.quote(str(path))}",
            )


def _section_of_config(path: Path, section: Section) -> Iterator[Finding]:
    if section.name in _KNOWN:
        return
    place = f"{path}: line {section.line}: [{section.name}]"
    kind, _, rest = section.name.strip().partition(" ")
    if kind in _KINDS:
        if not _is_one_word(rest):
            bare = rest.strip().replace('"', "")
            yield _rename(
                "config.unquoted_section",
                path,
                section,
                f'{kind} "{bare}"',
                f"{place} is ignored: a name with spaces needs quotes",
            )
        return
    if section.name.startswith(_KINDS):
        return  # such as [profiles x], which botocore takes for a profile
    close = difflib.get_close_matches(kind, _KINDS, n=1, cutoff=0.7)
    if rest and close:
        yield _rename("config.unknown_section", path, section, f"{close[0]} {rest}", f"{place} is ignored")
    elif _looks_like_a_profile(section):
        yield _rename(
            "config.profile_prefix",
            path,
            section,
            f"profile {_quoted(section.name)}",
            f"{place} is ignored: here a profile is [profile NAME]",
        )


def _section_of_credentials(path: Path, section: Section) -> Iterator[Finding]:
    kind, _, rest = section.name.strip().partition(" ")
    place = f"{path}: line {section.line}: [{section.name}]"
    if kind == "profile" and rest:
        yield _rename(
            "config.credentials_prefix",
            path,
            section,
            rest.strip().strip('"'),
            f"{place}: here profiles are bare names",
        )
    elif kind in {"sso-session", "services"} and rest:
        yield warning(
            "config.credentials_prefix",
            f"{place} is ignored: such a section belongs into the config file",
            f"$EDITOR {shlex.quote(str(path))}   # move it to ~/.aws/config",
        )


def overridden(scene: Scene) -> Iterator[Finding]:
    """``config.shadowed_key``: keys that a profile has in both files, with different values."""
    try:
        config = config_file.load(_alone(scene.paths.config, is_config=True)).profiles
        credentials = config_file.load(_alone(scene.paths.credentials, is_config=False)).profiles
    except ConfigError:  # another check says so
        return
    for name, keys in credentials.items():
        elsewhere = config.get(name, {})
        differing = [key for key, value in keys.items() if elsewhere.get(key, value) != value]
        if differing:
            yield warning(
                "config.shadowed_key",
                f"the profile {name} has {listed(differing)} in {scene.paths.config}, and otherwise in"
                f" {scene.paths.credentials}, which wins",
                f"$EDITOR {shlex.quote(str(scene.paths.credentials))}   # [{name}]: delete {listed(differing)},"
                " or delete them from the other file",
            )


def _twice(path: Path, found: list[Section]) -> Iterator[Finding]:
    """Two ways to write one profile: for botocore the later section replaces the earlier."""
    first: dict[tuple[str, str], Section] = {}
    for section in found:
        meant = _meaning(section)
        if meant is None:
            continue
        other = first.setdefault(meant, section)
        if other is not section and other.name != section.name:
            yield warning(
                "config.section_twice",
                f"{path}: [{other.name}] (line {other.line}) and [{section.name}] (line {section.line}) are the same to"
                " botocore, and the later one replaces the earlier",
                f"$EDITOR {shlex.quote(str(path))}   # merge the two into one",
            )


def _meaning(section: Section) -> tuple[str, str] | None:
    if section.name == "default":
        return "profile", "default"
    try:
        words = shlex.split(section.name)
    except ValueError:
        return None
    return (words[0], words[1]) if len(words) == 2 else None


def _is_one_word(rest: str) -> bool:
    try:
        return len(shlex.split(rest)) == 1
    except ValueError:
        return False


def _looks_like_a_profile(section: Section) -> bool:
    return any(
        key in {"region", "output", "role_arn", "credential_process", "source_profile"}
        or key.startswith(("sso_", "aws_", "credhelper_"))
        for key in section.keys
    )


def _quoted(name: str) -> str:
    return f'"{name}"' if " " in name else name


def _rename(name: str, path: Path, section: Section, to: str, detail: str) -> Finding:
    return warning(name, detail, f"$EDITOR {shlex.quote(str(path))}   # line {section.line}: [{to}]")


def section_of(profile: str) -> str:
    """How a profile's section is written."""
    return "[default]" if profile == "default" else f"[profile {_quoted(profile)}]"
