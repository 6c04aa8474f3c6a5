"""Random documents, served by the reference proxy and by a real Traefik at once, and the same requests asked of both.

Documents are those of `pinfeather.testing.traffic`, with middlewares whose effect can be seen, and what Traefik's file cannot
say taken out before. Requests are made of each document (`probes`). Both proxies have the same servers behind them. Held to be
alike: status, fields, Set-Cookie to the letter, body; which server was reached, and by which request line and fields.

Where chance decides, single draws are not compared: whatever either answers must be among what the decision core says can
happen, the same server must be reached and answered for in the same way by both, and a client that comes back with the cookies
that one of them gave is asked of both, and nothing is left to chance then. `--traefik-compat` makes the cookie values alike.

The examples are the same in each run; `--examples N` looks at N others. What is found is shrunk by Hypothesis, and is to be kept
as a sheet in `tests/cases/` or as an `@example` here.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pinfeather.model.build import build
from pinfeather.model.decide import Effect, Request, State, Table, outcomes
from pinfeather.model.document import Document
from pinfeather.model.noun import Tree
from pinfeather.model.project import project
from pinfeather.model.sticky import set_cookie
from pinfeather.proxy.cookies import Seal
from pinfeather.testing import probes, traffic
from pinfeather.translators import builtin
from pinfeather.translators.contract import AnyTranslator

if TYPE_CHECKING:
    from conftest import Reference, Servers, StartReference, StartTraefik

    from pinfeather.testing.traefik import Traefik

FILE = "pinfeather.yml"
POINTS = ("web", "websecure")
PATIENCE = 10.0  # seconds for an answer
EXAMPLES = 60
MOST = 40
"""Requests of one document."""
FRESH = 4
"""Clients without a cookie, where chance decides about them."""
INSIDE, OUTSIDE = "127.1.0.1", "127.0.0.1"
NETWORK = "127.1.0.0/16"
VALUES = Seal(b"", traefik_compat=True)
PASSWORD = "Basic YTp0ZXN0"
"""`a:test`"""
USERS: list[Tree] = ["a:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M="]

MIDDLEWARES: dict[str, Tree] = {
    "door": {"basic_auth": {"users": USERS, "header_field": "X-User"}},
    "office": {"ip_allow_list": {"source_ranges": [NETWORK]}},
    "slim": {"headers": {"response": {"X-Slim": "yes"}, "request": {"X-Bot": ""}}},
    "both": {"chain": {"middlewares": ["office", "slim"]}},
}
STRANGE: tuple[Tree, ...] = (
    {"add_prefix": {"prefix": "/in"}},
    {"strip_prefix": {"prefixes": ["/a/b", "/a"]}},
    {"replace_path": {"path": "/fixed"}},
    {"replace_path_regex": {"regex": "^/a(.*)", "replacement": "/b$1"}},
    {"redirect_scheme": {"scheme": "https", "port": "8443"}},
    {"redirect_scheme": {"scheme": "https", "permanent": True}},
    {"redirect_regex": {"regex": "^http://([^/]+)/a(.*)", "replacement": "https://$1/c$2"}},
    {"headers": {"request": {"X-Set": "here", "Cookie": ""}, "response": {"X-Frame-Options": "DENY", "X-Server": ""}}},
    {"basic_auth": {"users": USERS, "remove_header": True, "realm": "r"}},
    {"retry": {"attempts": 2}},
)
"""What stands for the middleware `strange` of the documents, in turn."""

KNOWN: Mapping[str, str] = {
    "cookies of a 503": "Traefik sets the cookies of the way to a service that has no server; the model binds nobody to nothing",
}
"""Where the two differ, and are meant to; `alike` passes over each by its name."""


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """A document with middlewares that can be seen, and addresses that this machine can come from."""
    tree = _tree(draw(traffic.documents()))
    tree["middlewares"] = {**MIDDLEWARES, "strange": draw(st.sampled_from(STRANGE))}
    routes = tree["routes"]
    assert isinstance(routes, list)
    for route in routes:
        assert isinstance(route, dict)
        route.pop("tls", None)  # the entry points are plain
    document, findings = build(tree)
    assert document is not None, findings
    return document


def _tree(document: Document) -> dict[str, Tree]:
    found = json.loads(json.dumps(document.model_dump(mode="json", exclude_defaults=True)).replace("10.0.0.0/8", NETWORK))
    assert isinstance(found, dict)
    return {"pinfeather": "v1", **found}


class Answer(NamedTuple):
    """What a client sees, and what its server saw."""

    status: int
    cookies: tuple[str, ...]
    fields: tuple[str, ...]
    body: str
    server: str  # what the server calls itself; nothing where none was reached
    request: tuple[str, ...]


OWN = ("date", "connection", "set-cookie")
GO = ("accept-encoding", "x-forwarded-server", "content-length")
"""What Go's client adds to requests; a Content-Length of 0, ours."""


class Asking:
    """Both proxies, with one document."""

    def __init__(self, servers: Servers, traefik: Traefik, reference: Reference) -> None:
        self.servers = servers
        self._traefik = traefik
        self._reference = reference
        self._served: Document | None = None
        self.document: Document

    def serve(self, document: Document) -> None:
        """What Traefik's file can say of a document is served by both."""
        translator: AnyTranslator = builtin.load("traefik-file")
        text = self.servers.placed(json.dumps(_tree(document)))
        placed, findings = build(json.loads(text))
        assert placed is not None, findings
        kept = project(placed, translator.supports(translator.options())).kept
        self._traefik.write({FILE: _written("traefik-file", kept)})
        self._reference.write(_written("pinfeather", kept))
        self.document, self.table = kept, Table.of(kept)

    def both(self, request: Request, cookies: Mapping[str, str], password: str | None) -> tuple[Answer, Answer]:
        """The answer of the reference proxy, and Traefik's."""
        raw = _raw(request, cookies, password)
        return self._ask(self._reference.port(request.entry_point), raw, request.client), self._ask(
            self._traefik.port(request.entry_point), raw, request.client
        )

    def _ask(self, port: int, raw: bytes, client: str) -> Answer:
        self.servers.hits.clear()
        received = b""
        with socket.create_connection(("127.0.0.1", port), PATIENCE, (client, 0)) as connection:
            connection.sendall(raw)
            while data := connection.recv(1 << 16):
                received += data
        head, _, body = received.decode("latin-1").partition("\r\n\r\n")
        line, *fields = head.split("\r\n")
        parts = [(name.lower(), value.strip()) for name, _, value in (field.partition(":") for field in fields)]
        hits = tuple(self.servers.hits)
        assert len(hits) < 2, hits
        seen = sorted(f"{name}: {value}" for hit in hits for name, value in hit.fields if name not in GO)
        return Answer(
            int(line.split(" ")[1]),
            tuple(value for name, value in parts if name == "set-cookie"),
            tuple(sorted(f"{name}: {value}" for name, value in parts if name not in OWN)),
            body,
            "".join(hit.server for hit in hits),
            (*(hit.line for hit in hits), *seen),
        )


def _raw(request: Request, cookies: Mapping[str, str], password: str | None) -> bytes:
    said = [value for name, value in request.headers if name == "cookie"] + [f"{name}={value}" for name, value in cookies.items()]
    fields = [f"{name}: {value}" for name, value in request.headers if name != "cookie"]
    fields += [f"Cookie: {'; '.join(said)}"] if said else []
    fields += [f"Authorization: {password}"] if password is not None else []
    fields += ["Content-Length: 0"] if request.method not in ("GET", "HEAD") else []
    target = request.path + (f"?{request.query}" if request.query else "")
    lines = (f"{request.method} {target} HTTP/1.1", f"Host: {request.host}", *fields, "Connection: close", "", "")
    return "\r\n".join(lines).encode("latin-1")


def _written(name: str, document: Document) -> str:
    translator: AnyTranslator = builtin.load(name)
    (file,) = translator.emit(document, translator.options()).files()
    return file.text


def alike(ours: Answer, theirs: Answer) -> bool:
    """Whether two answers are the same, but for what is `KNOWN`."""
    if ours.status == theirs.status == 503:  # cookies of a 503
        ours, theirs = ours._replace(cookies=()), theirs._replace(cookies=())
    return ours == theirs


Way = tuple[str, tuple[str, ...]]
"""A server, and the cookies that are set on the way to it."""


def compare(asking: Asking, request: Request, password: str | None) -> None:
    """One request, of clients that say nothing more, and of the same when they come back."""
    cookies = {name: VALUES.value("", binding) for name, binding in request.bindings.items()}
    for way, answer in _answers(asking, request, cookies, password).items():
        if answer.cookies and way[0]:
            bound = next(effect.set_cookies for effect in outcomes(asking.table, request, State()).shares if _way(asking, effect) == way)
            again = request._replace(bindings={**request.bindings, **{one.cookie.name: one.value for one in bound}})
            kept = cookies | dict(text.partition(";")[0].split("=", 1) for text in answer.cookies)
            _answers(asking, again, kept, password)


def _answers(asking: Asking, request: Request, cookies: Mapping[str, str], password: str | None) -> dict[Way, Answer]:
    """What both answer, by the way that it went; asked once, or a few times where chance decides."""
    ways = {_way(asking, effect) for effect in outcomes(asking.table, request, State()).shares}
    found: dict[Way, Answer] = {}
    for _ in range(FRESH if len(ways) > 1 else 1):
        ours, theirs = asking.both(request, cookies, password)
        for answer in (ours, theirs):
            way = answer.server, answer.cookies
            assert not answer.server or way in ways, f"{_told(asking, request, cookies, ours, theirs)}\nnot one of {sorted(ways)}"
            assert alike(before := found.setdefault(way, answer), answer), _told(asking, request, cookies, before, answer)
        assert len(ways) > 1 or alike(ours, theirs), _told(asking, request, cookies, ours, theirs)
    return found


def _way(asking: Asking, effect: Effect) -> Way:
    names = asking.servers.names
    server = next((name for name in names if effect.server is not None and asking.servers.at(name) in effect.server), "")
    return server, tuple(set_cookie(one.cookie, VALUES.value("", one.value)) for one in effect.set_cookies)


def _told(asking: Asking, request: Request, cookies: Mapping[str, str], one: Answer, other: Answer) -> str:
    lines = [
        f"{name}: {here!r}\n{' ' * len(name)}  {there!r}"
        for name, here, there in zip(Answer._fields, one, other, strict=True)
        if here != there
    ]
    return "\n".join((repr(_raw(request, cookies, None)), *lines, "", _written("pinfeather", asking.document)))


def requests(document: Document) -> Iterator[Request]:
    """Those of `probes` that can come in here, in plain HTTP and from this machine, with every server up."""
    for request, state in probes.probes(document, 4 * MOST):
        if state == State() and request.entry_point in POINTS:
            client = INSIDE if request.client.startswith("127.1.") else OUTSIDE
            yield request._replace(tls=False, sni="", client=client)


@pytest.fixture(scope="module")
def asking(servers: Servers, start_traefik: StartTraefik, start_reference: StartReference) -> Asking:
    traefik = start_traefik({FILE: ""}, POINTS)
    return Asking(servers, traefik, start_reference("pinfeather: v1", POINTS, ("--traefik-compat",)))


def test_both_answer_alike(asking: Asking, pytestconfig: pytest.Config) -> None:
    wanted = pytestconfig.getoption("--examples")

    @settings(
        max_examples=wanted or EXAMPLES,
        deadline=None,
        database=None,
        derandomize=wanted is None,
        suppress_health_check=list(HealthCheck),
    )
    @given(documents())
    def holds(document: Document) -> None:
        asking.serve(document)
        guarded = any(middleware.basic_auth is not None for middleware in asking.document.middlewares.values())
        for request in islice(dict.fromkeys(requests(asking.document)), MOST):
            for password in (None, PASSWORD) if guarded else (None,):
                compare(asking, request, password)

    holds()
