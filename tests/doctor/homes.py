"""A person's home for the doctor to look at: healthy as it is made, and for each test broken in one way."""

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from credhelper import __version__, client
from credhelper.aws.token_cache import TokenCache
from credhelper.doctor import checkup
from credhelper.doctor.findings import Finding, State
from credhelper.doctor.libraries import Libraries, Requirement
from credhelper.doctor.link import Daemon, Presence
from credhelper.doctor.scene import Once, Outcome, Scene
from credhelper.domain import documents
from credhelper.domain.model import Registration, SsoSession, Token
from credhelper.local import installation

PATIENCE = 60.0  # seconds for what takes a fraction of one, also on a busy machine
NOW = datetime.now(UTC).replace(microsecond=0)
CORP = SsoSession("corp", "https://corp.awsapps.com/start", "eu-west-1", ("sso:account:access",))

CONFIG = """\
[sso-session corp]
sso_start_url = https://corp.awsapps.com/start
sso_region = eu-west-1
sso_registration_scopes = sso:account:access

[default]
region = eu-west-1

[profile dev]
region = eu-west-1
credential_process = {line}
credhelper_sso_session = corp
credhelper_sso_account_id = 111122223333
credhelper_sso_role_name = Developer

[profile native]
region = eu-west-1
sso_session = corp
sso_account_id = 111122223333
sso_role_name = Administrator

[profile chained]
role_arn = arn:aws:iam::111122223333:role/Deploy
source_profile = dev
s3 =
  addressing_style = path

[profile elsewhere]
credential_process = /opt/other/tool --json
"""

CREDENTIALS = """\
[old-user]
aws_access_key_id = AKIAEXAMPLEEXAMPLE00
aws_secret_access_key = wJalrEXAMPLEsecretEXAMPLEsecretEXAMPLE00
"""


class Installed(Libraries):
    """What is installed, as a test has it."""

    def __init__(self, versions: Mapping[str, str], python: tuple[int, int, int], urllib3: str) -> None:
        self._versions = versions
        self._urllib3 = urllib3
        self.python = python

    def requirements(self) -> list[Requirement]:
        """Two of ours."""
        return [Requirement("botocore", ((">=", "1.35"),)), Requirement("watchdog", ((">=", "6"), ("<", "8")))]

    def version(self, name: str) -> str | None:
        """As given."""
        return self._versions.get(name)

    def urllib3(self) -> str | None:
        """As given."""
        return self._urllib3


class Home:
    """``environment`` and what the daemon and the network say can be changed until ``look`` is called."""

    def __init__(self, root: Path) -> None:
        self.home = root / "home"
        self.aws = self.home / ".aws"
        self.runtime = root / "run"
        self.processes = root / "proc"
        for directory in (self.aws / "sso" / "cache", self.aws / "cli" / "cache", self.runtime, self.processes):
            directory.mkdir(parents=True)
            directory.chmod(0o700)
        self.environment = {
            "HOME": str(self.home),
            "PATH": str(root / "bin"),
            "XDG_RUNTIME_DIR": str(self.runtime),
        }
        self.daemon = Daemon(Presence.RUNNING, "", self.hello(), {"vault": "keyring", "vault_error": None})
        self.network: dict[str, Any] = {
            "endpoints": [self.endpoint(service) for service in ("sso-oidc", "sso", "sts")],
            "clock_skew": 0,
            "variables": {},
            "ca_bundle": None,
            "installation": {"package": str(Path(client.__file__).parent), "exists": True},
        }
        self.libraries = Installed({"botocore": "1.40.1", "watchdog": "7.1.0"}, (3, 11, 7), "2.5.0")
        self.outcome = Outcome(3, "", "credhelper: error: no login\n")
        """What running a credential_process line comes to."""
        self.browser: list[str] | None = ["xdg-open"]
        self.headless: str | None = None
        self.cache = TokenCache.of_home(self.home)
        data = self.home / ".local" / "share" / "credhelper"
        package = Path(client.__file__).parent
        # What installation.put_in_place() leaves, without its waiting for the disk.
        self.copy = self.write(data / "client.py", (package / "client.py").read_bytes(), 0o600)
        self.write(data / "installation", f"{sys.executable}\n{package}\n", 0o600)
        self.line = installation.process_line("dev", self.copy, installation.base_interpreter())
        self.write(self.config, CONFIG.format(line=self.line))
        self.write(self.credentials, CREDENTIALS, 0o600)
        self.log_in()

    @staticmethod
    def hello(**other: str) -> dict[str, Any]:
        """What a daemon says to hello."""
        return {"pid": 4242, "version": __version__, "protocol": client.PROTOCOL.decode()} | other

    @staticmethod
    def endpoint(service: str, kind: str = "answers", detail: str = "", issuer: str | None = None) -> dict[str, Any]:
        """What was found out about one."""
        url = f"https://{service}.eu-west-1.example"
        return {"service": service, "region": "eu-west-1", "url": url, "kind": kind, "detail": detail, "issuer": issuer}

    def all_endpoints(self, kind: str, detail: str, issuer: str | None = None) -> None:
        """The same of every endpoint."""
        self.network["endpoints"] = [self.endpoint(each, kind, detail, issuer) for each in ("sso-oidc", "sso", "sts")]

    @property
    def config(self) -> Path:
        """``~/.aws/config``."""
        return self.aws / "config"

    @property
    def credentials(self) -> Path:
        """``~/.aws/credentials``."""
        return self.aws / "credentials"

    @property
    def token(self) -> Path:
        """The token file of session corp."""
        return self.cache.token_path(CORP)

    @property
    def registration(self) -> Path:
        """Its registration file."""
        return self.cache.registration_path(CORP)

    @property
    def socket(self) -> Path:
        """Where the daemon should be."""
        return self.runtime / "credhelper" / "credhelper.sock"

    def write(self, path: Path, text: str | bytes, mode: int = 0o644) -> Path:
        """A file with this content and mode; its directory is made."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(mode)
        return path

    def add(self, text: str) -> None:
        """More lines at the end of the configuration."""
        self.write(self.config, self.config.read_text(encoding="utf-8") + "\n" + text)

    def edit(self, old: str, new: str) -> None:
        """Changes the configuration."""
        text = self.config.read_text(encoding="utf-8")
        assert old in text
        self.write(self.config, text.replace(old, new))

    def log_in(self, **changes: Any) -> None:
        """A token and a registration of session corp, as the AWS CLI leaves them."""
        fields: dict[str, Any] = {
            "access_token": "aoaEXAMPLEtoken",
            "expires_at": NOW + timedelta(hours=1),
            "start_url": CORP.start_url,
            "region": CORP.region,
            "refresh_token": "aorEXAMPLErefresh",
            "client_id": "client",
            "client_secret": "EXAMPLEsecret",
            "registration_expires_at": NOW + timedelta(days=80),
        }
        self.write(self.token, documents.token_document(Token(**(fields | changes))), 0o600)
        registration = Registration("client", "EXAMPLEsecret", NOW + timedelta(days=80), CORP.scopes)
        self.write(self.registration, documents.registration_document(registration), 0o600)

    def scene(self) -> Scene:
        """The home as it is now."""
        scene = Scene(
            self.environment,
            seconds=PATIENCE,
            find_browser=lambda _: self.browser,
            headless_reason=lambda _: self.headless,
        )
        scene.libraries = self.libraries
        scene.platform = "elsewhere"  # where there is no inotify, whose end takes the kernel a while
        scene.process_directory = self.processes
        scene.run = lambda *_: self.outcome
        scene.daemon = Once(lambda: self.daemon)
        scene.network = Once(lambda: self.network)
        return scene

    def look(self) -> list[Finding]:
        """What the doctor finds."""
        return [finding for group in checkup.examine(self.scene()) for finding in group.findings]

    def adopt(self, line: str) -> None:
        """Another credential_process line in the profile dev."""
        self.edit(self.line, line)

    def token_with(self, **changes: Any) -> None:
        """The token file's document changed; None removes a member."""
        document = json.loads(self.token.read_bytes()) | changes
        kept = {key: value for key, value in document.items() if value is not None}
        self.write(self.token, json.dumps(kept), 0o600)


def ids(findings: list[Finding], state: State) -> list[str]:
    """The ids of the findings in that state, sorted, each once."""
    return sorted({finding.id for finding in findings if finding.state is state})
