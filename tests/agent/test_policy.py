"""The user's own rules: what they forbid is not handed out, whatever it is called and through whatever door."""

import asyncio
import itertools
from collections.abc import Iterable
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from credhelper.agent.configurations import Configurations
from credhelper.agent.gate import Passage, Wanted
from credhelper.agent.grants import grant
from credhelper.agent.policy import Policy
from credhelper.domain.errors import ConfigError, ConfirmationPending, CredhelperError, Locked, PolicyRefused
from credhelper.domain.model import AnyRole, ChainedRole, Door
from credhelper.local.peers import NOBODY, Caller
from credhelper.local.policy_table import Rule
from credhelper.local.process_ends import this_process
from credhelper.local.settings import Settings
from tests.agent.world import ACCOUNT, CONFIG, World, failing

TERRAFORM = Caller(0, 4242, "/usr/bin/terraform", "/work", "terraform")
CURL = Caller(0, 4243, "/usr/bin/curl", "/work", "curl")
DEVELOPER = {"sso_session": "corp", "account_id": ACCOUNT, "role_name": "Developer"}
CHAINED = """
[profile deploy]
role_arn = arn:aws:iam::444455556666:role/ops/Deploy
source_profile = dev
duration_seconds = 43200

[profile release]
role_arn = arn:aws:iam::444455556666:role/Release
source_profile = deploy
"""


def obey(world: World, *rules: Rule) -> None:
    """From now on by these rules, as after a reload."""
    for act in world.agent.settings.on_change:
        act(Settings(policy=rules))


async def ask(world: World, caller: Caller = TERRAFORM, /, **fields: str) -> str | None:
    """The code of the refusal; None where credentials were handed out."""
    wanted = fields if "sso_session" in fields else {"profile": "dev"} | fields
    try:
        await world.hand_out(world.everything() | wanted, caller)
    except CredhelperError as error:
        return error.code
    return None


@pytest.fixture
def logged_in(world: World) -> World:
    world.log_in()
    world.log_in(world.legacy)
    return world


# -- deny -------------------------------------------------------------------------------------------------------------


async def test_without_rules_everybody_gets_every_role(logged_in: World) -> None:
    assert await ask(logged_in, NOBODY) is None


async def test_a_denied_role_is_refused_with_the_rules_name(logged_in: World) -> None:
    obey(logged_in, Rule("not mine", ("dev",), deny=True))
    with pytest.raises(
        PolicyRefused, match=r"the rule “not mine” denies dev \(corp/111122223333/Developer\)"
    ) as caught:
        await logged_in.hand_out(logged_in.fields())
    assert (caught.value.status, caught.value.code) == (5, "policy")
    assert caught.value.hint is not None
    assert await ask(logged_in, profile="readonly") is None
    assert logged_in.fetches() == 1


async def test_what_is_in_memory_is_refused_as_well(logged_in: World) -> None:
    assert await ask(logged_in) is None
    obey(logged_in, Rule("r", ("dev",), deny=True))
    assert await ask(logged_in) == "policy"
    obey(logged_in)
    assert await ask(logged_in) is None


@pytest.mark.parametrize(
    "pattern",
    [
        "dev",
        "d*",
        "*",
        "corp/111122223333/Developer",
        "*/111122223333/*",
        "corp/*",
        "CORP/*/developer",
        "*/[CD]eveloper",
    ],
)
async def test_a_rule_about_a_role_holds_by_whatever_name_it_is_asked_for(
    logged_in: World, pattern: str, tmp_path: Path
) -> None:
    logged_in.write_config(CONFIG.format(start_url=logged_in.sandbox.start_url) + _profile("another", "corp"))
    other = tmp_path / "other"
    other.write_text(_session("elsewhere", logged_in) + _profile("mine", "elsewhere"))
    obey(logged_in, Rule("r", (pattern,), deny=True))
    for fields in (
        {"profile": "dev"},
        {"profile": "another"},
        DEVELOPER,
        DEVELOPER | {"role_name": "developer"},
        {"profile": "legacy"},
        {"profile": "mine", "AWS_CONFIG_FILE": str(other)},
        DEVELOPER | {"sso_session": "elsewhere", "AWS_CONFIG_FILE": str(other)},
    ):
        found = await ask(logged_in, TERRAFORM, **fields)
        assert found == "policy", fields
    assert logged_in.fetches() == 0


def _session(name: str, world: World) -> str:
    return f"[sso-session {name}]\nsso_start_url = {world.sandbox.start_url}/#/\nsso_region = us-east-1\n"


def _profile(name: str, session: str) -> str:
    return f"\n[profile {name}]\nsso_session = {session}\nsso_account_id = {ACCOUNT}\nsso_role_name = Developer\n"


async def test_a_profile_of_the_callers_own_files_counts_too(logged_in: World, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text(_session("corp", logged_in) + _profile("prod-x", "corp") + _profile("harmless", "corp"))
    obey(logged_in, Rule("r", ("prod-*",), deny=True))
    assert await ask(logged_in, profile="harmless", AWS_CONFIG_FILE=str(other)) == "policy"
    assert await ask(logged_in, profile="dev") is None


async def test_rules_whose_names_cannot_be_looked_up_refuse(logged_in: World, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text(_session("corp", logged_in) + _profile("mine", "corp"))
    logged_in.write_config("nonsense")
    obey(logged_in, Rule("r", ("dev",), deny=True))
    assert await ask(logged_in, profile="mine", AWS_CONFIG_FILE=str(other)) == "config"


async def test_a_changed_file_is_read_before_a_rule_is_asked(logged_in: World) -> None:
    obey(logged_in, Rule("r", ("prod",), deny=True))
    assert await ask(logged_in) is None
    logged_in.write_config(CONFIG.format(start_url=logged_in.sandbox.start_url) + _profile("prod", "corp"))
    assert await ask(logged_in) == "policy"


# -- allow_exe --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("allowed", ["/usr/bin/terraform", "/usr/bin/terra*", "/usr/*"])
async def test_only_the_programs_that_a_rule_allows_get_its_role(logged_in: World, allowed: str) -> None:
    obey(logged_in, Rule("tools", ("dev",), allow_exe=("/opt/x", allowed)))
    assert await ask(logged_in, TERRAFORM) is None
    assert await ask(logged_in, replace(TERRAFORM, exe="/home/u/bin/terraform")) == "policy"
    obey(logged_in, Rule("tools", ("dev",), allow_exe=("/usr/bin/terraform",)))
    with pytest.raises(PolicyRefused, match="the rule “tools” does not let /usr/bin/curl use dev"):
        await logged_in.hand_out(logged_in.fields(), CURL)


async def test_an_allowed_link_allows_what_it_leads_to(logged_in: World, tmp_path: Path) -> None:
    program, link = tmp_path / "aws-2.9", tmp_path / "aws"
    program.touch()
    link.symlink_to(program)
    obey(logged_in, Rule("tools", ("dev",), allow_exe=(str(link),)))
    assert await ask(logged_in, replace(TERRAFORM, exe=str(program))) is None
    assert await ask(logged_in, replace(TERRAFORM, exe=str(tmp_path / "aws-2.8"))) == "policy"


@pytest.mark.parametrize(
    ("caller", "why"),
    [
        (NOBODY, "it cannot be seen which one asks"),
        (replace(TERRAFORM, exe=None), "it cannot be seen which one asks"),
        (replace(TERRAFORM, has_changed=True), "has become another one while it asked"),
        (replace(TERRAFORM, exe="terraform"), "the daemon may not see where terraform runs from"),
    ],
)
async def test_a_program_that_is_not_known_for_certain_is_none_that_is_allowed(
    logged_in: World, caller: Caller, why: str
) -> None:
    obey(logged_in, Rule("tools", ("dev",), allow_exe=("/*", "*")))
    with pytest.raises(PolicyRefused, match=why):
        await logged_in.hand_out(logged_in.fields(), caller)


async def test_a_sandboxed_daemon_says_what_to_do(logged_in: World) -> None:
    obey(logged_in, Rule("tools", ("dev",), allow_exe=("/usr/bin/terraform",)))
    with pytest.raises(PolicyRefused) as caught:
        await logged_in.hand_out(logged_in.fields(), replace(TERRAFORM, exe="terraform"))
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("credhelper service uninstall")


# -- several rules ----------------------------------------------------------------------------------------------------


async def test_every_rule_about_a_role_must_allow_and_the_first_that_does_not_is_named(logged_in: World) -> None:
    wide, narrow = (
        Rule("wide", ("*",), allow_exe=("/usr/bin/*",)),
        Rule("narrow", ("dev",), allow_exe=("/*/terraform",)),
    )
    for order in itertools.permutations((wide, narrow)):
        obey(logged_in, *order)
        assert await ask(logged_in, TERRAFORM) is None
        assert await ask(logged_in, CURL) == "policy"
        wanted = logged_in.hand_out(logged_in.fields(), NOBODY)
        assert f"“{order[0].name}”" in await failing(wanted, PolicyRefused)


async def test_a_door_that_is_open_is_closed_by_deny_and_a_lock_and_not_by_who_comes(logged_in: World) -> None:
    wanted = Wanted(logged_in.fields(), NOBODY, Door.CONTAINER, is_standing=True)
    obey(logged_in, Rule("tools", ("dev",), allow_exe=("/usr/bin/terraform",)), Rule("ask", ("dev",), confirm=900))
    await logged_in.agent.hand_out(wanted)
    await logged_in.agent.lock.lock()
    await failing(logged_in.agent.hand_out(wanted), Locked)
    await logged_in.agent.lock.unlock()
    obey(logged_in, Rule("no", ("dev",), deny=True))
    await failing(logged_in.agent.hand_out(wanted), PolicyRefused)


async def test_a_rule_that_comes_while_credentials_are_fetched_holds_for_them(logged_in: World) -> None:
    logged_in.sandbox.hold("GetRoleCredentials")
    asking = asyncio.ensure_future(ask(logged_in))
    await logged_in.held("GetRoleCredentials")
    obey(logged_in, Rule("no", ("dev",), deny=True))
    logged_in.sandbox.release()
    assert await asking == "policy"


@pytest.mark.parametrize("door", [Door.EXEC, Door.LEASE])
async def test_no_door_is_opened_to_a_role_that_its_profile_has_become_meanwhile(
    logged_in: World, door: Door, tmp_path: Path
) -> None:
    obey(logged_in, Rule("only", ("*/*/ReadOnly",), allow_exe=(TERRAFORM.exe or "",)))
    agent, wanted = logged_in.agent, Wanted(logged_in.fields(), CURL, door)
    agent.introduce(str(tmp_path / "s"))
    logged_in.sandbox.hold("GetRoleCredentials")
    opening = grant(agent, wanted, this_process(), None) if door is Door.EXEC else agent.leases.create(wanted)
    asking = asyncio.ensure_future(opening)
    await logged_in.held("GetRoleCredentials")
    logged_in.write_config(logged_in.config.read_text().replace("Developer", "ReadOnly"))
    logged_in.sandbox.release()
    assert "“only”" in await failing(asking, PolicyRefused)
    assert agent.openings.all() == []


# -- chained roles and max_ttl ----------------------------------------------------------------------------------------


async def chain(world: World, profile: str) -> AnyRole:
    """The role as it would be asked for, its lifetime within the rules."""
    fields = world.fields(profile)
    return world.agent.policy.limited(world.agent.choices.role(fields)[0], fields, profile)


@pytest.fixture
def chained(logged_in: World) -> World:
    logged_in.write_config(CONFIG.format(start_url=logged_in.sandbox.start_url) + CHAINED)
    return logged_in


@pytest.mark.parametrize("pattern", ["dev", "corp/111122223333/*", "deploy", "*/444455556666/Deploy", "release"])
async def test_whoever_may_not_use_a_role_may_not_use_what_is_assumed_with_it(chained: World, pattern: str) -> None:
    obey(chained, Rule("no", (pattern,), deny=True))
    assert await ask(chained, profile="release") == "policy"
    obey(chained, Rule("no", (pattern,), allow_exe=("/usr/bin/terraform",)))
    assert await ask(chained, CURL, profile="release") == "policy"
    assert chained.sandbox.calls["AssumeRole"] == 0


async def test_what_is_assumed_with_a_role_says_nothing_of_the_role_itself(chained: World) -> None:
    obey(chained, Rule("no", ("deploy", "release"), deny=True))
    assert await ask(chained, profile="dev") is None


@pytest.mark.parametrize(
    ("max_ttl", "expected"), [(900, 900), (3600, 3600), (43_200, 43_200)], ids=["shorter", "an hour", "as it is"]
)
async def test_max_ttl_shortens_what_a_chained_profile_asks_for(chained: World, max_ttl: int, expected: int) -> None:
    obey(chained, Rule("a day is enough", ("*",), max_ttl=43_200), Rule("short", ("deploy",), max_ttl=max_ttl))
    role = await chain(chained, "deploy")
    assert isinstance(role, ChainedRole)
    assert role.duration_seconds == expected


async def test_max_ttl_shortens_also_what_a_role_is_assumed_with(chained: World) -> None:
    obey(chained, Rule("short", ("deploy",), max_ttl=900))
    role = await chain(chained, "release")
    assert isinstance(role, ChainedRole)
    assert isinstance(role.source, ChainedRole)
    assert (role.duration_seconds, role.source.duration_seconds) == (None, 900)


async def test_max_ttl_for_a_role_of_identity_center_is_a_mistake_that_names_file_and_rule(chained: World) -> None:
    chained.agent.settings.file = Path("/home/u/.config/credhelper/config.toml")
    obey(chained, Rule("short", ("*",), max_ttl=900))
    with pytest.raises(
        ConfigError, match=r"/home/u/.config/credhelper/config.toml: \[\[policy\]\] “short”: max_ttl"
    ) as e:
        await chained.hand_out(chained.fields())
    assert e.value.status == 4


# -- speed ------------------------------------------------------------------------------------------------------------


def test_names_are_looked_up_once_for_each_version_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 2,000 profiles that would take longer than all the rest of a request."""
    home = tmp_path / "home"
    (home / ".aws").mkdir(parents=True)
    session = "[sso-session corp]\nsso_start_url = https://corp.awsapps.com/start\nsso_region = us-east-1\n"
    profiles = "".join(_profile(f"p{number}", "corp") for number in range(2000))
    (home / ".aws" / "config").write_text(session + profiles)
    configurations = Configurations(home)
    fields = {"HOME": str(home), "profile": "p7"}
    policy = Policy(configurations, Nobody(), lambda: None)
    policy.apply(Settings(policy=(Rule("r", ("other-*",), deny=True), Rule("q", ("p1999",), confirm=900))))
    configuration = configurations.of(fields)
    role = configuration.role_of("p7")
    passage = Passage(Wanted(fields, TERRAFORM), role, "p7")
    with pytest.raises(ConfirmationPending):
        policy.check(passage)
    monkeypatch.setattr(type(configuration), "roles", None)
    monkeypatch.setattr("credhelper.agent.policy.fnmatchcase", None)
    for _ in range(3):
        with pytest.raises(ConfirmationPending):
            policy.check(passage)


# -- by a plain re-statement ------------------------------------------------------------------------------------------


class Nobody:
    """Somebody who is asked and never answers."""

    def settle(self, rule: Rule, role: AnyRole, profile: str | None, caller: Caller) -> None:
        """See Confirmations."""
        raise ConfirmationPending(f"{rule.name} {role} {profile} {caller}")


ACCOUNTS = ("111122223333", "444455556666")
ROLES = ("Developer", "ReadOnly")
PROFILES = {f"{role.lower()}-{account[0]}": (account, role) for account in ACCOUNTS for role in ROLES}
EXES = ("/usr/bin/aws", "/usr/bin/terraform", "/opt/x", "aws", None)

patterns = st.sampled_from([*PROFILES, "dev*", "*", "corp/*", "corp/1*/Developer", "*/444455556666/*", "[dr]*-1", "x"])
rules = st.lists(
    st.builds(
        Rule,
        name=st.just("r"),
        match=st.lists(patterns, min_size=1, max_size=2).map(tuple),
        allow_exe=st.lists(st.sampled_from(["/usr/bin/aws", "/usr/bin/*", "/opt/*"]), max_size=2).map(tuple),
        confirm=st.sampled_from([0, 0, 900]),
        deny=st.sampled_from([False, False, True]),
    ),
    max_size=4,
).map(tuple)
callers = st.builds(Caller, exe=st.sampled_from(EXES), has_changed=st.sampled_from([False, False, True]))
choices = st.one_of(
    st.sampled_from([*PROFILES]).map(lambda name: {"profile": name}),
    st.tuples(st.sampled_from(ACCOUNTS), st.sampled_from(ROLES)).map(
        lambda chosen: {"sso_session": "corp", "account_id": chosen[0], "role_name": chosen[1]}
    ),
)


def forbids(rule: Rule, account: str, role: str, caller: Caller, *, is_standing: bool) -> bool:
    """What a rule says of somebody who wants a role, nobody answering questions."""
    names = [name for name, place in PROFILES.items() if place == (account, role)] + [f"corp/{account}/{role}"]
    if not any(fnmatchcase(name, pattern) for name in names for pattern in rule.match):
        return False
    is_known = caller.exe is not None and caller.exe[0] == "/" and not caller.has_changed
    is_allowed = is_known and any(fnmatchcase(str(caller.exe), pattern) for pattern in rule.allow_exe)
    return rule.deny or (not is_standing and (bool(rule.confirm) or (bool(rule.allow_exe) and not is_allowed)))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    (home / ".aws").mkdir()
    sections = [
        f"[profile {name}]\nsso_session = corp\nsso_account_id = {account}\nsso_role_name = {role}\n"
        for name, (account, role) in PROFILES.items()
    ]
    session = "[sso-session corp]\nsso_start_url = https://corp.awsapps.com/start\nsso_region = us-east-1\n"
    (home / ".aws" / "config").write_text(session + "".join(sections))
    return home


@hypothesis_settings(max_examples=400, deadline=None)
@given(rules=rules, asked=st.lists(st.tuples(choices, callers, st.booleans()), min_size=1, max_size=4))
def test_no_request_passes_that_a_plain_reading_of_the_rules_forbids(
    home: Path, rules: tuple[Rule, ...], asked: Iterable[tuple[dict[str, str], Caller, bool]]
) -> None:
    configurations = Configurations(home)
    policy = Policy(configurations, Nobody(), lambda: None)
    policy.apply(Settings(policy=rules))
    for chosen, caller, is_standing in asked:
        profile = chosen.get("profile")
        account, name = PROFILES[profile] if profile else (chosen["account_id"], chosen["role_name"])
        configuration = configurations.of({"HOME": str(home)})
        role = configuration.role("corp", account, name)
        wanted = Wanted({"HOME": str(home)} | chosen, caller, is_standing=is_standing)
        is_forbidden = any(forbids(rule, account, name, caller, is_standing=is_standing) for rule in rules)
        try:
            policy.check(Passage(wanted, role, profile))
        except (PolicyRefused, ConfirmationPending):
            assert is_forbidden
        else:
            assert not is_forbidden
