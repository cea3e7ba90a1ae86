"""Which profiles are adopted and released, how, and why others are not; and that the one undoes the other."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from credhelper.aws import config_file
from credhelper.aws.config_file import ConfigPaths, Configuration
from credhelper.aws.editing import adoption, config_edits
from credhelper.aws.editing.adoption import Plan
from credhelper.domain.errors import ConfigError
from credhelper.local import installation

START = "https://corp.awsapps.com/start"
CORP = f"[sso-session corp]\nsso_start_url = {START}\nsso_region = eu-west-1\n\n"
SSO = "sso_session = corp\nsso_account_id = 111122223333\nsso_role_name = Developer\n"
OWN_SSO = SSO.replace("sso_", "credhelper_sso_")
LEGACY = f"sso_start_url = {START}\nsso_region = eu-west-1\nsso_account_id = 111122223333\nsso_role_name = Developer\n"
DEV = f"[profile dev]\nregion = eu-west-1\n{SSO}"
ARN = "arn:aws:iam::222233334444:role/Deploy"
CHAIN = f"role_arn = {ARN}\nsource_profile = dev\n"
OWN_CHAIN = CHAIN.replace("role_arn", "credhelper_role_arn").replace("source_", "credhelper_source_")
POOL = "credhelper_identity_pool_id = eu-west-1:00000000-0000-0000-0000-000000000000\ncredhelper_guest = true\n"
COPY, PYTHON = Path("/home/u/.local/share/credhelper/client.py"), Path("/usr/bin/python3")
OTHER_TOOL = "credential_process = /opt/other/tool hidden\n"

Home = Callable[..., Configuration]


def line_of(profile: str) -> str:
    return installation.process_line(profile, COPY, PYTHON)


def ours(profile: str) -> str:
    return f"credential_process = {line_of(profile)}\n"


def put(directory: Path, config: str | bytes, credentials: str | None = None) -> Configuration:
    """The configuration of a home with these two files."""
    aws = directory / ".aws"
    aws.mkdir(exist_ok=True)
    (aws / "config").write_bytes(config if isinstance(config, bytes) else config.encode())
    if credentials is not None:
        (aws / "credentials").write_text(credentials)
    return config_file.load(ConfigPaths.of({"HOME": str(directory)}))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with these two files."""
    return lambda config, credentials=None: put(tmp_path, config, credentials)


def adopted(configuration: Configuration, *names: str) -> Plan:
    return adoption.adopt(configuration, names or None, line_of)


def changed(configuration: Configuration, plan: Plan) -> str:
    return config_edits.plan(configuration.paths.config, adoption.edits(plan)).after.decode()


# -- what is adopted --------------------------------------------------------------------------------------------------


def test_the_keys_of_identity_center_get_the_prefix_where_they_stand_and_the_rest_stays(home: Home) -> None:
    before = (
        "# mine\n[profile dev]\nregion = eu-west-1\nsso_session=corp\n# the account\nsso_account_id = 111122223333\n"
        "SSO_Role_Name : Developer\ns3 =\n  addressing_style = path\noutput = json\n\n; next\n"
    )
    configuration = home(CORP + before)
    plan = adopted(configuration, "dev")
    assert changed(configuration, plan) == CORP + (
        "# mine\n[profile dev]\nregion = eu-west-1\ncredhelper_sso_session=corp\n# the account\n"
        "credhelper_sso_account_id = 111122223333\ncredhelper_SSO_Role_Name : Developer\ns3 =\n"
        f"  addressing_style = path\noutput = json\n{ours('dev')}\n; next\n"
    )


def test_all_means_whatever_stands_for_a_role_and_is_not_adopted_yet(home: Home) -> None:
    plan = adopted(
        home(
            CORP + DEV + f"[default]\n{LEGACY}[profile deploy]\n{CHAIN}"
            f"[profile ready]\n{ours('ready')}{OWN_SSO}[profile by-hand]\n{OWN_SSO}[profile stale]\n"
            f"credential_process = /gone/python3 -IS {COPY} stale\n{OWN_CHAIN}[profile pool]\n{POOL}"
            f"[profile half]\n{ours('half')}{SSO}"
            "[profile keys]\naws_access_key_id = AKIA\naws_secret_access_key = x\n"
            "[profile from-keys]\nrole_arn = arn:aws:iam::1:role/X\nsource_profile = keys\n"
            "[profile by-instance]\nrole_arn = arn:aws:iam::1:role/X\ncredential_source = Ec2InstanceMetadata\n"
            f"[profile bearer]\nsso_session = corp\n[profile elsewhere]\n{OTHER_TOOL}"
        )
    )
    assert list(plan.turns) == ["dev", "default", "deploy", "by-hand", "stale", "pool", "half"]
    assert list(plan.settled) == ["ready"]
    assert plan.refused == {}
    assert list(plan.others) == ["keys", "from-keys", "by-instance", "bearer", "elsewhere"]


def test_an_adopted_profile_without_a_line_gets_one_and_nothing_else(home: Home) -> None:
    for keys in (OWN_SSO, OWN_CHAIN, POOL):
        configuration = home(f"{CORP}{DEV}[profile mine]\n{keys}")
        after = changed(configuration, adopted(configuration, "mine"))
        assert after == f"{CORP}{DEV}[profile mine]\n{keys}{ours('mine')}"
        assert list(adopted(home(after), "mine").settled) == ["mine"]


@pytest.mark.parametrize(
    "stale",
    [
        "credhelper get --profile mine",
        f"/gone/python3 -IS {COPY} mine",
        f'"/x y/python3" -IS {COPY} mine',
        line_of("x"),
    ],
)
def test_a_line_of_ours_that_says_something_else_is_repaired_in_its_place(home: Home, stale: str) -> None:
    configuration = home(f"{CORP}[profile mine]\ncredential_process = {stale}\n{OWN_SSO}")
    assert changed(configuration, adopted(configuration, "mine")) == f"{CORP}[profile mine]\n{ours('mine')}{OWN_SSO}"


def test_whatever_begins_with_sso_goes_and_comes_back(home: Home) -> None:
    """Java's SDK takes any such key for Identity Center; aws-sso-util marks its profiles by some of its own."""
    more = "sso_auto_populated = true\nsso_registration_scopes = x\n"
    configuration = home(CORP + DEV + more)
    after = changed(configuration, adopted(configuration, "dev"))
    assert "\nsso_" not in after.partition("[profile dev]")[2]
    released = home(after)
    assert changed(released, adoption.release(released, ["dev"])) == CORP + DEV + more


def test_keys_that_only_credhelper_has_are_no_part_of_the_turn(home: Home) -> None:
    native = CHAIN + "external_id = ab\nmfa_serial = arn:aws:iam::222233334444:mfa/me\nduration_seconds = 900\n"
    tags = "role_session_name = me\ncredhelper_session_tags = team=blue\ncredhelper_source_identity = alice\n"
    configuration = home(f"{CORP}{DEV}[profile deploy]\n{native}{tags}")
    plan = adopted(configuration, "deploy")
    assert set(plan.turns["deploy"].renamed) == {line.split(" = ")[0] for line in (native + tags).splitlines()[:6]}
    after = changed(configuration, plan)
    assert "\ncredhelper_source_identity = alice\n" in after
    assert home(after).role_of("deploy") == configuration.role_of("deploy")
    released = home(after)
    assert changed(released, adoption.release(released, ["deploy"])) == f"{CORP}{DEV}[profile deploy]\n{native}{tags}"


def test_the_lost_logins_are_told_by_session(home: Home) -> None:
    configuration = home(
        CORP + DEV + f"[profile ops]\n{SSO}[profile old]\n{LEGACY}[profile deploy]\n{CHAIN}[profile m]\n{OWN_SSO}"
    )
    lost = adoption.logins_lost(configuration, adopted(configuration))
    assert lost == {"corp": ["dev", "ops"], None: ["old"]}


def test_a_profile_is_adopted_once_however_often_it_is_named(home: Home) -> None:
    assert list(adopted(home(CORP + DEV), "dev", "dev").turns) == ["dev"]


# -- what is not ------------------------------------------------------------------------------------------------------

STATIC = "aws_access_key_id = AKIAHIDDEN\naws_secret_access_key = hidden\n"


@pytest.mark.parametrize(
    ("keys", "credentials", "why"),
    [
        (SSO + OTHER_TOOL, "", "its credential_process runs another tool"),
        (OWN_SSO + OTHER_TOOL, "", "its credential_process runs another tool"),
        (SSO + OWN_SSO, "", "sso_session and credhelper_sso_session exclude each other"),
        (SSO + OWN_CHAIN, "", "sso_session and credhelper_role_arn exclude each other"),
        (SSO + CHAIN, "", "sso_session and role_arn exclude each other"),
        (CHAIN + OWN_CHAIN, "", "role_arn and credhelper_role_arn exclude each other"),
        (SSO + POOL, "", "sso_session and credhelper_identity_pool_id exclude each other"),
        (CHAIN + "external_id = ab\ncredhelper_external_id = cd\n", "", "external_id and credhelper_external_id"),
        (CHAIN + "credhelper_external_id = cd\n", "", "it would stand for another role"),
        (SSO + STATIC, "", "it has aws_access_key_id in {config}, which SDKs prefer"),
        (SSO, f"[mine]\n{STATIC}", "it has aws_access_key_id in {credentials}, which SDKs prefer"),
        (OWN_SSO, f"[mine]\n{STATIC}", "it has aws_access_key_id in {credentials}, which SDKs prefer"),
        (SSO + "login_session = arn:aws:x\n", "", "it has login_session in {config}"),
        (
            SSO,
            "[mine]\nsso_role_name = Other\n",
            "its sso_role_name stands in {credentials}, which credhelper does not",
        ),
        (SSO, f"[mine]\n{ours('mine')}", "its credential_process stands in {credentials}"),
        ("", f"[mine]\n{SSO}", "its sso_session stands in {credentials}"),
        ("", f"[mine]\n{OWN_SSO}", "its credhelper_sso_session stands in {credentials}"),
        (
            "sso_session = corp\nsso_account_id = 111122223333\n",
            "",
            "[profile mine]: sso_role_name is missing",
        ),
        (SSO.replace("corp", "gone"), "", "{config}: there is no section [sso-session gone]"),
        (SSO + "sso_region = us-east-1\n", "", "contradict each other in sso_region"),
        ("credhelper_sso_session = corp\n", "", "credhelper_sso_account_id is missing"),
        (OWN_CHAIN.replace("dev", "gone"), "", "its source “gone” is no profile"),
        (CHAIN + "duration_seconds = 1\n", "", "duration_seconds: “1” is not a whole number"),
        ("region = eu-west-1\n", "", "it is no Identity Center profile"),
        (STATIC, "", "it is no Identity Center profile"),
        ("sso_session = corp\n", "", "it stands for no role"),
        (f"role_arn = {ARN}\nsource_profile = mine\n{STATIC}", "", "the sources go round in a circle"),
        (
            f"role_arn = {ARN}\nweb_identity_token_file = /x\n",
            "",
            "is not assumed with the credentials of a source_prof",
        ),
    ],
)
def test_what_cannot_be_adopted_is_refused_with_the_reason(home: Home, keys: str, credentials: str, why: str) -> None:
    configuration = home(f"{CORP}{DEV}[profile mine]\n{keys}", credentials)
    plan = adopted(configuration, "mine", "dev")
    assert list(plan.turns) == ["dev"]
    assert (
        why.format(config=configuration.paths.config, credentials=configuration.paths.credentials)
        in (plan.refused["mine"])
    )
    assert "hidden" not in plan.refused["mine"]
    assert "HIDDEN" not in plan.refused["mine"]


def test_names_that_no_profile_has_are_a_mistake_of_their_own(home: Home) -> None:
    configuration = home(CORP + DEV)
    with pytest.raises(ConfigError, match="profile “gone” is not in"):
        adopted(configuration, "dev", "gone")
    with pytest.raises(ConfigError, match="the profiles “gone”, “lost” are not in"):
        adoption.release(configuration, ["gone", "dev", "lost"])


# -- what is released -------------------------------------------------------------------------------------------------


def test_all_that_is_adopted_is_released(home: Home) -> None:
    configuration = home(
        f"{CORP}{DEV}[profile a]\n{ours('a')}{OWN_SSO}[profile b]\n{OWN_CHAIN}[profile c]\n{POOL}{ours('c')}"
        f"[profile d]\n{POOL}[profile e]\n{ours('e')}{SSO}[profile f]\n{OTHER_TOOL}"
    )
    plan = adoption.release(configuration, None)
    assert list(plan.turns) == ["a", "b", "c", "e"]
    assert list(plan.settled) == ["d"]
    assert plan.refused == {}
    assert changed(configuration, plan) == (
        f"{CORP}{DEV}[profile a]\n{SSO}[profile b]\n{CHAIN}[profile c]\n{POOL}"
        f"[profile d]\n{POOL}[profile e]\n{SSO}[profile f]\n{OTHER_TOOL}"
    )


@pytest.mark.parametrize(
    ("keys", "credentials", "why"),
    [
        (OWN_SSO + OTHER_TOOL, "", "its credential_process runs another tool"),
        (OWN_SSO + SSO, "", "exclude each other"),
        (ours("mine") + "  output = json\n" + OWN_SSO, "", "more lines are indented below its credential_process"),
        (OWN_CHAIN + "source_profile = dev\n", "", "credhelper_source_profile and source_profile exclude each other"),
        (OWN_CHAIN + "external_id = ab\n", "", "it would stand for another role"),
        (OWN_SSO, f"[mine]\n{OWN_SSO}", "stands in {credentials}"),
        (OWN_SSO, f"[mine]\n{ours('mine')}", "its credential_process stands in {credentials}"),
    ],
)
def test_what_cannot_be_released_is_refused_with_the_reason(home: Home, keys: str, credentials: str, why: str) -> None:
    configuration = home(f"{CORP}{DEV}[profile mine]\n{keys}", credentials)
    plan = adoption.release(configuration, ["mine"])
    assert plan.turns == {}
    assert why.format(credentials=configuration.paths.credentials) in plan.refused["mine"]


def test_a_profile_that_does_not_work_can_be_given_back_too(home: Home) -> None:
    configuration = home(f"[profile mine]\n{ours('mine')}{OWN_SSO}")
    assert changed(configuration, adoption.release(configuration, ["mine"])) == f"[profile mine]\n{SSO}"


def test_releasing_what_is_not_adopted_is_nothing_to_do(home: Home) -> None:
    plan = adoption.release(home(CORP + DEV), ["dev"])
    assert plan.settled == {"dev": "not adopted"}
    assert plan.refused == {}


# -- there and back ---------------------------------------------------------------------------------------------------


def there_and_back(directory: Path, content: bytes, names: Sequence[str] | None = None) -> bytes:
    """The file adopted, after checks that it stands for the same roles; and released again."""
    shutil.rmtree(directory / ".aws", ignore_errors=True)
    before = put(directory, content)
    plan = adoption.adopt(before, names, line_of)
    after = config_edits.plan(before.paths.config, adoption.edits(plan)).after
    adopted_now = put(directory, after)
    assert adopted_now.roles() == before.roles()
    for name, keys in adopted_now.profiles.items():
        assert keys == (plan.turns[name].applied_to(before.profiles[name]) if name in plan.turns else keys)
    assert adoption.adopt(adopted_now, names, line_of).turns == {}
    back = adoption.release(adopted_now, list(plan.turns))
    assert back.refused == {}
    return config_edits.plan(adopted_now.paths.config, adoption.edits(back)).after


CORPUS = [
    CORP + DEV,
    DEV + "\n" + CORP,
    (CORP + DEV).rstrip("\n"),
    (CORP + DEV + f"\n[profile old]\n{LEGACY}").rstrip("\n"),
    CORP + DEV + "\n\n\n",
    CORP + DEV + "# the end",
    CORP + DEV + "    \n\t\n",
    CORP + f"[profile dev]\n  region = x\n  {SSO.replace(chr(10), chr(10) + '  ')}\n\n[profile b]\n{LEGACY}",
    CORP + f"[profile dev]\n\t{SSO.replace(chr(10), chr(10) + chr(9))}",
    CORP + f"[profile dev]\n{SSO.replace(' = ', '=')}[profile b]\n{LEGACY.replace(' = ', '   =  ')}",
    CORP + f"[profile dev]\n{SSO.replace(' = ', ' : ')}[profile b]\n{LEGACY.replace(' = ', ':')}",
    CORP + f"[profile dev]\n{SSO.replace(' = ', ' = ').upper().replace('CORP', 'corp')}",
    CORP + DEV + "s3 =\n    max_concurrent_requests = 20\n    # a comment\n    multipart_threshold = 64MB\n",
    CORP + DEV + "s3 =\n  a = b\n\n# about the next\n[profile b]\n" + SSO,
    CORP
    + "[profile dev]\ns3 =\n  addressing_style = path\n"
    + SSO
    + "services = mine\n[services mine]\ns3 =\n  a = b\n",
    CORP + f'[profile "two words"]\n{SSO}[profile \'it"s\']\n{LEGACY}[profile büro]\n{SSO}',
    CORP + f"[profile default]\n{SSO}",
    CORP + f"[default]\n{LEGACY}",
    CORP + f"[profiles dev]\n{SSO}",
    CORP + f"[profile  dev]  # why not\n{SSO}",
    CORP + DEV + f"[profile deploy]\n{CHAIN}[profile top]\n{CHAIN.replace('= dev', '= deploy')}",
    CORP + f"[profile dev]\n; one\n{SSO}; two\n\n; three\n[profile b]\n\n\n{LEGACY}# x\n",
    CORP + f"[profile dev]\n# sso_session = old\n{SSO}# credential_process = /bin/x\n",
    CORP + f"[profile dev]\n{SSO}empty =\nregion = x\n",
    CORP + "[profile dev]\nsso_session = corp   \nsso_account_id = 111122223333\t\nsso_role_name = Developer \n",
    CORP + f"[profile dev]\n{SSO}description = one\n  two\n\n  three\n\n[profile b]\n{SSO}",
    CORP + f"[profile a]\n[profile dev]\n{SSO}[profile z]\n",
]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("text", CORPUS, ids=range(len(CORPUS)))
def test_release_gives_an_awkward_file_back_to_the_byte(tmp_path: Path, text: str, ending: str) -> None:
    content = text.replace("\n", ending).encode()
    assert there_and_back(tmp_path, content) == content


@pytest.mark.long  # 1.6 s; `test_config_edits` edits as many
def test_a_file_of_two_thousand_profiles_comes_back_too(tmp_path: Path) -> None:
    content = (CORP + "".join(f"[profile p{n}]\nregion = eu-west-1\n{SSO}\n" for n in range(2000))).encode()
    assert there_and_back(tmp_path, content) == content


NAMES = ["dev", "b", "c", "two words", "default"]
KEYS = {
    "sso": SSO,
    "legacy": LEGACY,
    "chain": CHAIN + "external_id = ab\nrole_session_name = me\n",
    "plain": "region = eu-west-1\n",
    "broken": "sso_session = gone\nsso_account_id = 1\n",
}
SPACES = st.sampled_from(["", " ", "  ", "\t"])
REMARKS = st.sampled_from(["", "\n", "# remark\n", "\n; remark\n\n", "   \n", "#\n"])
MORE = st.sampled_from(["", "output = json\n", "s3 =\n  a = b\n", "s3 =\n\ta = b\n\n\tc = d\n", "note = x\n   y\n"])


@st.composite
def sections(draw: st.DrawFn) -> str:
    """A profile's keys in some order, with odd spacing, and what people write between them."""
    lines = KEYS[draw(st.sampled_from(sorted(KEYS)))].splitlines()
    indent = draw(SPACES)
    found = draw(REMARKS)
    for line in draw(st.permutations(lines)):
        key, _, value = line.partition(" = ")
        key = key.upper() if draw(st.booleans()) else key
        found += f"{indent}{key}{draw(SPACES)}{draw(st.sampled_from('=:'))}{draw(SPACES)}{value}\n{draw(REMARKS)}"
    return found + (draw(MORE) if not indent else "") + draw(REMARKS)


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """A whole file that botocore reads."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    text = draw(REMARKS) + CORP
    for name in names:
        header = "default" if name == "default" else f'profile "{name}"' if " " in name else f"profile {name}"
        text += f"[{header}]\n{draw(sections())}"
    text = text.rstrip("\n") if draw(st.booleans()) else text
    return text.replace("\n", draw(st.sampled_from(["\n", "\r\n"]))).encode()


@given(files())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_release_undoes_an_adoption_of_any_file(tmp_path: Path, content: bytes) -> None:
    assert there_and_back(tmp_path, content) == content
