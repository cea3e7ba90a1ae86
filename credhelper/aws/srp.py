"""The password proof of Cognito user pools: SRP 6a over the 3072-bit group of RFC 5054, with Cognito's own bindings.

Pure sums: the password goes in, and what leaves this machine is a signature that only who knows it can make. Where
Cognito differs from RFC 5054: SHA-256, the pool's name beside the user's, numbers padded so that none looks negative,
and a key that HKDF (RFC 5869) draws from the secret to sign the server's block with.
"""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime

GROUP = int(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD"
    "EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED"
    "EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F"
    "83655D23DCA3AD961C62F356208552BB9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B"
    "E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF6955817183995497CEA956AE515D2261898FA0510"
    "15728E5A8AAAC42DAD33170D04507A33A85521ABDF1CBA64ECFB850458DBEF0A8AEA71575D060C7DB3970F85A6E1E4C7"
    "ABF5AE8CDB0933D71E8C94E04A25619DCEE3D2261AD2EE6BF12FFA06D98A0864D87602733EC86A64521F2B18177B200C"
    "BBE117577A615D6C770988C0BAD946E208E24FA074E5AB3143DB5BFCE0FD108E4B82D120A93AD2CAFFFFFFFFFFFFFFFF",
    16,
)
"""N, a safe prime: 3072 bits (RFC 5054 appendix A)."""
GENERATOR = 2

_KEY_LENGTH = 16  # bytes that sign
_KEY_INFO = b"Caldera Derived Key"
_SECRET_LENGTH = 128  # bytes of our own random number
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
"""Whatever the locale: the server parses them."""


class BadChallenge(ValueError):
    """The server's numbers are none that it may send; going on would give the password away."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """PASSWORD_VERIFIER's parameters."""

    user_id: str
    """USER_ID_FOR_SRP: not always what the person has typed."""
    salt: str
    """Hexadecimal."""
    public: str
    """SRP_B, hexadecimal."""
    secret_block: str = field(repr=False)
    """Base64."""


@dataclass(frozen=True, slots=True)
class Client:
    """One login's end of the protocol: a random number, and what may be told of it."""

    secret: int = field(repr=False)

    @classmethod
    def new(cls) -> "Client":
        """With a number from the system's randomness."""
        return cls(secrets.randbits(8 * _SECRET_LENGTH) % GROUP)

    @property
    def public(self) -> int:
        """A = g^a mod N."""
        return pow(GENERATOR, self.secret, GROUP)

    @property
    def srp_a(self) -> str:
        """As InitiateAuth takes it."""
        return f"{self.public:x}"

    def answer(self, challenge: Challenge, pool_id: str, password: str, now: datetime) -> dict[str, str]:
        """The ChallengeResponses that prove the password: signature, block and time. Raises BadChallenge."""
        pool = pool_id.partition("_")[2]
        try:
            server, salt = int(challenge.public, 16), int(challenge.salt, 16)
            block = base64.b64decode(challenge.secret_block, validate=True)
        except ValueError:
            raise BadChallenge("a number of the challenge is none") from None
        if server < 0 or salt < 0:
            raise BadChallenge("a number of the challenge is negative")
        if server % GROUP == 0:  # RFC 5054 section 2.5.3
            raise BadChallenge("the server's number is a multiple of the group's")
        mixed = scramble(self.public, server)
        if mixed == 0:
            raise BadChallenge("the scrambling number is 0")
        private = password_number(salt, f"{pool}{challenge.user_id}", password)
        shared = premaster_secret(GROUP, GENERATOR, MULTIPLIER, self.secret, server, mixed, private)
        key = hkdf(padded(shared), padded(mixed), _KEY_INFO, _KEY_LENGTH)
        at = timestamp(now)
        message = pool.encode() + challenge.user_id.encode() + block + at.encode()
        return {
            "PASSWORD_CLAIM_SECRET_BLOCK": challenge.secret_block,
            "PASSWORD_CLAIM_SIGNATURE": base64.b64encode(hmac.digest(key, message, "sha256")).decode(),
            "TIMESTAMP": at,
        }


def padded(number: int) -> bytes:
    """Big-endian, with a zero in front where the first bit would make it negative in two's complement."""
    return number.to_bytes(number.bit_length() // 8 + 1) if number else b"\0"


def hashed(*parts: bytes) -> int:
    """SHA-256 of them all, as a number."""
    return int.from_bytes(hashlib.sha256(b"".join(parts)).digest())


def scramble(ours: int, theirs: int) -> int:
    """u = H(A | B)."""
    return hashed(padded(ours), padded(theirs))


def password_number(salt: int, user: str, password: str) -> int:
    """x = H(s | H(user ":" password)); Cognito's user is the pool's name and the user's without anything between."""
    return hashed(padded(salt), hashlib.sha256(f"{user}:{password}".encode()).digest())


def premaster_secret(
    group: int, generator: int, multiplier: int, secret: int, server: int, scrambled: int, private: int
) -> int:
    """(B - k g^x) ^ (a + u x) mod N (RFC 5054 section 2.6)."""
    base = (server - multiplier * pow(generator, private, group)) % group
    return pow(base, secret + scrambled * private, group)


def hkdf(material: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """HKDF with SHA-256 (RFC 5869)."""
    drawn = hmac.digest(salt, material, "sha256")
    found, block = b"", b""
    while len(found) < length:
        block = hmac.digest(drawn, block + info + bytes([len(found) // 32 + 1]), "sha256")
        found += block
    return found[:length]


def timestamp(now: datetime) -> str:
    """Such as ``Tue Jun 2 09:04:05 UTC 2026``: a day of the month without a zero in front."""
    at = now.astimezone(UTC)
    return f"{_WEEKDAYS[at.weekday()]} {_MONTHS[at.month - 1]} {at.day} {at:%H:%M:%S} UTC {at.year}"


def secret_hash(username: str, client_id: str, client_secret: str) -> str:
    """SECRET_HASH, which an app client with a secret wants in each request."""
    return base64.b64encode(hmac.digest(client_secret.encode(), (username + client_id).encode(), "sha256")).decode()


MULTIPLIER = hashed(padded(GROUP), padded(GENERATOR))
"""k = H(N | g)."""
