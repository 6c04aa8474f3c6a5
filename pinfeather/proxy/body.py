"""Bodies: cut out of a buffer by their framing, and framed anew. No sockets.

Each reader takes what belongs to its body off the front of a buffer and leaves the rest, so what comes after a message is
never mistaken for a part of it.
"""

import re
from typing import Protocol

from pinfeather.proxy.fields import Framing, Refused, valid_trailers

_CHUNK_LINE_LIMIT = 256  # bytes of a chunk's first line, its extension included
_TRAILER_LIMIT = 8 * 1024  # bytes
# Size in hex digits alone: no sign, no `0x`, no `_`, no space. An extension is read over; it may hold no control character.
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;[\t -~\x80-\xff]*+)?\r\n")
_LONGEST = 2**63 - 1
LAST_CHUNK = b"0\r\n\r\n"


class BodyReader(Protocol):
    """Reads one body. `done` once its last byte was taken."""

    done: bool

    def take(self, buffer: bytearray) -> bytes:
        """The payload at the front of `buffer`, cut off together with its framing. Raises Refused."""


class Sized:
    """A body of a number of bytes."""

    __slots__ = ("_left", "done")

    def __init__(self, length: int) -> None:
        self._left = length
        self.done = length == 0

    def take(self, buffer: bytearray) -> bytes:
        if len(buffer) <= self._left:
            payload = bytes(buffer)
            buffer.clear()
        else:
            payload = bytes(buffer[: self._left])
            del buffer[: self._left]
        self._left -= len(payload)
        self.done = self._left == 0
        return payload


_NO_BODY = Sized(0)  # one for all: nothing is ever taken by it


class UntilClose:
    """An answer's body that ends with its connection; who holds the connection says when it is done."""

    __slots__ = ("done",)

    def __init__(self) -> None:
        self.done = False

    def take(self, buffer: bytearray) -> bytes:
        payload = bytes(buffer)
        buffer.clear()
        return payload


class Chunked:
    """A chunked body (RFC 9112, 7.1), every line ended by CRLF and nothing else. Trailers are checked and dropped."""

    __slots__ = ("_left", "_scanned", "_trailers", "done")

    def __init__(self) -> None:
        self._left = 0  # bytes of the current chunk with its CRLF; 0 before a size
        self._scanned = 0
        self._trailers = False
        self.done = False

    def take(self, buffer: bytearray) -> bytes:
        payload = bytearray()
        while buffer and not self.done:
            if self._trailers:
                progress = self._take_trailers(buffer)
            elif self._left:
                progress = self._take_chunk(buffer, payload)
            else:
                progress = self._take_size(buffer)
            if not progress:
                break
        return bytes(payload)

    def _take_size(self, buffer: bytearray) -> bool:
        end = buffer.find(b"\n", self._scanned, _CHUNK_LINE_LIMIT)
        if end < 0:
            if len(buffer) >= _CHUNK_LINE_LIMIT:
                raise Refused("chunk line over the limit")
            self._scanned = len(buffer)
            return False
        line = _CHUNK_LINE.fullmatch(buffer, 0, end + 1)
        if line is None:
            raise Refused("chunk line")
        size = int(line[1], 16)
        del line  # a match keeps the buffer from being resized
        if size > _LONGEST:
            raise Refused("chunk size")
        del buffer[: end + 1]
        self._scanned = 0
        if size == 0:
            self._trailers = True
        else:
            self._left = size + 2
        return True

    def _take_chunk(self, buffer: bytearray, payload: bytearray) -> bool:
        data = min(self._left - 2, len(buffer))
        if data > 0:
            payload += buffer[:data]
            del buffer[:data]
            self._left -= data
        if self._left > 2:
            return False
        ending = b"\r\n"[2 - self._left :]
        got = bytes(buffer[: self._left])
        if not ending.startswith(got):
            raise Refused("chunk without CRLF")
        del buffer[: len(got)]
        self._left -= len(got)
        return self._left == 0

    def _take_trailers(self, buffer: bytearray) -> bool:
        end = 0 if buffer.startswith(b"\r\n") else buffer.find(b"\r\n\r\n", max(0, self._scanned - 3))
        stop = len(buffer) if end < 0 else end + (2 if end == 0 else 4)
        if stop > _TRAILER_LIMIT:
            raise Refused("trailers over the limit")
        if end < 0:
            start = max(0, self._scanned - 1)
            if buffer.count(b"\n", start) != buffer.count(b"\r\n", max(0, start - 1)):
                raise Refused("bare LF")
            self._scanned = stop
            return False
        section = bytes(buffer[:stop])
        if not valid_trailers(section):
            raise Refused("trailers")
        del buffer[:stop]
        self.done = True
        return True


def body_reader(framing: Framing) -> BodyReader:
    """The reader for a body framed so."""
    if framing.length == 0:
        return _NO_BODY
    if framing.chunked:
        return Chunked()
    return UntilClose() if framing.length is None else Sized(framing.length)


def chunked(payload: bytes, *, last: bool) -> bytes:
    """A piece of a body as a chunk, and what ends the body. An empty piece is no chunk: that would end it."""
    return (b"%x\r\n%b\r\n" % (len(payload), payload) if payload else b"") + (LAST_CHUNK if last else b"")
