"""Profiles of Cognito identity pools: what they stand for, and how mistakes are told before any call is made."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from credhelper.aws import config_file, pool_profiles
from credhelper.aws.config_file import ConfigPaths, Configuration
from credhelper.aws.pool_profiles import LoginTables
from credhelper.domain.errors import ConfigError
from credhelper.domain.model import ChainedRole, CognitoLogin, Guests, LoginMethod, PoolFlow, PoolRole

POOL = "eu-west-1:01234567-89ab-cdef-0123-456789abcdef"
NOTES = CognitoLogin(
    "notes", LoginMethod.BROWSER, "cognito-idp.eu-west-1.amazonaws.com/eu-west-1_x", "eu-west-1_x", "4a"
)
ARN = "arn:aws:iam::210987654321:role/team/Reports"
GUEST = f"credhelper_identity_pool_id = {POOL}\ncredhelper_guest = true\n"
USER = f"credhelper_identity_pool_id = {POOL}\ncredhelper_cognito_login = notes\n"
BASIC = f"credhelper_flow = basic\ncredhelper_role_arn = {ARN}\n"
ALLOW = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}
POLICY = json.dumps(ALLOW)

Load = Callable[[str], Configuration]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """A home whose ``config.toml`` has the login notes, with this in ``~/.aws/config``."""

    def loaded(config: str) -> Configuration:
        (tmp_path / "config").write_text(config)
        paths = ConfigPaths(tmp_path / "config", tmp_path / "credentials")
        return config_file.load(paths, lambda: LoginTables.of([NOTES], tmp_path / "config.toml"))

    return loaded


def role(load: Load, keys: str, profile: str = "p") -> PoolRole:
    found = load(f"[profile p]\n{keys}").role_of(profile)
    assert isinstance(found, PoolRole)
    return found


def mistake(work: Callable[[], object]) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        work()
    return caught.value


def test_a_guest_profile_stands_for_what_the_pool_gives_its_guests(load: Load) -> None:
    found = role(load, GUEST)
    assert found == PoolRole(POOL, Guests(POOL))
    assert (found.region, found.is_guest, found.account_id, found.role_name) == ("eu-west-1", True, "", "")
    assert found.session.label == f"guests {POOL}"


def test_a_user_profile_signs_in_with_the_login_that_it_names(load: Load) -> None:
    found = role(load, USER)
    assert found == PoolRole(POOL, NOTES, PoolFlow.ENHANCED)
    assert found.session.cache_key == "cognito-login notes"


def test_the_pool_can_be_asked_for_another_role_of_its_own(load: Load) -> None:
    found = role(load, USER + f"credhelper_custom_role_arn = {ARN}\n")
    assert (found.custom_role_arn, found.account_id, found.role_name) == (ARN, "210987654321", "Reports")


def test_the_basic_flow_takes_a_role_a_duration_and_what_narrows_it(load: Load) -> None:
    arns = "arn:aws:iam::aws:policy/ReadOnlyAccess, arn:aws:iam::210987654321:policy/x"
    keys = f"credhelper_duration_seconds = 900\ncredhelper_session_policy = {POLICY}\n"
    found = role(load, USER + BASIC + keys + f"credhelper_session_policy_arns = {arns}\n")
    assert found == PoolRole(
        POOL,
        NOTES,
        PoolFlow.BASIC,
        role_arn=ARN,
        duration_seconds=900,
        session_policy=json.dumps(ALLOW, separators=(",", ":")),
        session_policy_arns=("arn:aws:iam::aws:policy/ReadOnlyAccess", "arn:aws:iam::210987654321:policy/x"),
    )


@pytest.mark.parametrize(
    ("keys", "is_limited"),
    [
        (GUEST + BASIC, True),
        (GUEST + BASIC + "credhelper_scope_down = cognito-guest\n", True),
        (GUEST + BASIC + "credhelper_scope_down = none\n", False),
        (USER + BASIC, False),
        (USER + BASIC + "credhelper_scope_down = cognito-guest\n", True),
        (GUEST, False),
    ],
)
def test_guests_of_the_basic_flow_are_limited_unless_somebody_says_otherwise(
    load: Load, keys: str, is_limited: bool
) -> None:
    assert role(load, keys).scope_down is is_limited


@pytest.mark.parametrize(
    "spelling", ["file:{}", "file://{}", "file:policies/narrow.json", "file://policies/narrow.json"]
)
def test_a_session_policy_may_be_in_a_file(load: Load, tmp_path: Path, spelling: str) -> None:
    path = tmp_path / "policies" / "narrow.json"
    path.parent.mkdir()
    path.write_text("\ufeff" + json.dumps(ALLOW, indent=4))
    configuration = load(f"[profile p]\n{USER}{BASIC}credhelper_session_policy = {spelling.format(path)}\n")
    found = configuration.role_of("p")
    assert isinstance(found, PoolRole)
    assert found.session_policy == json.dumps(ALLOW, separators=(",", ":"))
    assert configuration.policy_files() == [path]


def test_a_session_policy_goes_to_aws_in_ascii(load: Load) -> None:
    keys = (
        USER
        + BASIC
        + 'credhelper_session_policy = {"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "ü"}}\n'
    )
    assert (role(load, keys).session_policy or "").isascii()


def test_a_role_can_be_assumed_with_a_pools_credentials(load: Load) -> None:
    found = load(
        f"[profile p]\n{USER}region = eu-central-1\n"
        f"[profile a]\ncredhelper_role_arn = {ARN}\ncredhelper_source_profile = p\n"
        f"[profile b]\nrole_arn = {ARN}\nsource_profile = guest\n"
        f"[profile guest]\n{GUEST}"
    )
    assert found.role_of("a") == ChainedRole(PoolRole(POOL, NOTES), ARN, "eu-central-1")
    assert found.role_of("b") == ChainedRole(PoolRole(POOL, Guests(POOL)), ARN, "eu-west-1")
    assert (found.sign_in_of("a"), found.sign_in_of("b")) == (NOTES, Guests(POOL))
    assert found.uses("a", NOTES)
    assert "is the profile of an identity pool" in mistake(lambda: found.session_of("a")).message


def test_a_pools_profile_is_none_of_the_sessions(load: Load) -> None:
    found = load(f"[profile p]\n{USER}[profile g]\n{GUEST}")
    assert found.sessions() == ([], [])
    assert set(found.roles()) == {"p", "g"}


ONLY_BASIC = "is for credhelper_flow = basic"
BAD = {
    "credhelper_guest = true\n": "credhelper_identity_pool_id is missing",
    "credhelper_cognito_login = notes\n": "credhelper_identity_pool_id is missing",
    "credhelper_identity_pool_id = eu-west-1_AbC\n": "credhelper_identity_pool_id: “eu-west-1_AbC” is not an identity",
    f"credhelper_identity_pool_id = {POOL}\ncredhelper_gest = true\n": "did you mean credhelper_guest?",
    f"credhelper_identity_pool_id = {POOL}\n": "neither credhelper_cognito_login says who signs in",
    f"credhelper_identity_pool_id = {POOL}\ncredhelper_guest = false\n": "neither credhelper_cognito_login says",
    f"credhelper_identity_pool_id = {POOL}\ncredhelper_guest = yes\n": "credhelper_guest: “yes” is not true or false",
    GUEST + "credhelper_cognito_login = notes\n": "credhelper_guest and credhelper_cognito_login exclude each other",
    GUEST + "credhelper_sso_session = corp\n": "credhelper_sso_session exclude each other",
    GUEST + "sso_start_url = https://x\n": "sso_start_url exclude each other",
    GUEST + f"role_arn = {ARN}\nsource_profile = x\n": "source_profile exclude each other",
    GUEST + BASIC + "credhelper_source_profile = x\n": "credhelper_source_profile exclude each other",
    GUEST + "credhelper_flow = classic\n": "credhelper_flow: “classic” is not enhanced or basic",
    GUEST
    + f"credhelper_role_arn = {ARN}\n": "credhelper_role_arn is for credhelper_flow = basic; in the enhanced flow",
    GUEST + "credhelper_flow = basic\n": "credhelper_role_arn is missing: with credhelper_flow = basic",
    GUEST + "credhelper_duration_seconds = 900\n": f"credhelper_duration_seconds {ONLY_BASIC}",
    GUEST + "credhelper_session_policy = {}\n": f"credhelper_session_policy {ONLY_BASIC}",
    GUEST + "credhelper_session_policy_arns = x\n": f"credhelper_session_policy_arns {ONLY_BASIC}",
    GUEST + "credhelper_scope_down = none\n": f"credhelper_scope_down {ONLY_BASIC}",
    USER + BASIC + f"credhelper_custom_role_arn = {ARN}\n": "credhelper_custom_role_arn is for the enhanced flow",
    USER
    + "credhelper_custom_role_arn = Editors\n": "credhelper_custom_role_arn: “Editors” is not a role's ARN such as",
    USER + BASIC + "credhelper_duration_seconds = 1h\n": "credhelper_duration_seconds: “1h” is not a whole number",
    USER
    + BASIC
    + "credhelper_duration_seconds = 43201\n": "“43201” is not a whole number of seconds from 900 to 43200",
    USER + BASIC + "credhelper_session_policy_arns = a\n": "credhelper_session_policy_arns: “a” is not 1 to 10 ARNs",
    USER + BASIC + "credhelper_scope_down = guest\n": "credhelper_scope_down: “guest” is not cognito-guest or none",
    USER + BASIC + "credhelper_sesion_policy = x\n": "there is no key credhelper_sesion_policy for the profile of an"
    " identity pool (did you mean credhelper_session_policy?)",
    USER + BASIC + "credhelper_session_policy = {\n": "credhelper_session_policy: the policy, line 1, column 2",
    USER + BASIC + 'credhelper_session_policy = {"Statement": []}\n': "credhelper_session_policy: the policy",
    USER + BASIC + "credhelper_session_policy = file:none.json\n": "credhelper_session_policy: there is no file",
    USER + BASIC + "credhelper_session_policy = file:.\n": "not a regular file",
    USER + BASIC + f"credhelper_session_policy = {POLICY.replace('*', 'x' * 2000)}\n": "more than 2048 characters",
    GUEST + BASIC + f"credhelper_session_policy = {POLICY}\n": "cannot be beside Cognito's for guests",
}


@pytest.mark.parametrize("keys", BAD, ids=map(str, range(len(BAD))))
def test_a_mistake_is_told_with_file_section_and_key(load: Load, tmp_path: Path, keys: str) -> None:
    found = mistake(lambda: load(f"[profile p]\n{keys}").role_of("p"))
    assert found.message.startswith(f"{tmp_path / 'config'}: [profile p]: ")
    assert BAD[keys] in found.message
    assert found.status == 4


def test_a_login_that_is_not_there_is_told_with_both_files(load: Load, tmp_path: Path) -> None:
    keys = f"credhelper_identity_pool_id = {POOL}\ncredhelper_cognito_login = note\n"
    found = mistake(lambda: load(f"[profile p]\n{keys}").role_of("p"))
    assert found.message == (
        f"{tmp_path / 'config'}: [profile p]: credhelper_cognito_login: there is no [cognito_login.note]"
        f" in {tmp_path / 'config.toml'} (did you mean notes?)"
    )
    assert found.hint == f"add the table to {tmp_path / 'config.toml'}, then run: credhelper daemon reload"


def test_what_a_policy_file_contains_is_not_told(load: Load, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("canary-secret")
    found = mistake(lambda: role(load, USER + BASIC + "credhelper_session_policy = file:secret\n"))
    assert "canary" not in found.message


def test_a_fifo_in_a_policys_place_hangs_nobody(load: Load, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in str(
        mistake(lambda: role(load, USER + BASIC + "credhelper_session_policy = file:pipe\n"))
    )


def test_without_a_daemon_the_logins_are_read_when_a_profile_names_one(tmp_path: Path) -> None:
    toml = tmp_path / "config.toml"
    toml.write_text("this is no TOML")
    (tmp_path / "config").write_text(f"[profile g]\n{GUEST}[profile p]\n{USER}")
    found = config_file.load(ConfigPaths(tmp_path / "config", tmp_path / "none"), pool_profiles.tables_in(toml))
    assert found.role_of("g") == PoolRole(POOL, Guests(POOL))
    assert "is not TOML" in mistake(lambda: found.role_of("p")).message
    toml.write_text('[cognito_login.notes]\nuser_pool_id = "eu-west-1_x"\nclient_id = "4a"\nmethod = "srp"\n')
    assert found.cognito_login("notes").method is LoginMethod.SRP
