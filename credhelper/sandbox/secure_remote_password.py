"""The server's half of SRP-6a as user pools speak it: 3072-bit group of RFC 3526, SHA-256, numbers padded their way."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

# RFC 3526, section 4: 2^3072 - 2^3008 - 1 + 2^64 * { [2^2942 pi] + 1690314 }
PRIME = int(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B"
    "302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7EDEE386BFB5A899FA5AE9F24117C4B1FE6"
    "49286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB9ED529077096966D"
    "670C354E4ABC9804F1746C08CA18217C32905E462E36CE3BE39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF695581718"
    "3995497CEA956AE515D2261898FA051015728E5A8AAAC42DAD33170D04507A33A85521ABDF1CBA64ECFB850458DBEF0A8AEA71575D060C7D"
    "B3970F85A6E1E4C7ABF5AE8CDB0933D71E8C94E04A25619DCEE3D2261AD2EE6BF12FFA06D98A0864D87602733EC86A64521F2B18177B200C"
    "BBE117577A615D6C770988C0BAD946E208E24FA074E5AB3143DB5BFCE0FD108E4B82D120A93AD2CAFFFFFFFFFFFFFFFF",
    16,
)
GENERATOR = 2


@dataclass(frozen=True)
class Exchange:
    """One sign-in under way: what the server has sent and what it keeps."""

    salt: int
    public: int
    """B."""
    secret_block: bytes = field(repr=False)
    key: bytes = field(repr=False)


def begin(pool_name: str, user_id: str, password: str, client_public: int) -> Exchange:
    """The server's answer to A. Raises ValueError for an A that would let anybody in."""
    if client_public % PRIME == 0:
        raise ValueError("A is a multiple of N")
    salt = secrets.randbits(128)
    inner = hashlib.sha256(f"{pool_name}{user_id}:{password}".encode()).digest()
    x = int.from_bytes(hashlib.sha256(padded(salt) + inner).digest(), "big")
    verifier = pow(GENERATOR, x, PRIME)
    k = int.from_bytes(hashlib.sha256(padded(PRIME) + padded(GENERATOR)).digest(), "big")
    private = secrets.randbits(256)
    public = (k * verifier + pow(GENERATOR, private, PRIME)) % PRIME
    u = int.from_bytes(hashlib.sha256(padded(client_public) + padded(public)).digest(), "big")
    shared = pow(client_public * pow(verifier, u, PRIME), private, PRIME)
    return Exchange(salt, public, secrets.token_bytes(256), _derived(padded(shared), padded(u)))


def signature(exchange: Exchange, pool_name: str, user_id: str, timestamp: str) -> bytes:
    """What a client that knows the password sends."""
    message = pool_name.encode() + user_id.encode() + exchange.secret_block + timestamp.encode()
    return hmac.digest(exchange.key, message, "sha256")


def padded(number: int) -> bytes:
    """Big-endian, with a zero byte in front where the first bit would make it negative."""
    return number.to_bytes(number.bit_length() // 8 + 1, "big")


def _derived(secret: bytes, salt: bytes) -> bytes:
    """HKDF (RFC 5869) for one block, of which 16 bytes are taken."""
    extracted = hmac.digest(salt, secret, "sha256")
    return hmac.digest(extracted, b"Caldera Derived Key\x01", "sha256")[:16]
