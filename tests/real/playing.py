"""A case sheet as it is played by one proxy: what may happen to a request, the request itself, and what chance does not explain."""

from __future__ import annotations

import http.client
import shlex
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple
from urllib.parse import urlsplit

from pinfeather.model.build import build
from pinfeather.model.decide import Binding, Request, State, Table, outcomes
from pinfeather.model.document import Document
from pinfeather.model.noun import Tree
from pinfeather.model.services import LoadBalancer
from pinfeather.model.sticky import Cookie, set_cookie
from pinfeather.proxy.cookies import Seal, pools
from pinfeather.testing.sheets import Sheet
from pinfeather.translators._syntax import yaml
from pinfeather.verify.binomial import bounds
from tests.parts.servers import Servers
from tests.required import missing

ASKED = 200
"""Fresh clients, where more than one thing may happen to them."""
AGAIN = 10
"""Requests of one client with its cookies."""
PATIENCE = 10.0  # seconds for one answer


def tree_of(text: str) -> dict[str, Tree]:
    (reading,) = yaml.read(text, "text", yaml.CORE)
    assert isinstance(reading.value, dict)
    return reading.value


def document_of(tree: Tree) -> Document:
    document, findings = build(tree)
    assert document is not None, findings
    return document


class Answer(NamedTuple):
    """What a client sees."""

    status: int
    server: str  # what the server that answered is called; nothing where the proxy did
    cookies: tuple[str, ...]  # Set-Cookie, to the letter
    headers: tuple[tuple[str, str], ...]  # those that some middleware of the document sets


class Expected(NamedTuple):
    share: Fraction
    bound: tuple[Binding, ...]


@dataclass(frozen=True)
class Play:
    """One sheet as it is served by one proxy."""

    servers: Servers
    document: Document
    table: Table
    seal: Seal
    traefik: bool
    """Its cookies are Traefik's, and the rest of what it does otherwise."""
    port: Callable[[str], int]

    @cached_property
    def values(self) -> Mapping[tuple[Cookie, str], str]:
        """By cookie, and what it binds to. Two pools with one cookie have one value, since Traefik's says nothing of the pool."""
        found: dict[tuple[Cookie, str], str] = {}
        for pool, cookie, bindings in pools(self.document):
            for binding in bindings:
                found.setdefault((cookie, binding), self.seal.value(pool, binding))
        return found

    @cached_property
    def watched(self) -> frozenset[str]:
        found = (each.headers.response for each in self.document.middlewares.values() if each.headers is not None)
        return frozenset(name.lower() for response in found for name in response)

    @cached_property
    def names(self) -> Mapping[str, str]:
        """Server key -> what the server calls itself."""
        balancers = [service for service in self.document.services.values() if isinstance(service, LoadBalancer)]
        urls = {server.key: urlsplit(server.key).netloc for service in balancers for server in service.servers}
        called = {self.servers.at(name): name for name in self.servers.names}
        return {key: called[netloc] for key, netloc in urls.items()}

    def expected(self, request: Request, state: State, password: bool) -> dict[Answer, Expected]:
        """What may happen to a request, and what binds the client then."""
        found: dict[Answer, Expected] = {}
        for effect, share in outcomes(self.table, request, state).shares.items():
            answer, bound = self._answer(request, effect.status, effect.middlewares, password), effect.set_cookies
            if answer is None:
                texts = tuple(set_cookie(one.cookie, self.values[one.cookie, one.value]) for one in bound)
                server = self.names[effect.server] if effect.server is not None else ""
                answer = Answer(effect.status, server, texts, self._headers(effect.middlewares))
            before = found.get(answer)
            found[answer] = Expected(share + (before.share if before else 0), bound)
        return found

    def _opened(self, names: Sequence[str]) -> Iterator[str]:
        for name in names:
            chain = self.document.middlewares[name].chain
            if chain is None:
                yield name
            else:
                yield from self._opened(chain.middlewares)

    def _headers(self, names: Sequence[str]) -> tuple[tuple[str, str], ...]:
        found: dict[str, str] = {}
        for name in self._opened(names):
            headers = self.document.middlewares[name].headers
            for header, value in (headers.response if headers is not None else {}).items():
                found.setdefault(header.lower(), value)
        return tuple(sorted((name, value) for name, value in found.items() if value))

    def _answer(self, request: Request, status: int, names: tuple[str, ...], password: bool) -> Answer | None:
        """What a middleware answers by itself; None where the request goes on to its service."""
        opened = tuple(self._opened(names))
        for number, name in enumerate(opened):
            middleware = self.document.middlewares[name]
            passed = self._headers(opened[:number])
            if middleware.redirect_scheme is not None:
                if middleware.redirect_scheme.scheme != ("https" if request.tls else "http"):
                    found = (301, 302) if request.method == "GET" else (308, 307)
                    return Answer(found[0 if middleware.redirect_scheme.permanent else 1], "", (), passed)
            elif middleware.basic_auth is not None:
                if not password:
                    return Answer(401, "", (), passed)
            else:
                assert middleware.headers is not None, f"say here what {middleware.kind} answers"
        return None

    def cookie(self, name: str, binding: str) -> str:
        """The value by which a client says that it is bound; one that nobody issued where the document knows no such binding."""
        known = (value for (cookie, bound), value in self.values.items() if cookie.name == name and bound == binding)
        return next(known, self.seal.value("nobody", binding))


class Line:
    """A kept connection to an entry point."""

    def __init__(self, play: Play, request: Request) -> None:
        self._play = play
        self._request = request
        self._connection = self._open()

    def _open(self) -> http.client.HTTPConnection:
        request = self._request
        port = self._play.port(request.entry_point)
        try:
            stream = socket.create_connection(("127.0.0.1", port), PATIENCE, (request.client, 0))
        except OSError as problem:
            if request.client == "127.0.0.1":
                raise
            missing(f"the loopback address {request.client} ({problem})")
        if request.tls:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            stream = context.wrap_socket(stream, server_hostname=request.sni)
        connection = http.client.HTTPConnection("127.0.0.1", port, PATIENCE)
        connection.sock = stream
        return connection

    def ask(self, target: str, cookies: Mapping[str, str], password: str | None) -> Answer:
        request, connection = self._request, self._connection
        said = [value for name, value in request.headers if name == "cookie"] + [f"{name}={value}" for name, value in cookies.items()]
        headers = [("Host", request.host), *(pair for pair in request.headers if pair[0] != "cookie")]
        headers += [("Cookie", "; ".join(said))] if said else []
        headers += [("Authorization", password)] if password else []
        headers += [("Content-Length", "0")] if request.method not in ("GET", "HEAD") else []
        connection.putrequest(request.method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value.encode("latin-1"))
        connection.endheaders()
        response = connection.getresponse()
        response.read()
        fields = response.getheaders()
        if response.will_close:
            connection.close()
            self._connection = self._open()
        return Answer(
            response.status,
            response.getheader("X-Server", ""),
            tuple(value for name, value in fields if name.lower() == "set-cookie"),
            tuple(sorted((name.lower(), value) for name, value in fields if name.lower() in self._play.watched)),
        )

    def close(self) -> None:
        self._connection.close()


def judged(counts: Counter[Answer], expected: Mapping[Answer, Expected]) -> list[str]:
    """What chance does not explain, by an exact binomial bound."""
    asked = counts.total()
    found = [f"{count} of {asked} times {answer}, which is not expected" for answer, count in counts.items() if answer not in expected]
    for answer, (share, _) in expected.items():
        low, high = bounds(asked, share)
        if not low <= counts[answer] <= high:
            found.append(f"{counts[answer]} of {asked} times {answer}, expected {share}: {low} to {high}")
    return found


PASSWORD = "Basic YWRtaW46c2VjcmV0"
"""`admin:secret`, which every sheet with a password has."""


def target_of(text: str) -> str:
    """The target of a request as it is written, not normalised."""
    url = urlsplit(next(word for word in shlex.split(text) if "://" in word))
    return (url.path or "/") + (f"?{url.query}" if url.query else "")


PINNED_TO_503 = "Traefik sets the variant's cookie with a 503 as well"
"""The one difference to the model; a sheet in which it shows says so, in these words."""


def forgiven(counts: Counter[Answer], sheet: Sheet) -> Counter[Answer]:
    """The same answers, without the cookies of a 503, which the model does not set."""
    found: Counter[Answer] = Counter()
    for answer, count in counts.items():
        differs = answer.status == 503 and bool(answer.cookies)
        assert not differs or PINNED_TO_503 in " ".join(sheet.lines), f"{sheet.path}: {answer} is not as the model has it: say so"
        found[answer._replace(cookies=()) if differs else answer] += count
    return found


def meet(play: Play, sheet: Sheet, request: Request, target: str, state: State, password: str | None) -> None:
    """Ask as fresh clients, then again as one of each kind with the cookies that it was given."""
    expected = play.expected(request, state, password is not None)
    cookies = {name: play.cookie(name, bound) for name, bound in request.bindings.items()}
    line = Line(play, request)
    try:
        counts = Counter(line.ask(target, cookies, password) for _ in range(ASKED if len(expected) > 1 else AGAIN))
        if play.traefik:
            counts = forgiven(counts, sheet)
        assert not (wrong := judged(counts, expected)), "\n".join(wrong)
        for answer in counts:
            if answer.cookies:
                kept = cookies | dict(text.partition(";")[0].split("=", 1) for text in answer.cookies)
                bindings = {**request.bindings, **{one.cookie.name: one.value for one in expected[answer].bound}}
                then = play.expected(request._replace(bindings=bindings), state, password is not None)
                counts = Counter(line.ask(target, kept, password) for _ in range(AGAIN))
                assert not (wrong := judged(counts, then)), "\n".join((f"after {answer}:", *wrong))
    finally:
        line.close()
