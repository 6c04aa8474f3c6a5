"""Access logs, line by line: Traefik's in JSON and in CLF, and that of our proxy, whose names are Traefik's.

What a log does not keep is not made up: a header that is not there may have been there, unless the log keeps headers. Traefik 3.7,
pkg/middlewares/accesslog: in JSON `request_NAME` for each header that `fields.headers` keeps (none by default); in CLF no host, no
header but two, no entry point, and behind the line of Apache's the number of the request, the router, the server and the time.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pinfeather._files import FileError
from pinfeather._sources import UsageError
from pinfeather.model.request import normal_path, normal_query

LONGEST = 1 << 20
"""Bytes of one line; a longer one is not read."""
REDACTED = "REDACTED"
_KEPT = frozenset(f"request_X-Forwarded-{name}" for name in ("Host", "Port", "Proto", "Server"))
"""Traefik adds these to each request before it logs it: a line that has them is of a log that keeps all headers, not this or that."""


class Logged(NamedTuple):
    """What one line says of a request. None: the log does not say."""

    host: str | None
    path: str
    query: str
    method: str
    entry_point: str | None
    tls: bool | None
    client: str
    headers: tuple[tuple[str, str], ...]
    every_header: bool
    """Whether a header that is not in `headers` was not there."""
    router: str | None = None


class Line(NamedTuple):
    number: int
    request: Logged | None
    """None: the line cannot be used, and `problem` says why."""
    problem: str = ""


Reader = Callable[[bytes], Logged]


@contextmanager
def opened(name: str) -> Iterator[BinaryIO]:
    """The bytes of a log; `-` is standard input, and `.gz` is unpacked. Raises FileError."""
    if name == "-":
        yield sys.stdin.buffer
        return
    path = Path(name)
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if packed:
                with gzip.open(raw) as stream:
                    yield stream  # type: ignore[misc]  # it reads as a BinaryIO does
            else:
                yield raw
    except (OSError, EOFError, zlib.error) as problem:
        raise FileError(path, (getattr(problem, "strerror", None) or str(problem)).lower()) from None


def lines(stream: BinaryIO, name: str) -> Iterator[Line]:
    """Every line that is not empty, read by the format of the first. Raises UsageError where that is none of ours."""
    reader: Reader | None = None
    number = 0
    while raw := stream.readline(LONGEST):
        number += 1
        if len(raw) == LONGEST and not raw.endswith(b"\n"):
            while (rest := stream.readline(LONGEST)) and not rest.endswith(b"\n"):
                pass
            yield Line(number, None, f"it is longer than {LONGEST} bytes")
            continue
        text = raw.strip()
        if not text:
            continue
        if reader is None:
            reader = _reader(text, name, number)
        try:
            yield Line(number, reader(text))
        except ValueError as problem:
            yield Line(number, None, str(problem))


def _reader(text: bytes, name: str, number: int) -> Reader:
    if text.startswith(b"{"):
        return _json
    if _CLF.match(text) is not None:
        return _clf
    raise UsageError(
        f"{name}:{number}: this is no access log of Traefik (JSON or CLF) or of ours: {text[:60].decode('utf-8', 'replace')!r}"
    )


# JSON -----------------------------------------------------------------------------------------------------------------------


def _json(text: bytes) -> Logged:
    """Raises ValueError."""
    try:
        found = json.loads(text)
        json.dumps(found, ensure_ascii=False).encode("utf-8", "surrogateescape")  # half of a character is no text
    except UnicodeEncodeError:
        raise ValueError("half of a character stands in it") from None
    except (ValueError, RecursionError):
        raise ValueError("it is not whole: no JSON") from None
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    path, method = found.get("RequestPath"), found.get("RequestMethod")
    if not isinstance(path, str) or not isinstance(method, str) or not path.startswith("/"):
        raise ValueError("it says no RequestPath and RequestMethod")
    host = found.get("RequestAddr") or found.get("RequestHost")
    plain, _, query = path.partition("?")
    headers = []
    for key, value in found.items():
        if key.startswith("request_") and isinstance(value, str) and value != REDACTED and not key.startswith("request_X-Forwarded-"):
            headers.append((key[len("request_") :].lower(), value))
    scheme = found.get("RequestScheme")
    entry_point, client, router = found.get("entryPointName"), found.get("ClientHost"), found.get("RouterName")
    return Logged(
        host if isinstance(host, str) and host != "-" else None,
        normal_path(plain),
        normal_query(query),
        method,
        entry_point if isinstance(entry_point, str) else None,
        scheme == "https" if isinstance(scheme, str) else None,
        client if isinstance(client, str) else "",
        tuple(sorted(headers)),
        found.keys() >= _KEPT and REDACTED not in found.values(),
        router if isinstance(router, str) else None,
    )


# CLF ------------------------------------------------------------------------------------------------------------------------

# Nothing in it is escaped, so a path may hold quotes: the last ` HTTP/1.1" 200 ` is the end of the request.
_CLF = re.compile(rb'(\S+) - (.*?) \[([^\]]*)\] "(\S+) (/.*) HTTP/[0-9.]+" (\d{3}|-) (\d+|-)(.*)')
_TAIL = re.compile(rb' "(?P<router>[^"]*)" "[^"]*" \d+ms$')


def _clf(text: bytes) -> Logged:
    """Raises ValueError."""
    found = _CLF.fullmatch(text)
    if found is None:
        raise ValueError("it is not whole: no line of CLF")
    target = found[5].decode("utf-8", "replace")
    plain, _, query = target.partition("?")
    tail = _TAIL.search(found[8])
    router = tail["router"].decode("utf-8", "replace") if tail is not None else "-"
    return Logged(
        None, normal_path(plain), normal_query(query), found[4].decode("latin-1"), None, None, found[1].decode("latin-1"), (), False,
        router if router != "-" else None,
    )  # fmt: skip
