"""Start URLs: whose a host is, which region it names, how one is tidied up, and where a company's own address leads."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from credhelper.aws import start_urls
from credhelper.aws.identity_center import IdentityCenter
from credhelper.aws.start_urls import Portal
from credhelper.domain.errors import ConfigError, CredhelperError, Refused, Unavailable
from credhelper.domain.model import SsoSession
from tests.aws.wire import Peer, Wire
from tests.vanity import PORTAL, Script, answer, company

VANITY = "https://aws.example.com/login"


@pytest.mark.parametrize(
    "url",
    [
        "https://corp.awsapps.com/start",
        "https://d-0123456789.awsapps.com/start#/",
        "https://CORP.AWSAPPS.COM./start",
        "https://start.us-gov-home.awsapps.com/directory/d-0123456789",
        "https://start.cn-north-1.home.awsapps.cn/directory/d-0123456789",
        "https://ssoins-0123456789abcdef.portal.eu-west-1.app.aws",
        "https://ssoins-0123456789abcdef.eu-west-1.portal.amazonaws.com",
        "https://ssoins-0123456789abcdef.cn-north-1.portal.amazonaws.com.cn",
        "https://ssoins-0123456789abcdef.portal.cn-north-1.app.amazonwebservices.com.cn",
        "https://ssoins-0123456789abcdef.eusc-de-east-1.portal.amazonaws.eu",
        "https://ssoins-0123456789abcdef.portal.eusc-de-east-1.api.amazonwebservices.eu",
        "https://identitycenter.amazonaws.com/ssoins-0123456789abcdef",
        "https://identitycenter.amazonaws.com.cn/ssoins-0123456789abcdef",
        "https://identitycenter.amazonaws.eu/ssoins-0123456789abcdef",
        "https://identitycenter.us-gov.amazonaws.com/ssoins-0123456789abcdef",
        "https://awsapps.com",
        "https://app.aws:8443/x",
    ],
)
def test_a_host_of_awss_portals_is_awss(url: str) -> None:
    assert start_urls.is_awss(url)
    assert not start_urls.is_vanity(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://aws.example.com/start",
        "https://evilawsapps.com/start",
        "https://corp.awsapps.com.evil.example/start",
        "https://corp.awsapps.com@evil.example/start",
        "https://evil.example\\.awsapps.com/start",
        "https://evil.example/corp.awsapps.com",
        "https://amazonaws.com/start",
        "https://x.identitycenter.amazonaws.com/start",
        "https://ec2-203-0-113-1.compute.amazonaws.com/start",
    ],
)
def test_what_only_looks_like_one_is_a_companys_own(url: str) -> None:
    assert not start_urls.is_awss(url)
    assert start_urls.is_vanity(url)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080/start", "https://localhost/start", "http://aws.example.com", "corp", "", "https://["]
)
def test_this_machine_and_what_is_no_https_address_are_never_looked_at(url: str) -> None:
    assert not start_urls.is_vanity(url)
    assert start_urls.resolve(url, "us-east-1", no_look) == Portal(url, "us-east-1")


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("ssoins-0123456789abcdef.portal.eu-west-1.app.aws", "eu-west-1"),
        ("SSOINS-0123456789ABCDEF.PORTAL.EU-WEST-1.APP.AWS.", "eu-west-1"),
        ("ssoins-0123456789abcdef.us-gov-west-1.portal.amazonaws.com", "us-gov-west-1"),
        ("ssoins-0123456789abcdef.cn-north-1.portal.amazonaws.com.cn", "cn-north-1"),
        ("ssoins-0123456789abcdef.portal.cn-northwest-1.app.amazonwebservices.com.cn", "cn-northwest-1"),
        ("ssoins-0123456789abcdef.eusc-de-east-1.portal.amazonaws.eu", "eusc-de-east-1"),
        ("ssoins-0123456789abcdef.portal.eusc-de-east-1.api.amazonwebservices.eu", "eusc-de-east-1"),
        ("start.cn-north-1.home.awsapps.cn", "cn-north-1"),
        ("start.home.awsapps.cn", None),
        ("start.us-gov-home.awsapps.com", None),
        ("corp.awsapps.com", None),
        ("identitycenter.amazonaws.com", None),
        ("a.b.portal.eu-west-1.app.aws", None),
        ("ssoins-1.portal.eu-west-1.app.aws.evil.example", None),
        ("ssoins-1.portal.eu_west_1.app.aws", None),
    ],
)
def test_the_region_of_a_host_name(host: str, region: str | None) -> None:
    assert start_urls.region_of(f"https://{host}/start") == region


@pytest.mark.parametrize(
    ("typed", "clean"),
    [
        ("https://corp.awsapps.com/start", "https://corp.awsapps.com/start"),
        ("  https://corp.awsapps.com/start/#/?tab=accounts ", "https://corp.awsapps.com/start"),
        ("https://Corp.AwsApps.com:443/start/", "https://corp.awsapps.com/start"),
        ("HTTPS://corp.awsapps.com/start?x=1", "https://corp.awsapps.com/start"),
        ("https://user:secret@corp.awsapps.com/start", "https://corp.awsapps.com/start"),
        ("https://corp.example:8443/Start/", "https://corp.example:8443/Start"),
        ("http://[::1]:80/start#/", "http://[::1]/start"),
        ("https://corp.awsapps.com:port/start", "https://corp.awsapps.com/start"),
        ("corp", "corp"),
        ("https://[", "https://["),
    ],
)
def test_what_people_paste_is_tidied_as_aws_writes_it(typed: str, clean: str) -> None:
    assert start_urls.cleaned(typed) == clean


def test_awss_own_is_taken_as_it_is_with_the_configured_region_and_no_look() -> None:
    assert start_urls.resolve(PORTAL + "/#/", "us-east-1", no_look) == Portal(PORTAL + "/#/", "us-east-1")
    assert start_urls.resolve(PORTAL, None, no_look) == Portal(PORTAL, None)


@pytest.mark.parametrize(
    ("target", "configured", "portal"),
    [
        (PORTAL + ":443/?x=1#/", "us-east-1", Portal(PORTAL, "eu-west-1")),
        (PORTAL, None, Portal(PORTAL, "eu-west-1")),
        ("https://corp.awsapps.com/start/", "us-east-1", Portal("https://corp.awsapps.com/start", "us-east-1")),
        ("https://corp.awsapps.com/start", None, Portal("https://corp.awsapps.com/start", None)),
        ("//corp.awsapps.com/start", "us-east-1", Portal("https://corp.awsapps.com/start", "us-east-1")),
        ("https://x@corp.awsapps.com/start", "us-east-1", Portal("https://corp.awsapps.com/start", "us-east-1")),
    ],
)
def test_a_vanity_one_is_what_it_leads_to_and_its_region_beats_the_configured_one(
    target: str, configured: str | None, portal: Portal
) -> None:
    assert start_urls.resolve(VANITY, configured, lambda _: target) == portal


@pytest.mark.parametrize(
    "target",
    [
        None,
        "http://corp.awsapps.com/start",
        "https://evil.example/start",
        "https://corp.awsapps.com@evil.example/",
        "https://corp.awsapps.com.evil.example/",
        "https://evil.example\\@corp.awsapps.com/",
        "/start",
        "https://corp.awsapps.com/\x1b[31m",
        "https://corp.awsapps.com/ä",
        "https://[",
        "https://corp.awsapps.com/" + "a" * 3000,
        "javascript:alert(1)",
        f"{PORTAL}, {PORTAL}",
    ],
)
def test_one_that_leads_anywhere_else_is_refused(target: str | None) -> None:
    with pytest.raises(ConfigError, match=r"aws\.example\.com") as refused:
        start_urls.resolve(VANITY, "us-east-1", lambda _: target)
    assert refused.value.message.isprintable()
    assert len(refused.value.message) < 800


def test_one_whose_server_says_no_leads_nowhere() -> None:
    def no(_: str) -> str:
        raise Refused("no", reason="HTTP 404")

    with pytest.raises(ConfigError, match=r"leads nowhere \(HTTP 404\)"):
        start_urls.resolve(VANITY, "us-east-1", no)


@pytest.mark.parametrize(
    "url",
    [
        "https://aws.example.com/a b",
        "https://ann:s3cret@aws.example.com/start",
        "https://aws..example.com/",
        "https://-/",
        "https://%41/",
        f"https://{'a' * 64}.example.com/",
    ],
)
def test_what_is_no_plain_address_is_not_even_asked_nor_its_password_told(url: str) -> None:
    with pytest.raises(ConfigError, match="no plain https") as told:
        start_urls.resolve(url, "us-east-1", no_look)
    assert "s3cret" not in str(told.value)


def no_look(url: str) -> str | None:
    raise AssertionError(f"{url} was looked at")


# With a real server.


@contextmanager
def believed(directory: Path, monkeypatch: pytest.MonkeyPatch, script: Script | None = None) -> Iterator[Wire]:
    with company(directory, script) as (wire, trusted):
        monkeypatch.setenv("AWS_CA_BUNDLE", trusted)
        yield wire


def portal(url: str, region: str = "us-east-1") -> SsoSession:
    return IdentityCenter().portal(SsoSession("corp", url, region))


def test_a_head_is_enough_and_nothing_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with believed(tmp_path, monkeypatch) as wire:
        found = portal(wire.url + "/start")
    assert (found.name, found.start_url, found.region) == ("corp", PORTAL, "eu-west-1")
    assert [head.split(b" HTTP")[0] for head in wire.heads] == [b"HEAD /start"]
    assert b"authorization" not in wire.heads[0].lower()


@pytest.mark.parametrize("status", ["405 Method Not Allowed", "501 Not Implemented"])
def test_a_server_that_takes_no_head_is_asked_by_get(
    status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def script(peer: Peer) -> None:
        asked = wire.heads[-1].startswith(b"HEAD")
        peer.say(answer(status) if asked else answer("308 Permanent Redirect", f"Location: {PORTAL}", body="x" * 9))

    with believed(tmp_path, monkeypatch, script) as wire:
        assert portal(wire.url).start_url == PORTAL
    assert [head.split(b" ")[0] for head in wire.heads] == [b"HEAD", b"GET"]


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (answer("200 OK"), ConfigError, "neither an address of AWS's nor leads to one"),
        (answer("302 Found"), ConfigError, "neither an address of AWS's nor leads to one"),
        (answer("302 Found", "Location: https://127.0.0.2/again"), ConfigError, "not AWS's"),
        (answer("404 Not Found"), ConfigError, "leads nowhere (HTTP 404)"),
        (answer("503 Service Unavailable"), Unavailable, "answered HTTP 503"),
        (answer("511 Network Authentication Required"), Unavailable, "captive portal"),
        (b"", Unavailable, "cannot be reached"),
        (b"SSH-2.0-x\r\n", Unavailable, "cannot be reached"),
    ],
)
def test_what_a_server_may_say_instead(
    said: bytes, kind: type[CredhelperError], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with believed(tmp_path, monkeypatch, lambda peer: peer.say(said)) as wire, pytest.raises(kind) as failed:
        portal(wire.url)
    assert words in failed.value.message


def test_a_server_that_nobody_vouches_for_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with believed(tmp_path, monkeypatch) as wire:
        monkeypatch.delenv("AWS_CA_BUNDLE")
        with pytest.raises(Unavailable, match="TLS"):
            portal(wire.url)
    assert wire.heads == []


def test_a_server_that_drips_is_given_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start_urls, "LOOK_DEADLINE", 0.2)
    endless = believed(tmp_path, monkeypatch, lambda peer: peer.drip(b"HTTP/1.1 302 Found\r\nX: "))
    with endless as wire, pytest.raises(Unavailable, match="cannot be reached"):
        portal(wire.url)
