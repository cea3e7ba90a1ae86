"""The pure rules: PKCE and callbacks, polling answers, freshness, addresses, text that is safe to show."""

import unicodedata
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credhelper.domain import oauth
from credhelper.domain.freshness import REFRESH_WINDOW, Freshness, Life
from credhelper.domain.model import ChainedRole, Role, SsoSession, Token
from credhelper.domain.pages import page
from credhelper.domain.text import safe
from credhelper.domain.urls import is_fit_to_show, is_https_or_loopback

# -- RFC 7636 ---------------------------------------------------------------------------------------------------------


def test_the_challenge_of_rfc_7636_appendix_b() -> None:
    proof = oauth.Proof("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "state")
    assert proof.code_challenge == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_proofs_are_long_unreserved_and_never_the_same() -> None:
    proofs = [oauth.Proof.new() for _ in range(50)]
    assert len({proof.code_verifier for proof in proofs}) == len({proof.state for proof in proofs}) == 50
    for proof in proofs:
        assert 43 <= len(proof.code_verifier) <= 128
        assert all(c.isascii() and (c.isalnum() or c in "-._~") for c in proof.code_verifier)
        assert proof.code_verifier not in repr(proof)
        assert proof.state not in repr(proof)


def test_the_authorize_url_to_the_letter() -> None:
    proof = oauth.Proof("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "st ate")
    url = oauth.authorize_url(
        "https://oidc.eu-west-1.amazonaws.com/",
        client_id="cl/ient",
        redirect_uri="http://127.0.0.1:4711/oauth/callback",
        scopes=("sso:account:access", "a:b"),
        proof=proof,
    )
    assert url == (
        "https://oidc.eu-west-1.amazonaws.com/authorize?response_type=code&client_id=cl%2Fient"
        "&redirect_uri=http%3A%2F%2F127.0.0.1%3A4711%2Foauth%2Fcallback&state=st%20ate&code_challenge_method=S256"
        "&scopes=sso%3Aaccount%3Aaccess%20a%3Ab&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    )


@given(st.text(min_size=1), st.text(min_size=1), st.lists(st.text(min_size=1), min_size=1).map(tuple))
def test_whatever_is_in_the_authorize_url_comes_out_again(client: str, state: str, scopes: tuple[str, ...]) -> None:
    proof = oauth.Proof("v" * 64, state)
    url = oauth.authorize_url("https://x", client_id=client, redirect_uri="http://r", scopes=scopes, proof=proof)
    assert url.isascii()
    found = parse_qs(urlsplit(url).query, keep_blank_values=True, separator="&")
    assert (found["client_id"], found["state"], found["scopes"]) == ([client], [state], [" ".join(scopes)])


# -- callbacks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("code=c&state=s", oauth.Callback(code="c")),
        ("state=s&code=c&session_state=x", oauth.Callback(code="c")),
        ("error=access_denied&state=s", oauth.Callback(error="access_denied")),
        ("error=access_denied&code=c&state=s", oauth.Callback(error="access_denied")),
        ("code=c", None),
        ("code=c&state=", None),
        ("code=c&state=S", None),
        ("code=c&state=s&state=s", None),
        ("code=c&state=x&state=s", None),
        ("code=c&code=d&state=s", None),
        ("code=&state=s", None),
        ("state=s", None),
        ("error=access_denied", None),
        ("error=access_denied&state=x", None),
        ("code=c&state=%C3%A4", None),
        ("code=c&state=%FF", None),
        ("", None),
        ("&&&", None),
        ("code", None),
    ],
)
def test_only_an_answer_with_our_state_is_a_callback(query: str, expected: oauth.Callback | None) -> None:
    assert oauth.read_callback(query, "s") == expected


@given(st.text())
def test_no_query_breaks_the_reading_of_a_callback(query: str) -> None:
    assert oauth.read_callback(query, "a state nobody guesses") is None


@given(st.text(min_size=1), st.text(min_size=1))
def test_any_code_comes_back_whole(code: str, state: str) -> None:
    found = oauth.read_callback(urlencode({"code": code, "state": state}), state)
    assert found == oauth.Callback(code=code)
    assert code not in repr(found) or code in "Callback(error=None)"


@pytest.mark.parametrize(
    ("reason", "meaning"),
    [
        ("AuthorizationPendingException", oauth.Poll.AGAIN),
        ("SlowDownException", oauth.Poll.SLOWER),
        ("AccessDeniedException", oauth.Poll.DENIED),
        ("ExpiredTokenException", oauth.Poll.TOO_LATE),
        ("InvalidGrantException", oauth.Poll.FAILED),
        ("InvalidClientException", oauth.Poll.FAILED),
        ("", oauth.Poll.FAILED),
    ],
)
def test_the_meaning_of_polling_answers(reason: str, meaning: oauth.Poll) -> None:
    assert oauth.after_poll(reason) is meaning


# -- freshness --------------------------------------------------------------------------------------------------------

moments = st.integers(0, 7_000_000_000_000).map(lambda number: datetime.fromtimestamp(number / 1000, UTC))
lifetimes = st.timedeltas(min_value=timedelta(days=-1), max_value=timedelta(days=400))
steps = st.timedeltas(min_value=timedelta(), max_value=timedelta(days=400))
NEXT = {Freshness.FRESH: 0, Freshness.STALE: 1, Freshness.EXPIRED: 2}


BOOTTIME = 5000.0


def life(now: datetime, lifetime: timedelta) -> Life:
    return Life.beginning(now + lifetime, now=now, boottime=BOOTTIME)


@given(moments, lifetimes, steps, steps)
def test_nothing_ever_becomes_younger(now: datetime, lifetime: timedelta, first: timedelta, more: timedelta) -> None:
    found = life(now, lifetime)
    earlier = found.freshness(now + first, BOOTTIME + first.total_seconds())
    later = found.freshness(now + first + more, BOOTTIME + (first + more).total_seconds())
    assert NEXT[earlier] <= NEXT[later]


@given(moments, lifetimes, steps, st.timedeltas(min_value=timedelta(days=-400), max_value=timedelta(days=400)))
def test_it_has_expired_when_either_clock_says_so(
    now: datetime, lifetime: timedelta, passed: timedelta, set_wrong_by: timedelta
) -> None:
    found = life(now, lifetime).freshness(now + passed + set_wrong_by, BOOTTIME + passed.total_seconds())
    assert (found is Freshness.EXPIRED) == (passed >= lifetime or passed + set_wrong_by >= lifetime)


@given(lifetimes)
def test_renewal_begins_at_most_20_minutes_and_half_a_life_before_the_end(lifetime: timedelta) -> None:
    window = life(datetime(2026, 6, 1, tzinfo=UTC), lifetime).window
    assert timedelta() <= window <= REFRESH_WINDOW
    assert window <= max(lifetime, timedelta()) / 2
    if lifetime >= 2 * REFRESH_WINDOW:
        assert window == REFRESH_WINDOW


@given(moments, st.timedeltas(min_value=timedelta(seconds=2), max_value=timedelta(days=400)))
def test_what_was_just_issued_is_fresh(now: datetime, lifetime: timedelta) -> None:
    assert life(now, lifetime).freshness(now, BOOTTIME) is Freshness.FRESH


@pytest.mark.parametrize(
    ("minutes_left", "lifetime_minutes", "state"),
    [
        (20.1, 60, Freshness.FRESH),
        (20, 60, Freshness.STALE),
        (0.01, 60, Freshness.STALE),
        (0, 60, Freshness.EXPIRED),
        (10.1, 20, Freshness.FRESH),
        (10, 20, Freshness.STALE),
    ],
)
def test_freshness_by_example(minutes_left: float, lifetime_minutes: float, state: Freshness) -> None:
    now = datetime(2026, 6, 1, tzinfo=UTC)
    passed = timedelta(minutes=lifetime_minutes - minutes_left)
    found = life(now, timedelta(minutes=lifetime_minutes))
    assert found.freshness(now + passed, BOOTTIME + passed.total_seconds()) is state


def test_a_token_is_refreshable_only_with_all_it_takes_and_a_living_registration() -> None:
    now = datetime(2026, 6, 1, tzinfo=UTC)
    token = Token("a", now, None, None, "r", "c", "s", now + timedelta(seconds=1))
    assert token.is_refreshable(now)
    assert not token.is_refreshable(now + timedelta(seconds=1))


# -- addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("https://corp.awsapps.com/start", True),
        ("HTTPS://corp.awsapps.com/start", True),
        ("http://127.0.0.1:8080/x", True),
        ("http://localhost/x", True),
        ("http://[::1]:80/x", True),
        ("http://corp.awsapps.com/start", False),
        ("http://127.0.0.1.evil.example/", False),
        ("http://127.0.0.1@evil.example/", False),
        ("http://localhost.evil.example/", False),
        ("ftp://127.0.0.1/", False),
        ("javascript:alert(1)", False),
        ("https:", False),
        ("https:///path", False),
        ("//corp.awsapps.com", False),
        ("corp.awsapps.com/start", False),
        ("http://[::1", False),
        ("", False),
    ],
)
def test_only_https_or_this_machine(url: str, good: bool) -> None:
    assert is_https_or_loopback(url) is good


@given(st.text())
def test_no_text_breaks_the_check_of_an_address(text: str) -> None:
    is_https_or_loopback(text)


# -- text -------------------------------------------------------------------------------------------------------------


@given(st.text(alphabet=st.characters()))
def test_nothing_a_terminal_would_obey_comes_out(text: str) -> None:
    shown = safe(text)
    assert not [c for c in shown if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]
    assert len(shown) <= 501


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("Büro Zürich · 日本 🔑", "Büro Zürich · 日本 🔑"),
        ("a\x1b[31mred", "a [31mred"),
        ("two\nlines\r\ttab", "two lines  tab"),
        ("\u202eevil\u2066", " evil "),
        ("zero\u200bwidth", "zero width"),
        ("lone \ud800 surrogate", "lone   surrogate"),
        ("csi \x9b31m", "csi  31m"),
        ("x" * 501, "x" * 500 + "…"),
    ],
)
def test_safe_by_example(text: str, shown: str) -> None:
    assert safe(text) == shown


@given(st.text(), st.text())
def test_a_page_shows_text_and_obeys_none(title: str, text: str) -> None:
    shown = page(title, text)
    assert shown.count("<script") == 0
    assert shown.count("<h1>") == shown.count("<p>") == 1


# -- chained roles ----------------------------------------------------------------------------------------------------

SOURCE = Role(SsoSession("corp", "https://corp.awsapps.com/start", "eu-west-1"), "111122223333", "Developer")


def test_a_chained_role_is_named_by_its_arn_and_belongs_to_the_session_below() -> None:
    deploy = ChainedRole(SOURCE, "arn:aws:iam::222233334444:role/Deploy", "eu-west-1")
    further = ChainedRole(deploy, "arn:aws-cn:iam::333344445555:role/a/b/Further", "cn-north-1")
    assert (further.account_id, further.role_name) == ("333344445555", "Further")
    assert further.session == SOURCE.session


@pytest.mark.parametrize(
    ("asked", "most", "then"), [(None, 3600, None), (None, 900, 900), (900, 1800, 900), (3600, 1800, 1800)]
)
def test_a_chained_role_may_be_made_to_last_less_and_never_longer(
    asked: int | None, most: int, then: int | None
) -> None:
    role = ChainedRole(SOURCE, "arn:aws:iam::222233334444:role/Deploy", "eu-west-1", duration_seconds=asked)
    assert role.lasting(most).duration_seconds == then


@pytest.mark.parametrize(
    ("url", "fit"),
    [
        ("https://corp-example.awsapps.com/start/#/device?user_code=ABCD-EFGH", True),
        ("https://device.sso.eu-west-1.amazonaws.com/", True),
        ("http://127.0.0.1:8443/device", True),
        ("http://device.example/", False),
        ("https://corp.awsapps.com@evil.example/", False),
        ("https://device.example/a@b", True),
        ("https://device.example/\x1b[2J", False),
        ("https://device.example/\n", False),
        ("https://device.example/a b", False),
        ("https://\u0430ws.example/", False),
        ("https://device.example/\u202e", False),
        ("https://device.example/" + "x" * 2000, False),
        ("javascript:alert(1)", False),
        ("", False),
    ],
)
def test_an_address_that_somebody_else_names_is_shown_only_if_it_is_plain(url: str, fit: bool) -> None:
    assert is_fit_to_show(url) is fit
