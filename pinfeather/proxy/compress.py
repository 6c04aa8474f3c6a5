"""Answers in gzip (Traefik 3.7, pkg/middlewares/compress over klauspost/compress/gzhttp).

Traefik also speaks brotli and zstd, and takes them where a client says that it likes them better; here such a client gets
gzip if it accepts it, and the plain answer if not. At equal weights Traefik takes gzip too.

Compressed is what has at least 1,024 bytes (`min_response_body_bytes`), or no length that is known at its head: such an
answer is a stream, each piece of it is sent on as it comes, and that includes `text/event-stream`, as there. Left as they are:
what has a Content-Encoding or a Content-Range, the excluded types and `application/grpc`. An answer without a Content-Type
is compressed; Traefik guesses a type from its first bytes and asks the list about that.
"""

import re
import zlib
from collections.abc import Mapping, Sequence

from pinfeather.model.middlewares import Compress
from pinfeather.proxy.passage import Addition, Passage
from pinfeather.proxy.step import Outcome, Step, Unfit
from pinfeather.proxy.wire import ResponseHead

_MINIMUM = 1024  # bytes
_GZIP = 31  # zlib's window of 32 KiB, with gzip's header and checksum
_GRPC = "application/grpc"
_VARY = Addition("Vary", "Accept-Encoding")
_MEDIA_TYPE = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+/[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_WEIGHT = re.compile(r"(?=\.?[0-9])[0-9]*+(?:\.[0-9]*+)?")
# What may be chosen, the better first where weights are equal: anything, gzip, nothing.
_ORDER = {"*": 0, "gzip": 1, "identity": 2}


class Gzip:
    """One body on its way into gzip."""

    edits: Mapping[str, str] = {"Content-Encoding": "gzip", "Accept-Ranges": ""}

    def __init__(self) -> None:
        self._zlib = zlib.compressobj(wbits=_GZIP)
        self._held = False  # whether it has bytes that have not come out

    def feed(self, data: bytes) -> bytes:
        """What comes out for `data`; perhaps nothing yet."""
        self._held |= bool(data)
        return self._zlib.compress(data)

    def flush(self) -> bytes:
        """Whatever was held back, so that the client can read all that the server has said."""
        held, self._held = self._held, False
        return self._zlib.flush(zlib.Z_SYNC_FLUSH) if held else b""

    def finish(self) -> bytes:
        """The end."""
        return self._zlib.flush()


def compress(config: Compress) -> Step:
    """The step of a `compress`. Raises Unfit."""
    excluded = frozenset((_GRPC, *map(_excluded, config.excluded_content_types)))
    minimum = config.min_response_body_bytes or _MINIMUM

    def coding(response: ResponseHead) -> Gzip | None:
        length = response.framing.length
        if length is not None and (length == 0 or length < minimum):
            return None
        for name, value, _ in response.fields:
            if value and (name in ("content-encoding", "content-range") or (name == "content-type" and media_type(value) in excluded)):
                return None
        return Gzip()

    def step(passage: Passage) -> Outcome:
        accepted = passage.values("accept-encoding")
        if passage.method == "HEAD" or not accepted or not chosen(accepted):
            return None
        if any(media_type(value) in excluded for value in passage.values("content-type")):
            return None  # the type of what the client sends: so a gRPC call is known
        passage.edits.append(_VARY)
        if weight_of_gzip(accepted[0]):
            passage.codings.append(coding)
        return None

    return step


def chosen(accepted: Sequence[str]) -> bool:
    """Whether what a client accepts comes down to gzip, by weight. A client that says nothing is not asked about."""
    found = []
    for line in accepted:
        for item in line.replace(" ", "").split(","):
            name, _, parameter = item.partition(";")
            weight = _weight(parameter)
            if name in _ORDER and weight:
                found.append((-weight, _ORDER[name], name))
    return bool(found) and min(found)[2] != "identity"


def weight_of_gzip(line: str) -> float:
    """What the first field says about gzip by its name: `*` chooses gzip, but does not accept it (as there)."""
    for item in line.split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        if name.lower() == "gzip":
            return next((min(1.0, _weight(parameter)) for parameter in parameters if parameter.startswith("q=")), 1.0)
    return 0.0


def media_type(value: str) -> str:
    """The type alone, in lower case."""
    return value.partition(";")[0].strip(" \t").lower()


def _weight(parameter: str) -> float:
    if not parameter.startswith("q="):
        return 1.0
    said = parameter.removeprefix("q=")
    return float(said) if _WEIGHT.fullmatch(said) else 0.0


def _excluded(text: str) -> str:
    found = media_type(text)
    if _MEDIA_TYPE.fullmatch(found) is None:
        raise Unfit(f"{text!r} is no content type")
    return found
