"""Broken homes, each with what the doctor must find in it, and must not."""

import os
import shutil
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from credhelper.doctor.findings import State
from credhelper.doctor.link import Daemon, Presence
from credhelper.doctor.scene import Outcome
from credhelper.local import places
from tests.doctor.homes import CORP, NOW, Home, Installed, ids
from tests.program.support import needs_root

FORGOTTEN = 7200  # seconds
SECRETS = ("aoaEXAMPLEtoken", "aorEXAMPLErefresh", "EXAMPLEsecret", "AKIAEXAMPLE", "hidden")


@dataclass(frozen=True)
class Case:
    """One way to break a home. Of the warnings at least these must be found, of the problems exactly these."""

    name: str
    breaks: Callable[[Home], object]
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def _mkfifo(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def _directory(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


def _link(path: Path, target: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def _old(path: Path) -> None:
    os.utime(path, (NOW.timestamp() - FORGOTTEN,) * 2)


def _bind(path: Path, mode: int) -> None:
    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(path))
    path.chmod(mode)


def _process(home: Home, pid: int, name: str) -> None:
    home.write(home.processes / str(pid) / "comm", name + "\n")


def _daemon(home: Home, daemon: Daemon) -> None:
    home.daemon = daemon


def _says(home: Home, **changes: object) -> None:
    home.network |= changes


def _audit(home: Home, older: str = "") -> Path:
    state = home.home / ".local" / "state" / "credhelper"
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = places.audit_log(state)
    return found.with_name(found.name + older)


def _without_browser(home: Home) -> None:
    home.browser = None


def _chain(name: str, length: int) -> str:
    """Profiles of roles that are assumed one after the other, from the profile dev on."""
    return "".join(
        f"[profile {name}{n}]\nrole_arn = arn:aws:iam::111122223333:role/R{n}\n"
        f"source_profile = {f'{name}{n - 1}' if n else 'dev'}\n"
        for n in range(length)
    )


def _env(home: Home, **variables: str) -> Home:
    home.environment |= variables
    return home


LIBRARIES = [
    Case(
        "an older Python",
        lambda h: setattr(h, "libraries", Installed({"botocore": "1.40", "watchdog": "7"}, (3, 10, 2), "2.5.0")),
        ("python.version",),
    ),
    Case(
        "a library that is missing",
        lambda h: setattr(h, "libraries", Installed({"botocore": "1.40"}, (3, 12, 0), "2.5.0")),
        ("libraries.missing",),
    ),
    Case(
        "a library too old and one too new",
        lambda h: setattr(h, "libraries", Installed({"botocore": "1.34.9", "watchdog": "8.0"}, (3, 12, 0), "2.5.0")),
        ("libraries.version",),
    ),
    Case(
        "urllib3 replaced by urllib3-future",
        lambda h: setattr(h, "libraries", Installed({"botocore": "1.40", "watchdog": "7"}, (3, 12, 0), "2.13.904")),
        (),
        ("libraries.urllib3",),
    ),
]

MACHINE = [
    Case("a home that does not exist", lambda h: shutil.rmtree(h.home), ("disk.home",), ("config.missing",)),
    Case("no ~/.aws", lambda h: shutil.rmtree(h.aws), (), ("config.missing", "session.none")),
    Case("a clock that is minutes off", lambda h: _says(h, clock_skew=-120), (), ("clock.skew",)),
    Case("a clock that is an hour off", lambda h: _says(h, clock_skew=3600), ("clock.skew",)),
    Case(
        "a BROWSER that cannot be started",
        lambda h: _without_browser(_env(h, BROWSER="nonesuch")),
        (),
        ("browser.command",),
    ),
    Case("no browser at all", _without_browser, (), ("browser.command",)),
    Case("another tool that renews tokens", lambda h: _process(h, 77, "aws-sso-util"), (), ("tools.running",)),
]

ENVIRONMENT = [
    Case("keys in the environment", lambda h: _env(h, AWS_ACCESS_KEY_ID="AKIA"), (), ("environment.keys",)),
    Case(
        "a container's credentials",
        lambda h: _env(h, AWS_CONTAINER_CREDENTIALS_FULL_URI="http://127.0.0.1:1/"),
        (),
        ("environment.container",),
    ),
    Case("a web identity", lambda h: _env(h, AWS_WEB_IDENTITY_TOKEN_FILE="/x"), (), ("environment.web_identity",)),
    Case("AWS_PROFILE naming no profile", lambda h: _env(h, AWS_PROFILE="Dev"), ("environment.profile",)),
    Case(
        "AWS_CONFIG_FILE naming no file",
        lambda h: _env(h, AWS_CONFIG_FILE="/nonexistent/config"),
        ("environment.files",),
        ("config.missing",),
    ),
    Case(
        "a proxy that the daemon was not started with",
        lambda h: _env(h, HTTPS_PROXY="http://user:hidden@proxy:3128"),
        (),
        ("environment.daemon",),
    ),
]

DAEMON = [
    Case("no daemon", lambda h: _daemon(h, Daemon(Presence.ABSENT)), (), ("daemon.running",)),
    Case(
        "a daemon that does not answer",
        lambda h: _daemon(h, Daemon(Presence.SILENT, "no answer within 2 s")),
        ("daemon.answers",),
    ),
    Case("somebody else's daemon", lambda h: _daemon(h, Daemon(Presence.STRANGER, "x")), ("daemon.stranger",)),
    Case(
        "a daemon of another version",
        lambda h: _daemon(h, Daemon(Presence.RUNNING, "", h.hello(version="0.0.1"), {"vault_error": None})),
        (),
        ("daemon.version",),
    ),
    Case(
        "a daemon of another protocol",
        lambda h: _daemon(h, Daemon(Presence.RUNNING, "the daemon speaks protocol 0", h.hello(protocol="0"))),
        ("daemon.protocol",),
    ),
    Case(
        "a daemon of another home",
        lambda h: _daemon(h, Daemon(Presence.RUNNING, "the daemon serves the home /a, but yours is /b", h.hello())),
        ("daemon.home",),
    ),
    Case(
        "a daemon that refuses its status",
        lambda h: _daemon(h, Daemon(Presence.RUNNING, "a fault", h.hello())),
        ("daemon.status",),
    ),
    Case(
        "a daemon whose installation is gone",
        lambda h: _says(h, installation={"package": "/gone/credhelper", "exists": False}),
        ("daemon.installation",),
    ),
    Case(
        "a daemon of another installation",
        lambda h: _says(h, installation={"package": "/usr/lib", "exists": True}),
        (),
        ("daemon.installation",),
    ),
    Case(
        "a daemon whose sandbox holds a directory that is gone",
        lambda h: _says(h, unwritable=[str(h.home / ".aws" / "sso" / "cache")]),
        ("daemon.unwritable",),
    ),
    Case(
        "a daemon that keeps earlier settings",
        lambda h: h.daemon.status.update(settings_error="there is no key x"),
        (),
        ("settings.daemon",),
    ),
    Case(
        "a keyring that the daemon cannot use",
        lambda h: h.daemon.status.update(vault_error="the keyring is locked"),
        (),
        ("keyring.answers",),
    ),
    Case(
        "tokens in a keyring that is locked",
        lambda h: (
            h.write(h.home / ".config/credhelper/config.toml", 'token_store = "keyring"\n'),
            h.daemon.status.update(vault_error="the keyring is locked"),
        ),
        ("keyring.answers",),
    ),
    Case(
        "settings with a mistake",
        lambda h: h.write(h.home / ".config/credhelper/config.toml", 'token_stor = "shared"\n'),
        ("settings.valid",),
    ),
    Case(
        "settings that are a FIFO",
        lambda h: _mkfifo(h.write(h.home / ".config/credhelper/config.toml", "")),
        ("settings.valid",),
    ),
    Case("settings in a relative path", lambda h: _env(h, CREDHELPER_CONFIG="x.toml"), ("settings.valid",)),
    Case("a relative socket", lambda h: _env(h, CREDHELPER_SOCKET="x/y.sock"), ("socket.path",)),
    Case("a socket's path that is too long", lambda h: _env(h, CREDHELPER_SOCKET="/" + "x" * 120), ("socket.path",)),
    Case("a runtime directory open to others", lambda h: h.runtime.chmod(0o755), (), ("socket.runtime",)),
    Case(
        "a socket's directory open to others",
        lambda h: h.socket.parent.mkdir(mode=0o755),
        ("socket.directory",),
    ),
    Case("a file in the socket's place", lambda h: h.write(h.socket, ""), ("socket.file",)),
    Case("a socket open to others", lambda h: _bind(h.socket, 0o666), (), ("socket.file",)),
    Case(
        "a state directory open to others",
        lambda h: (h.home / ".local/state/credhelper").mkdir(mode=0o755, parents=True),
        ("daemon.state",),
    ),
    Case(
        "a file for the state directory", lambda h: h.write(h.home / ".local/state/credhelper", ""), ("daemon.state",)
    ),
    Case("a link in the audit's place", lambda h: _audit(h).symlink_to("/dev/null"), ("daemon.audit",)),
    Case("a directory in the audit's place", lambda h: _audit(h, ".3").mkdir(), ("daemon.audit",)),
    Case("an audit that others may read", lambda h: _audit(h).touch(0o644), (), ("daemon.audit",)),
]

CONFIGURATION = [
    Case("no configuration", lambda h: h.config.unlink(), (), ("config.missing", "session.none")),
    Case("a section twice", lambda h: h.add("[profile dev]\nregion = x\n"), ("config.duplicate_section",)),
    Case("a key twice", lambda h: h.edit("[default]\n", "[default]\nregion = eu-west-2\n"), ("config.duplicate_key",)),
    Case(
        "a key twice, in another case",
        lambda h: h.edit("[default]\n", "[default]\nRegion = eu-west-2\n"),
        ("config.duplicate_key",),
    ),
    Case(
        "a byte order mark",
        lambda h: h.write(h.config, b"\xef\xbb\xbf" + h.config.read_bytes()),
        ("config.bom",),
    ),
    Case("Latin-1", lambda h: h.write(h.config, h.config.read_bytes() + b"# caf\xe9\n"), ("config.encoding",)),
    Case("a line without =", lambda h: h.edit("[default]\n", "[default]\noutput json\n"), ("config.syntax",)),
    Case(
        "a key before any section",
        lambda h: h.write(h.config, b"region = x\n" + h.config.read_bytes()),
        ("config.syntax",),
    ),
    Case(
        "a nested line without =",
        lambda h: h.edit("  addressing_style = path", "  addressing_style path"),
        ("config.nested",),
    ),
    Case(
        "a mistake in the credentials file",
        lambda h: h.write(h.credentials, "[a]\nnonsense\n", 0o600),
        ("config.syntax",),
    ),
    Case("a FIFO for a configuration", lambda h: _mkfifo(h.config), ("config.unreadable",)),
    Case("a directory for a configuration", lambda h: _directory(h.config), ("config.unreadable",)),
    Case("a link to nowhere", lambda h: _link(h.config, h.home / "nowhere"), ("config.unreadable",)),
    Case("a huge configuration", lambda h: h.write(h.config, "#" * (5 * 1024**2)), ("config.unreadable",)),
    Case(
        "an indented key",
        lambda h: h.edit(
            "sso_account_id = 111122223333\nsso_role_name", "sso_account_id = 111122223333\n  sso_role_name"
        ),
        ("config.indented", "profile.incomplete"),
    ),
    Case(
        "a name with spaces",
        lambda h: h.add("[profile my dev]\nregion = eu-west-1\n"),
        (),
        ("config.unquoted_section",),
    ),
    Case("a profile without the word", lambda h: h.add("[prod]\nregion = eu-west-1\n"), (), ("config.profile_prefix",)),
    Case(
        "a misspelt kind of section",
        lambda h: h.add("[sso_session x]\nsso_region = y\n"),
        (),
        ("config.unknown_section",),
    ),
    Case(
        "[profile x] in the credentials file",
        lambda h: h.write(h.credentials, "[profile x]\nregion = eu-west-1\n", 0o600),
        (),
        ("config.credentials_prefix",),
    ),
    Case(
        "[sso-session x] in the credentials file",
        lambda h: h.write(h.credentials, "[sso-session x]\nsso_region = eu-west-1\n", 0o600),
        (),
        ("config.credentials_prefix",),
    ),
    Case(
        "[default] in two spellings",
        lambda h: h.add("[profile default]\noutput = json\n"),
        (),
        ("config.section_twice",),
    ),
]

SHADOWED = [
    Case(
        "a key with another value in the credentials file",
        lambda h: h.write(h.credentials, "[native]\nregion = us-west-2\nsso_role_name = Hidden\n", 0o600),
        (),
        ("config.shadowed_key",),
    ),
    Case(
        "another credential_process in the credentials file",
        lambda h: h.write(h.credentials, "[dev]\ncredential_process = /opt/other/tool hidden\n", 0o600),
        (),
        ("config.shadowed_key", "profile.shadowed"),
    ),
]

PROFILES = [
    Case(
        "an adopted profile that runs another tool",
        lambda h: h.adopt("/opt/other/tool"),
        (),
        ("profile.shadowed",),
    ),
    Case("a session without a region", lambda h: h.edit("sso_region = eu-west-1\n", ""), ("session.incomplete",)),
    Case(
        "a session with a comment for a region",
        lambda h: h.edit("sso_region = eu-west-1", "sso_region = eu-west-1 # here"),
        ("session.incomplete",),
    ),
    Case("a start URL without TLS", lambda h: h.edit("https://corp", "http://corp"), ("session.incomplete",)),
    Case(
        "a session without scopes",
        lambda h: h.edit("sso_registration_scopes = sso:account:access\n", ""),
        (),
        ("session.scopes",),
    ),
    Case(
        "a session with other scopes",
        lambda h: h.edit("sso:account:access", "codewhisperer:x"),
        (),
        ("session.scopes",),
    ),
    Case(
        "a profile of a missing session",
        lambda h: h.edit("sso_session = corp\nsso_account_id", "sso_session = crop\nsso_account_id"),
        ("profile.session_missing",),
    ),
    Case(
        "an adopted profile of a missing session",
        lambda h: h.edit("credhelper_sso_session = corp", "credhelper_sso_session = crop"),
        ("profile.session_missing",),
    ),
    Case(
        "an account with a digit lost",
        lambda h: h.edit("\nsso_account_id = 111122223333", "\nsso_account_id = 11112222333"),
        ("profile.incomplete",),
    ),
    Case("a profile without a role", lambda h: h.edit("\nsso_role_name = Administrator", ""), ("profile.incomplete",)),
    Case(
        "a profile that contradicts its session",
        lambda h: h.edit("\nsso_session = corp", "\nsso_session = corp\nsso_region = us-east-1"),
        ("profile.contradiction",),
    ),
    Case(
        "a region that is none",
        lambda h: h.edit("region = eu-west-1\nsso_session", "region = eu west\nsso_session"),
        ("profile.region",),
    ),
    Case(
        "a legacy profile",
        lambda h: h.add("[profile old]\nsso_start_url = https://old.awsapps.com/start\nsso_region = eu-west-1\n"),
        (),
        ("profile.legacy",),
    ),
    Case(
        "sso_ keys beside the command",
        lambda h: h.edit(
            "credhelper_sso_session = corp\ncredhelper_sso_account_id", "sso_session = corp\nsso_account_id"
        ),
        ("profile.incomplete", "profile.shadowed"),
    ),
    Case(
        "all sso_ keys beside the command",
        lambda h: h.edit(
            "credhelper_sso_session = corp",
            "sso_session = corp\nsso_account_id = 1\nsso_role_name = Developer\ncredhelper_sso_session = corp",
        ),
        ("profile.shadowed",),
    ),
    Case(
        "a bare sso_session beside the command",
        lambda h: h.edit("credhelper_sso_session = corp", "sso_session = corp\ncredhelper_sso_session = corp"),
        (),
        ("profile.shadowed",),
    ),
    Case(
        "role_arn beside the command",
        lambda h: h.edit(
            "credhelper_sso_session = corp", "credhelper_sso_session = corp\nrole_arn = arn:x\nsource_profile = native"
        ),
        ("profile.shadowed",),
    ),
    Case(
        "keys of an adopted profile in the credentials file",
        lambda h: h.write(h.credentials, "[dev]\naws_access_key_id = AKIAX\naws_secret_access_key = x\n", 0o600),
        ("profile.static_keys",),
    ),
    Case(
        "keys of a native profile in the credentials file",
        lambda h: h.write(h.credentials, "[native]\naws_access_key_id = AKIAX\naws_secret_access_key = x\n", 0o600),
        (),
        ("profile.static_keys",),
    ),
    Case(
        "a source that is no profile",
        lambda h: h.edit("source_profile = dev", "source_profile = gone"),
        ("profile.source",),
    ),
    Case(
        "sources in a circle", lambda h: h.edit("source_profile = dev", "source_profile = chained"), ("profile.source",)
    ),
    Case("a role without a source", lambda h: h.edit("source_profile = dev\n", ""), ("profile.source",)),
    Case(
        "a role for longer than AWS gives it",
        lambda h: h.edit("source_profile = dev", "source_profile = dev\nduration_seconds = 7200"),
        ("profile.duration",),
    ),
    Case(
        "a value that AssumeRole does not take",
        lambda h: h.edit("source_profile = dev", "source_profile = dev\nexternal_id = a b"),
        ("profile.chained",),
    ),
    Case(
        "an adopted role with a source that credhelper does not serve",
        lambda h: h.add(
            "[profile mine]\ncredhelper_role_arn = arn:aws:iam::111122223333:role/Mine\n"
            "credhelper_source_profile = old-user\n"
        ),
        ("profile.chained",),
    ),
    Case(
        "a chain over a profile that is incomplete",
        lambda h: h.edit("credhelper_sso_role_name = Developer", "credhelper_sso_role = Developer"),
        ("profile.incomplete",),
    ),
    Case("five roles one after the other", lambda h: h.add(_chain("deploy", 5)), ("profile.source",)),
]

INDENTED = "\n  aws_secret_access_key = EXAMPLEsecretKEY"

SECRETS_BELOW = [
    Case(
        f"a secret indented below {key}",
        lambda h, key=key, value=value: h.edit(f"{key} = {value}", f"{key} = {value}{INDENTED}"),  # type: ignore[misc]
        ("config.indented", *found),
    )
    for key, value, found in (
        ("\nsso_session", "corp", ("profile.session_missing",)),
        ("\nsso_account_id", "111122223333", ("profile.incomplete",)),
        ("credhelper_sso_role_name", "Developer", ()),
        ("source_profile", "dev", ("profile.source",)),
        ("sso_region", "eu-west-1", ("session.incomplete",)),
    )
]

LINES = [
    Case(
        "a secret indented below the line",
        lambda h: h.adopt(h.line + INDENTED),
        ("config.indented", "line.form"),
    ),
    Case(
        "a line whose interpreter is gone", lambda h: h.adopt(f"/gone/python3 -IS {h.copy} dev"), ("line.interpreter",)
    ),
    Case(
        "a line whose interpreter cannot be run",
        lambda h: h.adopt(f"{h.write(h.home / 'python3', '')} -IS {h.copy} dev"),
        ("line.interpreter",),
    ),
    Case("a line whose client is gone", lambda h: h.copy.unlink(), ("line.client",)),
    Case("a line with an older client", lambda h: h.write(h.copy, "# old\n"), (), ("line.client",)),
    Case(
        "a client whose installation is gone",
        lambda h: h.write(h.copy.with_name("installation"), "/gone/python\n/gone/credhelper\n", 0o600),
        ("line.client",),
    ),
    Case("a client without its note", lambda h: h.copy.with_name("installation").unlink(), (), ("line.client",)),
    Case("a line for another profile", lambda h: h.adopt(h.line.removesuffix("dev") + "prod"), ("line.profile",)),
    Case(
        "a line that begins with a quote", lambda h: h.adopt(f'"{h.line.split()[0]}" -IS {h.copy} dev'), ("line.form",)
    ),
    Case("a line for a shell", lambda h: h.adopt(f"{h.line} 2>/dev/null"), ("line.form",)),
    Case(
        "a line that PATH must find",
        lambda h: h.adopt("sh credhelper get"),
        (),
        ("line.form",),
    ),
    Case("a line that PATH cannot find", lambda h: h.adopt("nonesuch credhelper get"), ("line.interpreter",)),
    Case("a line that prints no credentials", lambda h: setattr(h, "outcome", Outcome(0, "hello\n")), ("line.runs",)),
    Case(
        "a line that fails",
        lambda h: setattr(h, "outcome", Outcome(5, "", "credhelper: error: role X is not assigned\n")),
        ("line.runs",),
    ),
    Case("a line that does not end", lambda h: setattr(h, "outcome", Outcome(None)), (), ("line.runs",)),
]

FILES = [
    Case("credentials that others can read", lambda h: h.credentials.chmod(0o644), (), ("files.readable_by_others",)),
    Case("a token that others can read", lambda h: h.token.chmod(0o640), (), ("files.readable_by_others",)),
    Case("a configuration that others can write", lambda h: h.config.chmod(0o666), ("files.writable_by_others",)),
    Case("a token that others can write", lambda h: h.token.chmod(0o602), ("files.writable_by_others",)),
    Case("~/.aws open to everybody", lambda h: h.aws.chmod(0o777), ("files.writable_by_others",)),
    Case(
        "a file for the cache directory",
        lambda h: (h.cache.directory.rename(h.home / "away"), h.write(h.cache.directory, "")),
        ("files.kind",),
    ),
    Case("a FIFO for a token", lambda h: _mkfifo(h.token), ("files.kind",)),
    Case("a link for a token", lambda h: _link(h.token, h.config), ("files.kind",)),
    Case("a directory for a token", lambda h: _directory(h.token), ("files.kind",)),
    Case("a directory among the tokens", lambda h: (h.cache.directory / "old").mkdir(), (), ("files.kind",)),
    Case("a huge token file", lambda h: h.write(h.token, b"{" + b" " * 2**20, 0o600), ("cache.token",)),
    Case("an empty token file", lambda h: h.write(h.token, "", 0o600), ("cache.token",)),
    Case("a token file cut short", lambda h: h.write(h.token, h.token.read_bytes()[:40], 0o600), ("cache.token",)),
    Case("a token without its end", lambda h: h.token_with(expiresAt=None), ("cache.token",)),
    Case("a registration cut short", lambda h: h.write(h.registration, "{", 0o600), ("cache.registration",)),
    Case(
        "a registration that ends before its token",
        lambda h: h.log_in(registration_expires_at=NOW - timedelta(hours=1)),
        (),
        ("cache.registration_expired",),
    ),
    Case(
        "JSON that is no object",
        lambda h: h.write(h.token.with_name("lock.json"), "12345", 0o600),
        ("cache.not_an_object",),
    ),
    Case("another tool's torn file", lambda h: h.write(h.token.with_name("x.json"), '{"a', 0o600), (), ("cache.torn",)),
    Case(
        "a leftover of a killed program",
        lambda h: _old(h.write(h.token.with_name("tmpabc.tmp"), "{}", 0o600)),
        (),
        ("cache.leftover",),
    ),
    Case(
        "a torn file among the AWS CLI's role credentials",
        lambda h: h.write(h.aws / "cli/cache/abc.json", "{", 0o600),
        ("cache.role",),
    ),
]

NETWORK = [
    Case("no name server", lambda h: h.all_endpoints("dns", "Name or service not known"), ("network.dns",)),
    Case("no route", lambda h: h.all_endpoints("connection", "Network is unreachable"), ("network.connection",)),
    Case("a filter that opens TLS", lambda h: h.all_endpoints("tls", "self-signed", "CN=Filter"), ("network.tls",)),
    Case("a proxy that is down", lambda h: h.all_endpoints("proxy", "refused"), ("network.proxy",)),
    Case("a captive portal", lambda h: h.all_endpoints("in_the_way", "a web page"), ("network.captive_portal",)),
    Case("endpoints that never answer", lambda h: h.all_endpoints("late", "no answer"), ("network.late",)),
    Case("a setting that no client can be made of", lambda h: h.all_endpoints("setting", "x"), ("network.setting",)),
    Case("AWS unwell", lambda h: h.all_endpoints("server", "answered HTTP 500"), (), ("network.endpoint",)),
    Case(
        "a CA bundle that is gone",
        lambda h: _says(h, ca_bundle={"variable": "AWS_CA_BUNDLE", "path": "/gone.pem", "error": "does not exist"}),
        ("network.ca_bundle",),
    ),
    Case(
        "a proxy that is no address",
        lambda h: _says(_env(h, HTTPS_PROXY="socks5://x:1"), variables={"HTTPS_PROXY": "socks5://x:1"}),
        ("network.proxy_setting",),
    ),
]

CASES = [
    *LIBRARIES,
    *MACHINE,
    *ENVIRONMENT,
    *DAEMON,
    *CONFIGURATION,
    *SHADOWED,
    *PROFILES,
    *SECRETS_BELOW,
    *LINES,
    *FILES,
    *NETWORK,
]


def test_a_healthy_home_has_neither_problems_nor_warnings(home: Home) -> None:
    findings = home.look()
    assert [finding for finding in findings if finding.state is not State.OK] == []
    assert len(findings) > 15


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_broken_is_found_with_its_remedy_and_nothing_else_is(home: Home, case: Case) -> None:
    case.breaks(home)
    findings = home.look()
    assert ids(findings, State.PROBLEM) == sorted(case.problems), findings
    assert set(ids(findings, State.WARNING)) >= set(case.warnings), findings
    for finding in findings:
        assert bool(finding.remedy) == (finding.state is not State.OK), finding
        told = f"{finding.detail} {finding.remedy}"
        assert "\n" not in told
        assert not [secret for secret in SECRETS if secret in told], finding.id


POOL = "credhelper_identity_pool_id = us-east-1:11111111-1111-4111-8111-111111111111\n"
LOGIN = """
[cognito_login.notes]
user_pool_id = "us-east-1_AbCdEf123"
client_id = "4client"
redirect_port = 8400
"""


def _settings(home: Home, text: str) -> None:
    home.write(home.home / ".config" / "credhelper" / "config.toml", text, 0o600)


def test_complete_pool_profiles_are_no_finding_nor_is_a_home_with_nothing_else(home: Home) -> None:
    _settings(home, LOGIN)
    home.write(
        home.config,
        f"[profile kiosk]\n{POOL}credhelper_guest = true\n"
        f"[profile app]\n{POOL}credhelper_cognito_login = notes\ncredhelper_flow = basic\n"
        "credhelper_role_arn = arn:aws:iam::111122223333:role/Reports\n"
        "[profile above]\nrole_arn = arn:aws:iam::111122223333:role/Deploy\nsource_profile = app\n",
    )
    findings = home.look()
    assert [finding for finding in findings if finding.state is not State.OK] == []
    assert {"pool.complete", "login.table", "profile.assumed"} <= {finding.id for finding in findings}


@pytest.mark.parametrize(
    ("profile", "toml", "problems", "warnings"),
    [
        ("credhelper_cognito_login = nobody\n", LOGIN, ["pool.incomplete"], []),
        ("", LOGIN, ["pool.incomplete"], []),
        ("credhelper_guest = true\n", LOGIN + '[vault]\nbackend = "off"\n', [], ["login.memory"]),
        (
            "credhelper_guest = true\n",
            '[cognito_login.g]\nprovider = "accounts.google.com"\ntoken_command = "/nonesuch/tool token"\n',
            ["login.command"],
            [],
        ),
    ],
)
def test_what_is_wrong_with_pools_and_logins_is_found(
    home: Home, profile: str, toml: str, problems: list[str], warnings: list[str]
) -> None:
    _settings(home, toml)
    home.add(f"[profile pool]\n{POOL}{profile}")
    findings = home.look()
    assert (ids(findings, State.PROBLEM), ids(findings, State.WARNING)) == (problems, warnings)


def test_what_the_aws_cli_and_file_managers_leave_in_a_healthy_home_is_no_finding(home: Home) -> None:
    for name in ("session.db", "session.db-wal", "session.db-shm"):
        home.write(home.aws / "cli" / "cache" / name, "SQLite format 3\0", 0o644)
    home.write(home.cache.directory / ".DS_Store", b"\0\0\0\1Bud1", 0o644)
    home.write(home.credentials, "[native]\nregion = eu-west-1\n", 0o600)  # the same value as in the config file
    assert [finding for finding in home.look() if finding.state is not State.OK] == []


def test_assumed_roles_are_no_finding_whoever_their_source_is(home: Home) -> None:
    home.add(
        _chain("deploy", 4)
        + "[profile by-keys]\nrole_arn = arn:aws:iam::111122223333:role/K\nsource_profile = old-user\n"
        "duration_seconds = 43200\n"
        "[profile by-instance]\nrole_arn = arn:aws:iam::111122223333:role/I\ncredential_source = Ec2InstanceMetadata\n"
        f"[profile ours]\ncredential_process = {home.line.replace(' dev', ' ours')}\n"
        "credhelper_role_arn = arn:aws:iam::111122223333:role/Ours\ncredhelper_source_profile = deploy2\n"
        "credhelper_mfa_serial = arn:aws:iam::111122223333:mfa/me\n"
    )
    findings = home.look()
    assert [finding for finding in findings if finding.state is not State.OK] == []
    [found] = [finding for finding in findings if finding.id == "profile.assumed"]
    assert found.detail.startswith("6 profile(s)")


def test_a_role_beside_the_command_is_to_be_made_credhelpers_own(home: Home) -> None:
    home.add(
        f"[profile mine]\ncredential_process = {home.line.replace(' dev', ' mine')}\n"
        "role_arn = arn:aws:iam::111122223333:role/Mine\nsource_profile = dev\n"
    )
    [found] = [finding for finding in home.look() if finding.id == "profile.shadowed"]
    assert found.remedy == "credhelper configure adopt --profile mine"


def test_what_cannot_be_adopted_is_to_be_edited_by_hand(home: Home) -> None:
    home.add(
        f"[profile mine]\ncredential_process = {home.line.replace(' dev', ' mine')}\nlogin_session = arn:aws:x\n"
        "role_arn = arn:aws:iam::111122223333:role/Mine\nsource_profile = dev\n"
    )
    found = [finding for finding in home.look() if finding.id == "profile.shadowed"]
    assert {"put credhelper_ before role_arn", "delete login_session"} == {
        str(finding.remedy).partition(": ")[2].partition(",")[0] for finding in found
    }


@pytest.mark.parametrize("case", [case for case in LINES if "line.interpreter" in case.problems], ids=lambda c: c.name)
def test_a_line_that_has_gone_stale_is_mended_by_adopting_anew(home: Home, case: Case) -> None:
    case.breaks(home)
    for finding in home.look():
        if finding.id == "line.interpreter":
            assert finding.remedy == "credhelper configure adopt --profile dev"


def test_documents_on_their_way_into_a_cache_are_secrets_too(home: Home) -> None:
    for name in ("x.json.tmp", "x.json.tmp-1"):
        home.write(home.cache.directory / name, "{}", 0o644)
    assert ids(home.look(), State.WARNING) == ["files.readable_by_others"]


@needs_root
def test_files_of_another_user_are_found(home: Home) -> None:
    os.chown(home.token, 4242, 4242)
    os.chown(home.config, 4242, 4242)
    findings = home.look()
    assert ids(findings, State.PROBLEM) == ["files.owner"]
    assert {str(home.token), str(home.config)} == {
        finding.detail.split(" belongs")[0] for finding in findings if finding.id == "files.owner"
    }


def test_the_session_is_named_in_the_remedy(home: Home) -> None:
    home.write(home.token, "", 0o600)
    [finding] = [finding for finding in home.look() if finding.id == "cache.token"]
    assert finding.remedy == f"credhelper login --sso-session {CORP.name}"
