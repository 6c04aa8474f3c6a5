"""One request on its way through the proxy: what middlewares may change, and how both heads are written out anew.

Nothing of a head that came in is copied as bytes. Fields of the hop are dropped, X-Forwarded-* is what this proxy saw
itself (a client is not trusted to say it), and so are names that some servers read as one of those (`X_Forwarded_Proto`).
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol
from urllib.parse import quote

from pinfeather.model.decide import normal_path, normal_query
from pinfeather.proxy.fields import HOP_BY_HOP, Field, Framing, Section, end_to_end
from pinfeather.proxy.wire import RequestHead, ResponseHead

REASONS: Mapping[int, str] = {status.value: status.phrase for status in HTTPStatus}
DEFAULT_PORTS: Mapping[str, str] = {"http": "80", "https": "443"}

_OURS = frozenset(("forwarded", "x-real-ip", "x-replaced-path"))
_ALIASED = HOP_BY_HOP | _OURS | {"host", "content-length", "cookie", "authorization", "expect"}
# What a document may not set: it would change how the message is framed or where its connection goes.
FRAMING_FIELDS = HOP_BY_HOP | {"content-length", "expect"}
_TARGET = re.compile(r"[!\"$-~]+")
_TARGET_SAFE = "!\"$%&'()*+,-./:;<=>?@[\\]^_`{|}~"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the proxy's own."""

    status: int
    body: bytes = b""
    fields: tuple[tuple[str, str], ...] = ()

    @classmethod
    def error(cls, status: int, text: str = "") -> "Answer":
        """As Go's http.Error writes it (1.25, net/http): the text, or the status in words, and a line end."""
        return cls(
            status,
            f"{text or REASONS.get(status, '')}\n".encode(),
            (("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff")),
        )


@dataclass(frozen=True, slots=True)
class Addition:
    """A field that is added to an answer, whatever it says under that name already."""

    name: str
    value: str


Edit = Mapping[str, str] | Addition
"""A change to every answer: fields to set, an empty value removes them; or one more field."""


class Coder(Protocol):
    """One answer's body on its way into another coding."""

    @property
    def edits(self) -> Mapping[str, str]:
        """What its head says otherwise."""

    def feed(self, data: bytes) -> bytes:
        """What comes out for `data`; perhaps nothing yet."""

    def flush(self) -> bytes:
        """Whatever was held back, so that the client can read all that the server has said."""

    def finish(self) -> bytes:
        """The end."""


Coding = Callable[[ResponseHead], Coder | None]
"""Asked once for an answer that has a body; None leaves it as it is."""


class Passage:
    """A request between its head and its server. Middlewares change it in place; `edits` are applied to every answer."""

    __slots__ = (
        "_fields", "_kept", "attempts", "client", "codings", "edits", "forwarded", "host", "method", "path", "query",
        "retry_interval", "scheme",
    )  # fmt: skip

    def __init__(self, request: RequestHead, client: str, scheme: str) -> None:
        """The request as the first middleware meets it."""
        self.method = request.method
        self.path = request.normal
        # `;` parts parameters as `&` does, for conditions and, as in Traefik, for the server too.
        self.query = request.query and normal_query(request.query)
        self.host = request.host
        self.scheme = scheme
        self.client = client
        self.edits: list[Edit] = []
        self.codings: list[Coding] = []
        self.attempts = 0  # tries in all, as a `retry` says; 0: nobody said
        self.retry_interval = 0.0  # seconds before the first one more
        self._fields: list[Field] | None = None
        self._kept = Kept.of(request.section)
        port = request.section.port or DEFAULT_PORTS[scheme]
        self.forwarded = (client, request.host, port, scheme, client)

    @property
    def fields(self) -> list[Field]:
        """What goes to the server beside Host and framing. Made when a middleware first asks for it."""
        if self._fields is None:
            said = zip(_FORWARDED, self.forwarded, strict=True)
            self._fields = [*self._kept.fields, *((name.lower(), value, name) for name, value in said)]
        return self._fields

    @fields.setter
    def fields(self, fields: list[Field]) -> None:
        self._fields = fields

    @property
    def lines(self) -> str:
        """The fields as they are written, each with its CRLF."""
        if self._fields is None:
            return self._kept.written(self.forwarded)
        return "".join([f"{spelled}: {value}\r\n" for name, value, spelled in self._fields if name not in _FRAMED])

    @property
    def expects_more(self) -> bool:
        """Whether the client wants anything else to be understood than 100-continue."""
        return self._kept.expects_more

    @property
    def target(self) -> str:
        return self.path if self.query is None else f"{self.path}?{self.query}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}{self.target}"

    @property
    def said_scheme(self) -> str:
        """How the client came, as the server will be told: a middleware may have said otherwise."""
        return self.scheme if self._fields is None else next(iter(self.values("x-forwarded-proto")), self.scheme)

    def values(self, name: str) -> list[str]:
        """Every value of a field, by its name in lower case."""
        return [value for key, value, _ in self.fields if key == name]

    def put(self, name: str, value: str) -> None:
        """Set a field of the request, replacing all of that name and its aliases; an empty value removes them."""
        lowered = name.lower()
        if lowered == "host" and value:
            self.host = value
            return
        alias = _alias(lowered)
        self.fields = [entry for entry in self.fields if _alias(entry[0]) != alias]
        if value:
            self.fields.append((lowered, value, name))

    def move(self, path: str) -> None:
        """Give the request another path; it is normalised again, since cutting a prefix off may lay `..` bare."""
        path = path if path.startswith("/") else "/" + path
        self.path = normal_path(visible(path))


def visible(target: str) -> str:
    """A text as it may stand in a request line or in Location: what is no visible ASCII is percent-encoded."""
    return target if _TARGET.fullmatch(target) else quote(target, safe=_TARGET_SAFE)


_FORWARDED = ("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Real-Ip")
SEEN = tuple(name.lower() for name in _FORWARDED[1:])
"""Those that routes are asked with."""
_FORWARDED_LINES = "".join(f"{name}: %s\r\n" for name in _FORWARDED)
_FRAMED = ("host", "content-length")  # written by who frames the message


class Kept:
    """Of the fields of a head, those that a server is given; and the same as lines."""

    __slots__ = ("_before", "_lines", "expects_more", "fields")

    def __init__(self, section: Section) -> None:
        kept = end_to_end(section.fields, section.options)
        self.fields = tuple([entry for entry in kept if believed(entry[0]) and not _said_to_us(entry[0])])
        self._lines = "".join([f"{spelled}: {value}\r\n" for name, value, spelled in self.fields if name not in _FRAMED])
        self._before: tuple[tuple[str, ...], str] | None = None
        self.expects_more = any(name == "expect" and value.lower() != "100-continue" for name, value, _ in self.fields)

    def written(self, forwarded: tuple[str, ...]) -> str:
        """The lines, and those that say who the client is: mostly the same as before, since a section is a connection's."""
        before = self._before
        if before is None or before[0] != forwarded:
            before = self._before = forwarded, self._lines + _FORWARDED_LINES % forwarded
        return before[1]

    @classmethod
    def of(cls, section: Section) -> "Kept":
        """Worked out once for a section."""
        kept = section.memo.get("kept")
        if kept is None:
            kept = section.memo["kept"] = cls(section)
        assert isinstance(kept, Kept)
        return kept


def request_head(passage: Passage, host: str, framing: Framing, *, websocket: bool, bodiless: bool) -> bytes:
    """The head as it goes to a server, re-framed. `bodiless`: the method has no body unless one was announced."""
    head = f"{passage.method} {visible(passage.target)} HTTP/1.1\r\nHost: {host}\r\n{passage.lines}"
    if framing.chunked:
        head += "Transfer-Encoding: chunked\r\n"
    elif framing.length or not bodiless:
        head += f"Content-Length: {framing.length}\r\n"
    if websocket:
        head += "Connection: Upgrade\r\nUpgrade: websocket\r\n"
    return f"{head}\r\n".encode("latin-1")


def response_head(
    response: ResponseHead,
    edits: Sequence[Edit],
    cookies: Iterable[str],
    *,
    chunked: bool,
    close: bool,
) -> bytes:
    """A server's answer as it goes to the client, re-framed; the proxy's cookies come before the server's, as in Traefik."""
    fields = end_to_end(response.fields, response.options)
    if chunked or response.framing.length is None or response.status == 204 or response.status < 200:
        fields = [entry for entry in fields if entry[0] != "content-length"]
    fields[:0] = [("set-cookie", text, "Set-Cookie") for text in cookies]
    fields = _edited(fields, edits)
    if chunked:
        fields.append(("transfer-encoding", "chunked", "Transfer-Encoding"))
    if response.status == 101:
        fields += (("connection", "Upgrade", "Connection"), ("upgrade", "websocket", "Upgrade"))
    elif close:
        fields.append(("connection", "close", "Connection"))
    return _head(response.status, response.reason, fields)


def answer_bytes(answer: Answer, edits: Sequence[Edit], cookies: Iterable[str], *, close: bool, with_body: bool = True) -> bytes:
    """An answer of the proxy's own, head and body."""
    fields: list[Field] = [("set-cookie", text, "Set-Cookie") for text in cookies]
    fields += [(name.lower(), value, name) for name, value in answer.fields]
    fields = _edited(fields, edits)
    fields.append(("content-length", str(len(answer.body)), "Content-Length"))
    if close:
        fields.append(("connection", "close", "Connection"))
    head = _head(answer.status, REASONS.get(answer.status, ""), fields)
    return head + answer.body if with_body else head


def believed(name: str) -> bool:
    """Whether a field is the client's to say; the others are what this proxy says of the client."""
    if name in _OURS or name.startswith("x-forwarded-"):
        return False
    if "_" not in name and "." not in name:
        return True
    alias = _alias(name)
    return alias not in _ALIASED and not alias.startswith("x-forwarded-")


def _said_to_us(name: str) -> bool:
    """`Proxy` is said to nobody: a CGI server would take it for the name of its own proxy (CVE-2016-5385)."""
    return name == "proxy" or name.startswith("proxy-")


def _alias(name: str) -> str:
    """What a server may read the name as: CGI and its heirs tell `-`, `_` and `.` not apart."""
    return name.replace("_", "-").replace(".", "-")


def _edited(fields: list[Field], edits: Sequence[Edit]) -> list[Field]:
    for edit in reversed(edits):  # the first middleware sees the answer last
        if isinstance(edit, Addition):
            fields = [(edit.name.lower(), edit.value, edit.name), *fields]
            continue
        gone = {name.lower() for name in edit}
        fields = [entry for entry in fields if entry[0] not in gone]
        fields += [(name.lower(), value, name) for name, value in edit.items() if value]
    return fields


def _head(status: int, reason: str, fields: Sequence[Field]) -> bytes:
    lines = [f"HTTP/1.1 {status} {reason}"]
    lines += [f"{spelled}: {value}" for _, value, spelled in fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
