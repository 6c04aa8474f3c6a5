"""Password hashes of htpasswd that the standard library can check: `{SHA}` and MD5 (`$apr1$`, `$1$`).

bcrypt is not among them: a route behind it stays closed. The MD5 scheme is Poul-Henning Kamp's md5crypt as Apache keeps it
(httpd 2.4, apr-util crypto/apr_md5.c).
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable

_ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ORDER = ((0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5))  # which digest bytes make four letters each
_MAGICS = ("$apr1$", "$1$")
_SALT_LENGTH = 8

Check = Callable[[bytes], bool]


def checker(hashed: str) -> Check | None:
    """The function that says whether a password belongs to `hashed`; None for a scheme that cannot be checked here."""
    if hashed.startswith("{SHA}"):
        return _sha(hashed.removeprefix("{SHA}"))
    for magic in _MAGICS:
        if hashed.startswith(magic):
            salt, dollar, digest = hashed.removeprefix(magic).partition("$")
            if not dollar or not salt.isascii() or len(salt) > _SALT_LENGTH or len(digest) != 22:
                return None
            return lambda password: hmac.compare_digest(md5crypt(password, salt, magic).encode(), hashed.encode())
    return None


def _sha(encoded: str) -> Check | None:
    try:
        wanted = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(wanted) != 20:
        return None
    return lambda password: hmac.compare_digest(hashlib.sha1(password, usedforsecurity=False).digest(), wanted)


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
