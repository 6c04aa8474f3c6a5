"""Users and passwords (Traefik 3.7, pkg/middlewares/auth/basic_auth.go).

A check that takes long (bcrypt) is made on a thread, once for all requests that ask it at the same time; credentials that
were right once are known from then on. A refusal takes as long for a user who is not there as for one who is: the dearest
check is made in any case.
"""

import asyncio
import base64
import binascii
import hashlib
import re
import secrets
from collections.abc import Awaitable, Mapping
from pathlib import Path

from pinfeather.model.middlewares import BasicAuth
from pinfeather.proxy.passage import FRAMING_FIELDS, Answer, Passage
from pinfeather.proxy.passwords import Check, checker
from pinfeather.proxy.resources import Resources
from pinfeather.proxy.step import Outcome, Step, Unfit

_REMEMBERED = 1024  # credentials that were right once
_WAITING = 64  # different credentials whose check is not finished; above that nobody would get an answer in time
_LONGEST = 1024  # bytes of user and password: MD5 takes a thousand times what they are long
_DEAR = 5e-3  # seconds of a check that may not be spent on the event loop
_FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_BUSY = Answer.error(503)


class _Users:
    """Who may pass."""

    def __init__(self, checks: Mapping[bytes, Check], resources: Resources) -> None:
        self._checks = checks
        self._dearest = max(checks.values(), key=lambda check: check.seconds)
        self._resources = resources
        self._key = secrets.token_bytes(32)
        self._right: dict[bytes, None] = {}  # digests of credentials
        self._running: dict[bytes, asyncio.Future[bool]] = {}
        self.dear = self._dearest.seconds > _DEAR

    def known(self, plain: bytes) -> bool:
        """Whether these credentials were right before."""
        return self._digest(plain) in self._right

    def right(self, plain: bytes) -> bool:
        """Whether `user:password` is right, checked here and now."""
        user, colon, password = plain.partition(b":")
        check = self._checks.get(user)
        right = check is not None and bool(colon) and check.right(password)
        if not right and (check is None or not colon or check.seconds < self._dearest.seconds):
            self._dearest.right(password)
        return right

    def remember(self, plain: bytes) -> None:
        """These credentials were right."""
        if len(self._right) >= _REMEMBERED:
            del self._right[next(iter(self._right))]
        self._right[self._digest(plain)] = None

    async def right_later(self, plain: bytes) -> bool | None:
        """As `right`, on a thread; None where too many wait already."""
        digest = self._digest(plain)
        running = self._running.get(digest)
        if running is None:
            if len(self._running) >= _WAITING:
                return None
            running = self._running[digest] = self._resources.in_thread(lambda: self.right(plain))
            running.add_done_callback(lambda _: self._running.pop(digest, None))
        return await asyncio.shield(running)  # one client that leaves does not end it for the others

    def _digest(self, plain: bytes) -> bytes:
        return hashlib.blake2b(plain, key=self._key, digest_size=32).digest()


def basic_auth(config: BasicAuth, resources: Resources) -> Step:
    """The step of a `basic_auth`. Raises Unfit."""
    users = _Users(_checks(config), resources)
    refusal = _refusal(config.realm or "traefik")
    name_field = config.header_field
    if name_field is not None and name_field.lower() in FRAMING_FIELDS:
        raise Unfit(f"the header {name_field!r} belongs to the connection, not to the message")

    def admit(passage: Passage, plain: bytes) -> Outcome:
        users.remember(plain)
        if name_field is not None:
            user = plain.partition(b":")[0].decode("latin-1")
            if _FIELD_VALUE.fullmatch(user) is None:
                return refusal
            passage.put(name_field, user)
        if config.remove_header:
            passage.put("Authorization", "")
        return None

    async def later(passage: Passage, plain: bytes) -> Outcome:
        right = await users.right_later(plain)
        if right is None:
            return _BUSY
        return admit(passage, plain) if right else refusal

    def step(passage: Passage) -> Outcome | Awaitable[Outcome]:
        plain = _credentials(passage)
        if plain is None:
            return refusal
        if users.known(plain):
            return admit(passage, plain)
        if users.dear:
            return later(passage, plain)
        return admit(passage, plain) if users.right(plain) else refusal

    return step


def _refusal(realm: str) -> Answer:
    quoted = realm.replace("\\", "\\\\").replace('"', '\\"')
    if _FIELD_VALUE.fullmatch(quoted) is None:
        raise Unfit("its realm cannot stand in a header")
    return Answer(401, b"401 Unauthorized\n", (("Content-Type", "text/plain"), ("WWW-Authenticate", f'Basic realm="{quoted}"')))


def _credentials(passage: Passage) -> bytes | None:
    """`user:password` as it was sent; None without exactly one readable field, and for what is longer than any."""
    given = passage.values("authorization")
    scheme, _, credentials = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    if scheme.lower() != "basic":
        return None
    try:
        plain = base64.b64decode(credentials.strip(" "), validate=True)
    except (binascii.Error, ValueError):
        return None
    return plain if len(plain) <= _LONGEST else None


def _checks(config: BasicAuth) -> dict[bytes, Check]:
    lines = list(config.users)
    if config.users_file is not None:
        try:
            text = Path(config.users_file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Unfit("its users file cannot be read") from error
        lines += [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    checks: dict[bytes, Check] = {}
    for line in lines:
        user, colon, hashed = line.partition(":")
        try:
            check = checker(hashed.strip()) if colon else None
        except ImportError as error:
            raise Unfit("bcrypt is not installed: pip install 'pinfeather[proxy]'") from error
        if check is None:
            raise Unfit("a user's password hash is none that is checked here: bcrypt (to a cost of 16), MD5 ($apr1$, $1$) or {SHA}")
        checks[user.encode("utf-8")] = check
    if not checks:
        raise Unfit("it knows no user")
    return checks
