"""What a TLS client says first, read without ending TLS: the server name and the protocols that it asks for. No sockets.

The reader is strict and total: any bytes are a hello, no TLS at all, a hello that is not whole yet, or one that is broken.
A hello may come in several records (RFC 8446, 4.1.2 and 5.1; RFC 6066, 3; RFC 7301, 3.1).
"""

import re
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

LARGEST = 16 * 1024  # bytes of a hello, with the heads of its records
RECORDS = 32  # that it may come in

_HANDSHAKE = 0x16
_CLIENT_HELLO = b"\1"
_HEAD = 5  # bytes of a record before its content
_SERVER_NAME, _ALPN = 0, 16
_HOST_NAME = 0
_NAME = re.compile(rb"(?=.{1,255}\Z)[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")


class Hello(NamedTuple):
    """What of a client's hello decides where it goes."""

    sni: str | None
    """In lower case."""
    alpn: tuple[str, ...]
    """In the client's order; bytes as latin-1."""


class More(NamedTuple):
    """The hello is not whole yet."""

    bytes: int
    """It has at least so many, counted from its first one."""


class Verdict(Enum):
    """Bytes that never become a hello."""

    PLAIN = "no TLS"
    BROKEN = "a broken TLS hello"


class _BrokenError(Exception):
    pass


class _Cut:
    """Bytes taken from the front, each length checked. Raises _BrokenError where they do not reach."""

    __slots__ = ("_at", "_data", "_end")

    def __init__(self, data: bytes, start: int = 0) -> None:
        self._data = data
        self._at = start
        self._end = len(data)

    def __bool__(self) -> bool:
        return self._at < self._end

    def take(self, count: int) -> bytes:
        if self._end - self._at < count:
            raise _BrokenError
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")

    def vector(self, width: int, least: int = 0, most: int | None = None) -> bytes:
        length = self.number(width)
        if length < least or (most is not None and length > most):
            raise _BrokenError
        return self.take(length)


def read_hello(data: bytes) -> Hello | More | Verdict:
    """What the first bytes of a connection are."""
    if not data:
        return More(1)
    if data[0] != _HANDSHAKE:
        return Verdict.PLAIN
    try:
        message = _message(data)
        return message if isinstance(message, More) else _hello(message)
    except _BrokenError:
        return Verdict.BROKEN


def _message(data: bytes) -> bytes | More:
    """The hello out of its records, without the head of the message."""
    gathered = b""
    at = 0
    for _ in range(RECORDS):
        head = data[at : at + _HEAD]
        if head[:2] != b"\x16\3"[: len(head)]:
            raise _BrokenError
        if len(head) < _HEAD:
            return More(at + _HEAD)
        end = at + _HEAD + int.from_bytes(head[3:], "big")
        if end == at + _HEAD:
            raise _BrokenError
        gathered += data[at + _HEAD : end]
        if gathered[:1] not in (b"", _CLIENT_HELLO):
            raise _BrokenError
        whole = 4 + int.from_bytes(gathered[1:4], "big") if len(gathered) >= 4 else None
        if whole is not None and len(gathered) + max(0, end - len(data)) > whole:  # something else in the hello's last record
            raise _BrokenError
        if max(end, _HEAD + (whole or 0)) > LARGEST:
            raise _BrokenError
        if end > len(data):
            return More(end)
        if whole == len(gathered):
            return gathered[4:]
        at = end
    raise _BrokenError


def _hello(message: bytes) -> Hello:
    cut = _Cut(message)
    if cut.number(2) >> 8 != 3:
        raise _BrokenError
    cut.take(32)
    cut.vector(1, most=32)
    if len(cut.vector(2, least=2)) % 2:
        raise _BrokenError
    if 0 not in cut.vector(1, least=1):
        raise _BrokenError
    sni: str | None = None
    alpn: tuple[str, ...] = ()
    for kind, body in _extensions(cut):
        if kind == _SERVER_NAME:
            sni = _server_name(_Cut(body))
        elif kind == _ALPN:
            alpn = tuple(_protocols(_Cut(body)))
    return Hello(sni, alpn)


def _extensions(cut: _Cut) -> Iterator[tuple[int, bytes]]:
    if not cut:
        return
    inner = _Cut(cut.vector(2))
    if cut:
        raise _BrokenError
    seen: set[int] = set()
    while inner:
        kind = inner.number(2)
        if kind in seen:
            raise _BrokenError
        seen.add(kind)
        yield kind, inner.vector(2)


def _server_name(body: _Cut) -> str:
    """The one host name. Other kinds of names are not defined, and a second one is forbidden."""
    names = _Cut(body.vector(2, least=1))
    kind, name = names.number(1), names.vector(2, least=1)
    if body or names or kind != _HOST_NAME or not _NAME.fullmatch(name):
        raise _BrokenError
    return name.decode("ascii").lower()


def _protocols(body: _Cut) -> Iterator[str]:
    names = _Cut(body.vector(2, least=2))
    if body:
        raise _BrokenError
    while names:
        yield names.vector(1, least=1).decode("latin-1")
