"""`credhelper sandbox run`: a sandbox in the foreground, with all one needs to use it on the screen."""

import signal
import sys
import threading
from types import FrameType

from credhelper.sandbox.cognito_directory import CLIENT_ID, REDIRECT_PORTS, USER_POOL_ID, USERS_POOL_ID
from credhelper.sandbox.directory import Person
from credhelper.sandbox.server import Sandbox


def run(port: int) -> int:
    """Serve until SIGINT or SIGTERM; 0 picks a free port. Returns the exit status."""
    try:
        sandbox = Sandbox(port=port, log=_log)
    except (OSError, OverflowError) as error:
        _log(f"credhelper: error: cannot listen on port {port}: {error}")
        return 1
    stop = threading.Event()

    def ask_to_stop(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, ask_to_stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with sandbox:
            print(introduction(sandbox), flush=True)
            stop.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0


def introduction(sandbox: Sandbox) -> str:
    """What to export, what to put into ~/.aws/config, who can sign in."""
    exports = "\n".join(f"export {name}={value}" for name, value in sandbox.environment().items())
    session = (
        f"[sso-session sandbox]\n"
        f"sso_start_url = {sandbox.start_url}\n"
        f"sso_region = {sandbox.region}\n"
        f"sso_registration_scopes = sso:account:access"
    )
    people = "\n".join(_person(sandbox, person) for person in sandbox.directory.people)
    return "\n\n".join(
        [
            f"# An IAM Identity Center and Cognito at {sandbox.url}. Point the daemon, the AWS CLI and SDKs at it:",
            exports,
            "# For ~/.aws/config:",
            session,
            *_profiles(sandbox),
            *_chained_profiles(sandbox),
            *_pool_profiles(sandbox),
            "# For credhelper's config.toml:",
            _login_table(),
            f"# Who can sign in:\n{people}",
        ]
    )


def _person(sandbox: Sandbox, person: Person) -> str:
    line = f"#   {person.name} / {person.password}"
    if person.mfa_secret is None:
        return line
    return f"{line}  (MFA device {sandbox.mfa_serial(person.name)}, secret {person.mfa_secret})"


def _chained_profiles(sandbox: Sandbox) -> list[str]:
    """A profile for each IAM role, and one for the first of those who may assume it."""
    profiles = []
    for role in sandbox.directory.iam_roles:
        source = next((name for name in sorted(role.trust.principals) if "/" in name), None)
        if source is None:
            continue
        account_id, _, role_name = source.partition("/")
        name = f"sandbox-{role.name.lower()}"
        profiles.append(
            f"[profile {name}-source]\n"
            f"sso_session = sandbox\n"
            f"sso_account_id = {account_id}\n"
            f"sso_role_name = {role_name}\n"
            f"region = {sandbox.region}"
        )
        profiles.append(f"[profile {name}]\nrole_arn = {role.arn}\nsource_profile = {name}-source")
    return profiles


def _pool_profiles(sandbox: Sandbox) -> list[str]:
    """One of an identity pool's guests, and one of its users."""
    users = [f"[profile sandbox-{who}]\ncredhelper_identity_pool_id = {USERS_POOL_ID}" for who in ("guest", "user")]
    region = f"region = {sandbox.region}"
    return [
        f"{users[0]}\ncredhelper_guest = true\n{region}",
        f"{users[1]}\ncredhelper_cognito_login = sandbox\n{region}",
    ]


def _login_table() -> str:
    """How the users of the identity pool sign in."""
    return (
        "[cognito_login.sandbox]\n"
        'method = "browser"\n'
        f'user_pool_id = "{USER_POOL_ID}"\n'
        f'client_id = "{CLIENT_ID}"\n'
        f"redirect_port = {list(REDIRECT_PORTS)}"
    )


def _profiles(sandbox: Sandbox) -> list[str]:
    """A profile for the first person's first role in each of the accounts they may use."""
    directory = sandbox.directory
    person = directory.people[0]
    profiles: list[str] = []
    for account in directory.accounts:
        roles = sorted(
            given.role_name
            for given in directory.assignments
            if given.person == person.name and given.account_id == account.account_id
        )
        if roles:
            profiles.append(
                f"[profile sandbox-{len(profiles) + 1}]\n"
                f"sso_session = sandbox\n"
                f"sso_account_id = {account.account_id}\n"
                f"sso_role_name = {roles[0]}\n"
                f"region = {sandbox.region}"
            )
    return profiles


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
