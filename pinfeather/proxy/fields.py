"""The fields of a head, and what they say that may be said once, or decides about the message.

Names in lower case; values as they were sent, one character a byte (latin-1), without the blanks around them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

FIELD_LIMIT = 100  # of a request
ANSWER_FIELD_LIMIT = 500
COOKIE_LIMIT = 16 * 1024  # bytes of all Cookie fields
COOKIE_PAIR_LIMIT = 200

TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"  # noqa: S105 - RFC 9110's word
VALUE = r"[\t -~\x80-\xff]*+"  # no other control character, no DEL; CR and LF only as the end of the line
FIELDS = r"(?:" + TOKEN + r":" + VALUE + r"\r\n)*+\r\n"
_TRAILERS = re.compile(FIELDS.encode("latin-1"))
_LENGTH = re.compile(r"[0-9]{1,18}")
_LABELS = r"(?:[0-9A-Za-z_-]++\.)*+[0-9A-Za-z_-]*+"
_HOST = re.compile(r"(?=.)(?!:)(" + _LABELS + r"|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5}))?")

NO_OPTIONS: frozenset[str] = frozenset()

Field = tuple[str, str, str]  # name in lower case, value, name as it was written

# Fields of one connection, never of the message (RFC 9110, 7.6.1); `HTTP2-Settings` and `Upgrade: h2c` with them.
HOP_BY_HOP: frozenset[str] = frozenset(
    (
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "http2-settings",
    )
)
# What `Connection: X-Forwarded-For, Cookie` may not take away (CVE-2024-45410, CVE-2026-29054).
_KEPT = frozenset(["host", "cookie", "authorization", "content-length", "set-cookie"])


class Refused(Exception):  # noqa: N818 - an outcome of reading, with the status that answers it
    """A message outside of the profile. `why` is for our own log: a client is told the status and nothing more."""

    def __init__(self, why: str, status: int = 400) -> None:
        super().__init__(why)
        self.why = why
        self.status = status


@dataclass(frozen=True, slots=True)
class Framing:
    """How long a body is: `length` bytes, or chunked, or (an answer only, both absent) until the connection ends."""

    length: int | None = 0
    chunked: bool = False

    @property
    def empty(self) -> bool:
        return self.length == 0


NO_BODY = Framing()
CHUNKED = Framing(None, chunked=True)
UNTIL_CLOSE = Framing(None)

_DECIDING = frozenset(("content-length", "transfer-encoding", "host", "upgrade", "cookie", "connection"))


class Section:
    """The fields of a head, and what they say that may be said once, or decides about the message.

    What others work out of the same fields they leave here (`memo`), so that it is done once for all requests with these bytes.
    """

    __slots__ = ("announced", "cookies", "fields", "framing", "host", "memo", "options", "port", "raw", "upgrade")

    def __init__(self, text: str, *, answer: bool = False) -> None:
        """`text`: well-formed fields, the empty line included. Of an answer more is taken than of a request. Raises Refused."""
        self.raw = text.encode("latin-1")
        fields = []
        for line in text[:-4].split("\r\n") if len(text) > 2 else ():
            name, _, value = line.partition(":")
            fields.append((name.lower(), value.strip(" \t"), name))
        if len(fields) > (ANSWER_FIELD_LIMIT if answer else FIELD_LIMIT):
            raise Refused("too many fields", 431)
        self.fields: tuple[Field, ...] = tuple(fields)
        self.memo: dict[str, object] = {}
        self.framing = NO_BODY
        self.announced = False  # whether Content-Length or Transfer-Encoding is there
        self.host: str | None = None  # None: there is none, or several
        self.port: str | None = None  # of the host, perhaps empty; None: nobody has looked at it
        self.options: frozenset[str] = NO_OPTIONS
        self.upgrade = ""
        said: dict[str, list[str]] = {}
        for name, value, _ in fields:
            if name in _DECIDING:
                said.setdefault(name, []).append(value)
        if "connection" in said:
            self.options = connection_options(fields)
        if "upgrade" in said:
            self.upgrade = said["upgrade"][-1].lower()
        if "transfer-encoding" in said:
            codings = [coding.lower() for coding in said["transfer-encoding"]] if answer else said["transfer-encoding"]
            if "content-length" in said or codings != ["chunked"]:
                raise Refused("Transfer-Encoding")
            self.framing, self.announced = CHUNKED, True
        elif "content-length" in said:
            (length, *more) = said["content-length"]
            if more or _LENGTH.fullmatch(length) is None:
                raise Refused("Content-Length")
            self.framing, self.announced = Framing(int(length)), True
        if "host" in said and len(said["host"]) == 1:
            self.host = said["host"][0]
        self.cookies = parse_cookies(said["cookie"]) if "cookie" in said else ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Section) and self.raw == other.raw

    def __hash__(self) -> int:
        return hash(self.raw)


def valid_trailers(section: bytes) -> bool:
    """Whether what follows the last chunk, empty line included, is made of well-formed fields."""
    return _TRAILERS.fullmatch(section) is not None


def connection_options(fields: Sequence[Field]) -> frozenset[str]:
    """What the Connection fields list, in lower case."""
    values = [value for name, value, _ in fields if name == "connection"]
    if not values:
        return frozenset()
    return frozenset(option.strip(" \t").lower() for value in values for option in value.split(","))


def end_to_end(fields: Sequence[Field], options: frozenset[str]) -> list[Field]:
    """The fields that belong to the message: without the hop's own, and without what Connection lists (its `options`).

    Content-Length stays: who writes the message out decides about its framing.
    """
    dropped = HOP_BY_HOP
    if not options <= HOP_BY_HOP:
        dropped |= {name for name in options if name not in _KEPT and not name.startswith("x-forwarded-")}
    return [field for field in fields if field[0] not in dropped]


def parse_cookies(values: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The pairs of all Cookie fields in order, by one linear scan; a broken pair hides no other. Values keep quotes.

    Raises Refused over 16 KiB or 200 pairs.
    """
    if sum(map(len, values)) > COOKIE_LIMIT:
        raise Refused("cookies over the limit", 431)
    parts = [part for value in values for part in value.split(";")]
    if len(parts) > COOKIE_PAIR_LIMIT:
        raise Refused("cookie pairs over the limit", 431)
    pairs = []
    for part in parts:
        name, equals, value = part.partition("=")
        if equals and (name := name.strip(" \t")):
            pairs.append((name, value.strip(" \t")))
    return tuple(pairs)


def split_host(host: str) -> tuple[str, str]:
    """A valid Host field as name and port (which may be empty). Raises Refused for any other."""
    found = _HOST.fullmatch(host)
    if found is None or not found[1] or (found[2] and int(found[2]) > 65535):
        raise Refused("invalid Host")
    return found[1], found[2] or ""
