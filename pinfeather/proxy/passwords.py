"""Password hashes of htpasswd: bcrypt (`$2y$`, `$2a$`, `$2b$`), `{SHA}` and MD5 (`$apr1$`, `$1$`).

bcrypt is the library of that name (extra `proxy`). The MD5 scheme is Poul-Henning Kamp's md5crypt as Apache keeps it (httpd
2.4, apr-util crypto/apr_md5.c).
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass

_ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ORDER = ((0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5))  # which digest bytes make four letters each
_MAGICS = ("$apr1$", "$1$")
_SALT_LENGTH = 8
_BCRYPT = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}")
_BCRYPT_BYTES = 72  # of a password; the rest says nothing, there and in Go
_COSTS = range(4, 17)  # 2**16 rounds take about 5 s; Go would take up to 2**31


@dataclass(frozen=True, slots=True)
class Check:
    """Says whether a password belongs to one hash."""

    right: Callable[[bytes], bool]
    seconds: float  # how long it takes, about; what is longer than a few milliseconds has no place on the event loop


def checker(hashed: str) -> Check | None:
    """The check of `hashed`; None for a scheme, or a cost, that is not checked here. Raises ImportError without bcrypt."""
    if hashed.startswith("{SHA}"):
        return _sha(hashed.removeprefix("{SHA}"))
    for magic in _MAGICS:
        if hashed.startswith(magic):
            return _md5crypt(hashed, magic)
    found = _BCRYPT.fullmatch(hashed)
    return None if found is None or int(found[1]) not in _COSTS else _bcrypt(hashed.encode("ascii"), int(found[1]))


def _sha(encoded: str) -> Check | None:
    try:
        wanted = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(wanted) != 20:
        return None
    return Check(lambda password: hmac.compare_digest(hashlib.sha1(password, usedforsecurity=False).digest(), wanted), 1e-6)


def _md5crypt(hashed: str, magic: str) -> Check | None:
    salt, dollar, digest = hashed.removeprefix(magic).partition("$")
    if not dollar or not salt.isascii() or len(salt) > _SALT_LENGTH or len(digest) != 22:
        return None
    return Check(lambda password: hmac.compare_digest(md5crypt(password, salt, magic).encode(), hashed.encode()), 1e-3)


def _bcrypt(hashed: bytes, cost: int) -> Check | None:
    import bcrypt

    try:
        bcrypt.checkpw(b"", hashed[:4] + b"04" + hashed[6:])  # whether the library reads the hash, at the lowest cost
    except ValueError:
        return None
    return Check(lambda password: bcrypt.checkpw(password[:_BCRYPT_BYTES], hashed), 7e-5 * 2**cost)


def md5crypt(password: bytes, salt: str, magic: str = "$apr1$") -> str:
    """The whole hash, magic and salt included: a thousand rounds of MD5, about a millisecond."""
    seasoning = salt.encode("ascii")
    inner = _md5(password + seasoning + password)
    start = password + magic.encode() + seasoning + (inner * (len(password) // 16 + 1))[: len(password)]
    bits = len(password)
    while bits:
        start += b"\0" if bits & 1 else password[:1]
        bits >>= 1
    digest = _md5(start)
    for turn in range(1000):
        digest = _md5(
            (password if turn & 1 else digest)
            + (seasoning if turn % 3 else b"")
            + (password if turn % 7 else b"")
            + (digest if turn & 1 else password)
        )
    letters = []
    for first, second, third in _ORDER:
        letters.append(_letters(digest[first] << 16 | digest[second] << 8 | digest[third], 4))
    letters.append(_letters(digest[11], 2))
    return f"{magic}{salt}${''.join(letters)}"


def _letters(number: int, count: int) -> str:
    return "".join(_ALPHABET[number >> (6 * place) & 0x3F] for place in range(count))


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()
