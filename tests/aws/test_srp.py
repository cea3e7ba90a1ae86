"""The password proof, against the RFCs' own numbers and against a server of its own making."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime

import pytest

from credhelper.aws import srp
from credhelper.aws.srp import BadChallenge, Challenge, Client

POOL = "eu-west-1_AbCdEf123"
NOW = datetime(2026, 6, 2, 9, 4, 5, tzinfo=UTC)

# RFC 5054, appendix B: the 1024-bit group, SHA-1.
N_1024 = int(
    "EEAF0AB9ADB38DD69C33F80AFA8FC5E86072618775FF3C0B9EA2314C9C256576D674DF7496EA81D3383B4813D692C6E0"
    "E0D5D8E250B98BE48E495C1D6089DAD15DC7D7B46154D6B6CE8EF4AD69B15D4982559B297BCF1885C529F566660E57EC"
    "68EDBC3C05726CC02FD4CBF4976EAA9AFD5138FE8376435B9FC61D2FC0EB06E3",
    16,
)
K = 0x7556AA045AEF2CDD07ABAF0F665C3E818913186F
X = 0x94B7555AABE9127CC58CCF4993DB6CF84D16C124
A_SECRET = 0x60975527035CF2AD1989806F0407210BC81EDC04E2762A56AFD529DDDA2D4393
U = 0xCE38B9593487DA98554ED47D70A7AE5F462EF019
B_PUBLIC = int(
    "BD0C61512C692C0CB6D041FA01BB152D4916A1E77AF46AE105393011BAF38964DC46A0670DD125B95A981652236F99D9"
    "B681CBF87837EC996C6DA04453728610D0C6DDB58B318885D7D82C7F8DEB75CE7BD4FBAA37089E6F9C6059F388838E7A"
    "00030B331EB76840910440B1B27AAEAEEB4012B7D7665238A8E3FB004B117B58",
    16,
)
SECRET = int(
    "B0DC82BABCF30674AE450C0287745E7990A3381F63B387AAF271A10D233861E359B48220F7C4693C9AE12B0A6F67809F"
    "0876E2D013800D6C41BB59B6D5979B5C00A172B4A2A5903A0BDCAF8A709585EB2AFAFA8F3499B200210DCC1F10EB3394"
    "3CD67FC88A2F39A4BE5BEC4EC0A3212DC346D7E474B29EDE8A469FFECA686E5A",
    16,
)


def test_the_secret_is_rfc_5054s() -> None:
    assert srp.premaster_secret(N_1024, 2, K, A_SECRET, B_PUBLIC, U, X) == SECRET


def test_the_group_is_the_one_that_rfc_5054_makes_of_pi() -> None:
    """2^3072 - 2^3008 - 1 + 2^64 * ([2^2942 pi] + 1690314)."""

    def arctan(inverse: int, unit: int) -> int:
        term = total = unit // inverse
        divisor, sign = 3, -1
        while term:
            term //= inverse * inverse
            total += sign * (term // divisor)
            divisor, sign = divisor + 2, -sign
        return total

    unit = 1 << 3100
    pi = 4 * (4 * arctan(5, unit) - arctan(239, unit))
    assert 2**3072 - 2**3008 - 1 + 2**64 * ((pi >> (3100 - 2942)) + 1690314) == srp.GROUP


def test_the_key_is_rfc_5869s() -> None:
    """Appendix A.1."""
    found = srp.hkdf(b"\x0b" * 22, bytes(range(13)), bytes(range(0xF0, 0xFA)), 42)
    assert found.hex() == ("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865")


@pytest.mark.parametrize(
    ("number", "octets"), [(0, "00"), (1, "01"), (0x7F, "7f"), (0x80, "0080"), (0x0FFF, "0fff"), (0xFFFF, "00ffff")]
)
def test_no_padded_number_looks_negative(number: int, octets: str) -> None:
    assert srp.padded(number).hex() == octets


def challenge_for(password: str, public: int, secret: int, salt: int = 0x80AA, user: str = "alice") -> Challenge:
    private = srp.password_number(salt, f"AbCdEf123{user}", password)
    verifier = pow(2, private, srp.GROUP)
    server = (srp.MULTIPLIER * verifier + pow(2, secret, srp.GROUP)) % srp.GROUP
    return Challenge(user, f"{salt:x}", f"{server:x}", base64.b64encode(b"block").decode())


def expected(password: str, public: int, secret: int, challenge: Challenge, at: str) -> str:
    """As the server reckons it, by the other side's formula."""
    private = srp.password_number(int(challenge.salt, 16), f"AbCdEf123{challenge.user_id}", password)
    verifier, mixed = pow(2, private, srp.GROUP), srp.scramble(public, int(challenge.public, 16))
    shared = pow(public * pow(verifier, mixed, srp.GROUP), secret, srp.GROUP)
    drawn = hmac.digest(srp.padded(mixed), srp.padded(shared), "sha256")
    key = hmac.digest(drawn, b"Caldera Derived Key\x01", "sha256")[:16]
    message = b"AbCdEf123" + challenge.user_id.encode() + b"block" + at.encode()
    return base64.b64encode(hmac.new(key, message, hashlib.sha256).digest()).decode()


@pytest.mark.parametrize("password", ["correct-horse", "Grüße 🐎 : colon"])
def test_who_knows_the_password_signs_what_the_server_expects(password: str) -> None:
    client, secret = Client.new(), 0xABCDEF
    challenge = challenge_for(password, client.public, secret)
    answer = client.answer(challenge, POOL, password, NOW)
    assert answer["TIMESTAMP"] == "Tue Jun 2 09:04:05 UTC 2026"
    assert answer["PASSWORD_CLAIM_SIGNATURE"] == expected(
        password, client.public, secret, challenge, answer["TIMESTAMP"]
    )
    assert client.answer(challenge, POOL, password + "x", NOW) != answer


@pytest.mark.parametrize("public", [0, srp.GROUP, 2 * srp.GROUP])
def test_a_server_that_sends_a_multiple_of_the_group_learns_nothing(public: int) -> None:
    with pytest.raises(BadChallenge):
        Client.new().answer(Challenge("alice", "aa", f"{public:x}", ""), POOL, "correct-horse", NOW)


@pytest.mark.parametrize(
    ("salt", "public", "block"),
    [("zz", "ab", ""), ("aa", "", ""), ("aa", "ab", "no base64!"), ("-aa", "ab", ""), ("aa", "-ab", "")],
)
def test_a_challenge_of_something_else_than_numbers_is_refused(salt: str, public: str, block: str) -> None:
    with pytest.raises(BadChallenge):
        Client.new().answer(Challenge("alice", salt, public, block), POOL, "correct-horse", NOW)


def test_nothing_secret_shows() -> None:
    client = Client(0x1234567890ABCDEF)
    assert "1234567890" not in repr(client)
    assert str(0x1234567890ABCDEF) not in repr(client)
    assert "c2VjcmV0" not in repr(Challenge("alice", "aa", "bb", "c2VjcmV0"))
