"""Profiles that assume a role with another profile's credentials: what they stand for, and how mistakes are told."""

from collections.abc import Callable
from pathlib import Path

import pytest

from credhelper.aws import config_file
from credhelper.aws.config_file import ConfigPaths, Configuration
from credhelper.domain.errors import ConfigError
from credhelper.domain.model import ChainedRole, Role, SsoSession

START = "https://corp.awsapps.com/start"
CORP = SsoSession("corp", START, "eu-west-1")
ROOT = f"""\
[sso-session corp]
sso_start_url = {START}
sso_region = eu-west-1
[profile dev]
sso_session = corp
sso_account_id = 111122223333
sso_role_name = Developer
"""
DEVELOPER = Role(CORP, "111122223333", "Developer")
ARN = "arn:aws:iam::222233334444:role/Deploy"
DEPLOY = f"role_arn = {ARN}\nsource_profile = dev\n"
ADOPTED = f"[profile a]\ncredhelper_role_arn = {ARN}\ncredhelper_source_profile = dev\n"

Load = Callable[[str], Configuration]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """What a home's configuration says that has this behind a session and the profile dev."""

    def loaded(config: str, credentials: str = "") -> Configuration:
        (tmp_path / "config").write_text(ROOT + config)
        (tmp_path / "credentials").write_text(credentials)
        return config_file.load(ConfigPaths(tmp_path / "config", tmp_path / "credentials"))

    return loaded


def mistake(work: Callable[[], object]) -> str:
    with pytest.raises(ConfigError) as caught:
        work()
    return caught.value.message


def chain(*names: str, first: str = "dev") -> str:
    """One profile after the other, the first of them with the source ``first``."""
    sources = (first, *names)
    return "".join(
        f"[profile {name}]\nrole_arn = arn:aws:iam::222233334444:role/{name}\nsource_profile = {source}\n"
        for name, source in zip(names, sources, strict=False)
    )


def test_a_native_and_an_adopted_profile_stand_for_the_same_role(load: Load) -> None:
    keys = [
        f"role_arn = {ARN}",
        "source_profile = dev",
        "duration_seconds = 900",
        "external_id = a/b:c",
        "role_session_name = me@work",
        "mfa_serial = arn:aws:iam::111122223333:mfa/me",
        "source_identity = alice",
    ]
    ours = ["credhelper_session_tags = Team = blue,x=,y=a=b", "credhelper_transitive_session_tags = y, Team"]
    found = load(
        "\n".join(["[profile native]", *keys, *ours, "[profile adopted]"])
        + "\n"
        + "\n".join([*(f"credhelper_{key}" for key in keys), *ours])
    )
    assert found.role_of("native") == ChainedRole(
        DEVELOPER,
        ARN,
        "eu-west-1",
        duration_seconds=900,
        external_id="a/b:c",
        role_session_name="me@work",
        mfa_serial="arn:aws:iam::111122223333:mfa/me",
        source_identity="alice",
        tags=(("Team", "blue"), ("x", ""), ("y", "a=b")),
        transitive_tag_keys=("y", "Team"),
    )
    assert found.role_of("adopted") == found.role_of("native")
    assert found.role_of("native").account_id == "222233334444"
    assert found.role_of("native").role_name == "Deploy"
    assert found.role_of("native").session == CORP


def test_credhelpers_own_keys_come_before_the_others_and_do_not_mix_with_them(load: Load) -> None:
    found = load(
        "[profile other]\nsso_session = corp\nsso_account_id = 333344445555\nsso_role_name = Other\n"
        f"[profile both]\n{DEPLOY}external_id = native\n"
        f"credhelper_role_arn = {ARN}2\ncredhelper_source_profile = other\n"
        f"[profile native]\n{DEPLOY}credhelper_external_id = ours\n"
        f"[profile shadow]\n{DEPLOY}credhelper_sso_session = corp\ncredhelper_sso_account_id = 333344445555\n"
        "credhelper_sso_role_name = Shadow\n"
    )
    other = Role(CORP, "333344445555", "Other")
    assert found.role_of("both") == ChainedRole(other, ARN + "2", "eu-west-1")
    assert found.role_of("native") == ChainedRole(DEVELOPER, ARN, "eu-west-1")
    assert found.role_of("shadow") == Role(CORP, "333344445555", "Shadow")


def test_a_native_role_comes_before_native_identity_center_keys_as_for_the_sdks(load: Load) -> None:
    found = load(f"[profile both]\n{DEPLOY}sso_session = corp\nsso_account_id = 333344445555\nsso_role_name = X\n")
    assert found.role_of("both") == ChainedRole(DEVELOPER, ARN, "eu-west-1")


def test_four_roles_may_be_assumed_one_after_the_other_and_no_more(load: Load) -> None:
    found = load(chain("a", "b", "c", "d", "e"))
    role = found.role_of("d")
    for name in ("d", "c", "b", "a"):
        assert isinstance(role, ChainedRole)
        assert role.role_name == name
        role = role.source
    assert role == DEVELOPER
    assert found.session_of("d") == CORP
    assert "[profile e]: more than 4 steps" in mistake(lambda: found.role_of("e"))
    assert set(found.roles()) == {"dev", "a", "b", "c", "d"}


@pytest.mark.parametrize(
    ("profiles", "name", "says"),
    [
        (chain("a", first="a"), "a", "go round in a circle: a -> a"),
        (chain("a", "b", first="b"), "b", "go round in a circle: b -> a -> b"),
        (chain("a", "b", first="b") + chain("c", first="a"), "c", "go round in a circle: c -> a -> b -> a"),
        (chain("a", first="nobody"), "a", "[profile a]: its source “nobody” is no profile of"),
        (chain("a", first="nobody") + chain("b", first="a"), "b", "[profile a]: its source “nobody”"),
        (f"[profile a]\nrole_arn = {ARN}\n", "a", "[profile a]: source_profile is missing"),
        (f"[profile a]\ncredhelper_role_arn = {ARN}\n", "a", "credhelper_source_profile is missing"),
        (f"[profile a]\nrole_arn = {ARN}\nsource_profile =\n", "a", "source_profile is missing"),
        (f"[profile a]\n{DEPLOY}credential_source = Environment\n", "a", "credential_source exclude each other"),
        (f"[profile a]\nrole_arn = {ARN}\ncredential_source = EcsContainer\n", "a", "credential_source names no"),
        (f"[profile a]\nrole_arn = {ARN}\nweb_identity_token_file = /x\n", "a", "not an IAM Identity Center profile"),
        (chain("a", first="keys") + "[profile keys]\naws_access_key_id = AKIA\n", "a", "[profile keys] is not an IAM"),
        (
            ADOPTED + "credhelper_sso_session = corp\n",
            "a",
            "credhelper_role_arn and credhelper_sso_… keys exclude each other",
        ),
        (chain("a", first="half") + "[profile half]\nsso_session = corp\n", "a", "[profile half]: sso_account_id"),
        (chain("a", first="lost") + "[profile lost]\nsso_session = gone\n", "a", "[sso-session gone]"),
    ],
)
def test_a_chain_that_leads_nowhere_is_told_where_it_breaks(load: Load, profiles: str, name: str, says: str) -> None:
    found = load(profiles)
    message = mistake(lambda: found.role_of(name))
    assert says in message
    assert str(found.paths.config) in message
    assert name not in found.roles()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("duration_seconds = 899", "duration_seconds: “899” is not a whole number of seconds from 900 to 43200"),
        ("duration_seconds = 43201", "is not a whole number"),
        ("duration_seconds = 1h", "is not a whole number"),
        ("duration_seconds = 3600.0", "is not a whole number"),
        ("duration_seconds =", "is not a whole number"),
        ("duration_seconds = 99999999999999999999", "is not a whole number"),
        ("external_id = x", "external_id: “x” is not 2 to 1224"),
        ("external_id = äx", "is not 2 to 1224"),
        ("role_session_name = a b", "role_session_name: “a b” is not 2 to 64"),
        ("role_session_name = " + "x" * 65, "is not 2 to 64"),
        ("source_identity = aws:x", "source_identity: “aws:x” is not 2 to 64"),
        ("credhelper_source_identity = x", "credhelper_source_identity: “x” is not"),
        ("mfa_serial = short", "mfa_serial: “short” is not an MFA device's"),
        ("credhelper_session_tags = team", "credhelper_session_tags: “team” is not tags such as"),
        ("credhelper_session_tags = =blue", "is not tags such as"),
        ("credhelper_session_tags = a=b;c", "is not tags such as"),
        ("credhelper_session_tags = aws:x=1", "is not tags such as"),
        ("credhelper_session_tags = a=1,A=2", "is not tags with different keys"),
        ("credhelper_session_tags = " + ",".join(f"k{n}=" for n in range(51)), "is not at most 50 tags"),
        ("credhelper_transitive_session_tags = team", "“team” is not among credhelper_session_tags"),
        ("region = nowhere/else", "region: “nowhere/else” is not a region"),
    ],
)
def test_a_value_that_aws_would_refuse_is_told_with_its_key(load: Load, line: str, says: str) -> None:
    found = load(f"[profile deploy]\n{DEPLOY}{line}\n")
    message = mistake(lambda: found.role_of("deploy"))
    assert message.startswith(f"{found.paths.config}: [profile deploy]: ")
    assert says in message


@pytest.mark.parametrize(
    "arn",
    [
        "Deploy",
        "arn:aws:iam::22223333444:role/Deploy",
        "arn:aws:iam::222233334444:user/Deploy",
        "arn:aws:sts::222233334444:role/Deploy",
        "arn:aws:iam:eu-west-1:222233334444:role/Deploy",
        "arn:aws:iam::222233334444:role/",
        "arn:aws:iam::222233334444:role/two words",
        "arn:aws:iam::222233334444:role/Ünicode",
        "arn:aws:iam::222233334444:role/" + "x" * 65,
    ],
)
def test_what_is_no_roles_arn_is_told(load: Load, arn: str) -> None:
    found = load(f"[profile deploy]\nrole_arn = {arn}\nsource_profile = dev\n")
    assert "role_arn: “" in mistake(lambda: found.role_of("deploy"))


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov", "aws-eusc"])
def test_every_partition_has_roles(load: Load, partition: str) -> None:
    found = load(
        f"[profile x]\nrole_arn = arn:{partition}:iam::222233334444:role/a/b!/D_+=,.@-\nsource_profile = dev\n"
    )
    assert found.role_of("x").role_name == "D_+=,.@-"


def test_the_region_is_the_profiles_else_its_sources_else_the_sessions(load: Load) -> None:
    found = load(
        "[profile here]\nregion = us-west-2\nsso_session = corp\nsso_account_id = 111122223333\nsso_role_name = X\n"
        + chain("a", "b", first="here")
        + "region = ap-south-1\n"
        + chain("c", first="b")
        + chain("d")
    )
    roles = found.roles()
    assert {name: role.region for name, role in roles.items() if isinstance(role, ChainedRole)} == {
        "a": "us-west-2",
        "b": "ap-south-1",
        "c": "ap-south-1",
        "d": "eu-west-1",
    }


def test_a_chained_profile_logs_in_to_the_session_at_its_bottom(load: Load) -> None:
    found = load(
        chain("a", "b", first="half")
        + "[profile half]\nsso_session = corp\n"
        + chain("c", first="old")
        + f"[profile old]\nsso_start_url = {START}\nsso_region = eu-west-1\n"
    )
    legacy = SsoSession(None, START, "eu-west-1")
    assert found.session_of("b") == CORP  # for which the role at the bottom need not be known
    assert found.session_of("c") == legacy
    assert found.uses("b", CORP)
    assert not found.uses("b", legacy)
    assert found.sessions() == ([CORP, legacy], [])


def test_a_source_may_stand_in_the_credentials_file(load: Callable[[str, str], Configuration]) -> None:
    found = load("", f"[deploy]\n{DEPLOY}")
    assert found.role_of("deploy") == ChainedRole(DEVELOPER, ARN, "eu-west-1")


def test_nothing_of_a_value_below_its_own_line_is_shown(load: Load) -> None:
    found = load(f"[profile a]\n{DEPLOY}external_id = x y\n  aws_secret_access_key = hidden\n")
    assert "hidden" not in mistake(lambda: found.role_of("a"))
