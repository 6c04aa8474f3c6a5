"""There is no way round a door: what stands behind a password, an address list or a redirect is not reached without it.

Each service of a document is a server of its own, so a server that is reached says which way the request went. Every
request is asked of a real Traefik, which reads the emitted file, and of the reference proxy, which reads the canonical
text. None of them has a right password, none comes from an address that is let in, and all are plain HTTP. A server may be
reached only if the decision core sends this very request there, through middlewares that let it pass.

What the decision core is asked is the request as it was sent; where our own reader refuses it (Traefik's is laxer), or
where a second request came out of it, it is the request as it reached the server.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pinfeather._convert import write
from pinfeather.model.build import build
from pinfeather.model.codes import Code
from pinfeather.model.decide import Request, State, Table, normal_path, outcomes
from pinfeather.model.document import Document
from pinfeather.model.features import Feature, Nothing
from pinfeather.model.lint import lint
from pinfeather.model.noun import Tree
from pinfeather.model.project import project
from pinfeather.proxy.fields import Refused
from pinfeather.proxy.wire import HeadReader, parse_request
from pinfeather.testing.traefik import Traefik
from pinfeather.translators import builtin
from pinfeather.translators.contract import AnyTranslator
from tests.real.guards import MIDDLEWARES, NOTHING, SHOP, TRICKS, Probe, aimed, basic, documents, fields_of, method_of, probes, tricked

if TYPE_CHECKING:
    from conftest import Hit, Reference, Servers, StartReference, StartTraefik


PATIENCE = 3.0  # seconds for an answer and the end of its connection
FILE = "pinfeather.yml"

# What is allowed ---------------------------------------------------------------------------------------------------------


class Core(NamedTuple):
    """What the document says of a request, with the servers by the name of their service."""

    document: Document
    table: Table

    @classmethod
    def of(cls, document: Document) -> Core:
        return cls(document, Table.of(document))

    def reaches(self, request: Request) -> frozenset[str]:
        """The services that this request may reach without a password."""
        return frozenset(
            decision.service
            for _, _, decision in outcomes(self.table, request, State()).parts
            if decision.service is not None and decision.status == 200 and self._open(decision.middlewares)
        )

    def _open(self, names: Sequence[str]) -> bool:
        for name in names:
            middleware = self.document.middlewares[name]
            if middleware.chain is not None:
                if not self._open(middleware.chain.middlewares):
                    return False
            elif middleware.headers is None:
                return False  # a password, an address list or a redirect: it lets nobody pass here
        return True


def sent(probe: Probe) -> Request | None:
    """The request as our own reader has it; None where it refuses it, and where more than one request is sent."""
    if probe.before or probe.body:
        return None
    try:
        head = HeadReader(skips=True).take(bytearray(probe.raw))
        if head is None:
            return None
        read = parse_request(head)
    except Refused:
        return None
    fields = tuple((name, value) for name, value, _ in read.fields)
    return Request(read.host, normal_path(read.path), read.method, fields, read.query or "", "web")


def unlisted(request: Request) -> Request:
    """Without the fields that `Connection` lists: Traefik takes them away before it routes, the reference proxy after.

    Nothing is gained by it: who does not want a field to be seen need not send it.
    """
    listed = {option.strip().lower() for name, value in request.headers if name == "connection" for option in value.split(",")}
    return request._replace(headers=tuple(field for field in request.headers if field[0] not in listed))


def received(hit: Hit) -> Request:
    """The request as it reached a server."""
    method, target, _ = hit.line.split(" ", 2)
    path, _, query = target.partition("?")
    return Request(dict(hit.fields)["host"], normal_path(path), method, hit.fields, query, "web")


# The proxies -------------------------------------------------------------------------------------------------------------


def placed(servers: Servers, tree: Mapping[str, Tree]) -> Document:
    """The document with a server for each service."""
    services = tree.get("services", {})
    assert isinstance(services, dict)
    made: dict[str, Tree] = {}
    for name, service in services.items():
        assert isinstance(service, dict)
        made[name] = {"servers": [{"url": f"http://{servers.at(name)}"}], **service}
    document, findings = build({**tree, "services": made})
    assert document is not None, findings
    return document


def written(name: str, document: Document) -> str:
    translator: AnyTranslator = builtin.load(name)
    (file,) = translator.emit(document, translator.options()).files()
    return file.text


class Pair:
    """A real Traefik and the reference proxy, which serve the same document."""

    def __init__(self, servers: Servers, traefik: Traefik, reference: Reference) -> None:
        self.servers = servers
        self.traefik = traefik
        self._reference = reference

    def serve(self, document: Document) -> None:
        translator: AnyTranslator = builtin.load("traefik-file")
        projection = project(document, translator.supports(translator.options()))
        assert not [finding for finding in projection.diagnostics if finding.code.startswith("loss.")], projection.diagnostics
        self.traefik.write({FILE: written("traefik-file", projection.kept)})
        self._reference.write(written("pinfeather", document))

    @property
    def ports(self) -> dict[str, int]:
        return {"Traefik": self.traefik.port("web"), "the reference proxy": self._reference.port("web")}


@pytest.fixture(scope="module")
def pair(servers: Servers, start_traefik: StartTraefik, start_reference: StartReference) -> Pair:
    document = placed(servers, NOTHING)
    traefik = start_traefik({FILE: ""}, ("web",))
    return Pair(servers, traefik, start_reference(written("pinfeather", document), ("web",)))


def send(port: int, raw: bytes) -> bytes:
    """All that comes back until the connection ends, or nothing more comes."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        try:
            connection.sendall(raw)
            while data := connection.recv(1 << 16):
                answer += data
        except OSError:
            pass  # closed early, or silent: what reached a server is known there
    return answer


def ways_round(servers: Servers, port: int, probe: Probe, allowed: Callable[[Request], frozenset[str] | bool]) -> Iterator[str]:
    """The servers that a probe reached though they are not allowed to be. `allowed` may be of servers or of the request."""
    servers.hits.clear()
    answer = send(port, probe.raw)
    known = sent(probe)
    for number, hit in enumerate(tuple(servers.hits)):
        request = known if known is not None and number == 0 else received(hit)
        may = [allowed(request), allowed(unlisted(request))]
        if not any(each if isinstance(each, bool) else hit.server in each for each in may):
            yield f"{probe.raw!r} reaches {hit.server!r} as {hit.line!r} and is answered {answer[:60]!r}; allowed: {may}"


# Tests -------------------------------------------------------------------------------------------------------------------

BASES = (
    *(
        ("a.test", "/admin"),
        ("a.test", "/admin/in/x"),
        ("b.test", "/admin/x"),
        ("x.a.test", "/pub"),
        ("b.test", "/office"),
        ("b.test", "/secure"),
    ),
    *(("b.test", "/all"), ("b.test", "/asked"), ("b.test", "/guarded"), ("a.test", "/pub"), ("a.test", "/")),
)


def test_every_trick_on_every_door(pair: Pair) -> None:
    document = placed(pair.servers, SHOP)
    pair.serve(document)
    core = Core.of(document)
    found = []
    for name, port in pair.ports.items():
        for host, path in BASES:
            for trick in TRICKS:
                probe = tricked(Probe(host, path), [trick])
                found += [f"{name}, {trick}: {wrong}" for wrong in ways_round(pair.servers, port, probe, core.reaches)]
                known = sent(probe)
                if known is not None and core.reaches(known) and not pair.servers.hits:
                    found.append(f"{name}, {trick}: {probe.raw!r} reaches nobody; allowed: {core.reaches(known)}")
    assert not found, "\n".join(found)


def with_password(probe: Probe, text: str) -> Probe:
    return replace(probe, fields=(*probe.fields, f"Authorization: Basic {basic(text)}"))


PLAIN: tuple[tuple[str, str, int, str, int, str], ...] = (  # host, path, and what is met: without a password, with the right one
    ("a.test", "/", 200, "site", 200, "site"),
    ("b.test", "/x", 200, "site", 200, "site"),
    ("a.test", "/pub", 200, "pub", 200, "pub"),
    ("a.test", "/admin", 401, "", 200, "admin"),
    ("a.test", "/admin?v=2", 401, "", 200, "admin-next"),
    ("a.test", "/admin/in", 401, "", 200, "inside"),
    ("b.test", "/admin", 401, "", 200, "chained"),
    ("x.a.test", "/", 403, "", 403, ""),
    ("b.test", "/secure", 307, "", 307, ""),
    ("b.test", "/all", 403, "", 403, ""),
    ("b.test", "/guarded", 401, "", 200, "guarded"),
)


def test_the_doors_open_to_those_who_may_pass(pair: Pair) -> None:
    """Otherwise it would be no feat that nobody passes."""
    pair.serve(placed(pair.servers, SHOP))
    for name, port in pair.ports.items():
        for host, path, closed, stranger, opened, friend in PLAIN:
            probe = Probe(host, path, method="POST" if closed == 307 else "GET")
            for asked, status, server in ((probe, closed, stranger), (with_password(probe, password_of(path)), opened, friend)):
                pair.servers.hits.clear()
                answer = send(port, asked.raw)
                assert answer.startswith(b"HTTP/1.1 %d " % status), f"{name}: {asked.raw!r} is answered {answer!r}"
                reached = {hit.server for hit in pair.servers.hits}
                assert reached <= {server, "admin-next" if server == "admin" else server}, f"{name}: {asked.raw!r} reaches {reached}"
                assert bool(reached) == bool(server), f"{name}: {asked.raw!r} reaches {reached}"


def password_of(path: str) -> str:
    return "v:secret" if path.startswith("/admin/in") else "u:password"


def over_tls(port: int, probe: Probe) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = socket.create_connection(("127.0.0.1", port), PATIENCE)
    with context.wrap_socket(connection, server_hostname=probe.host) as stream, stream.makefile("rb") as answer:
        stream.sendall(probe.raw)
        return answer.read()


@pytest.mark.parametrize(("tls", "status"), [(True, 401), (False, 200)], ids=["tls-on-both", "tls-on-one"])
def test_a_route_without_tls_is_no_door_to_those_who_speak_it(pair: Pair, tls: bool, status: int) -> None:
    """Traefik asks only routers with `tls` about a TLS request. What that lets past is a finding of `lint`."""
    admin: dict[str, Tree] = {"name": "admin", "path": {"prefix": "/admin"}, "middlewares": ["sha"], "to": "s"}
    routes: list[Tree] = [{**admin, "tls": {}} if tls else admin, {"name": "site", "tls": {}, "to": "s"}]
    document = placed(pair.servers, {**NOTHING, "routes": routes, "services": {"s": {}}, "middlewares": MIDDLEWARES})
    pair.traefik.write({FILE: written("traefik-file", document)})
    answer = over_tls(pair.traefik.port("web"), Probe("a.test", "/admin"))
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer
    assert [finding.path for finding in lint(document) if finding.code == Code.TLS_MIXED] == ([] if tls else [("routes", 0)])
    writer = builtin.load("traefik-file")
    said = [finding.path for finding in write(document, writer, writer.options()).report.diagnostics if finding.code == "near.tls"]
    assert said == ([] if tls else [("routes", 1, "tls")])


FOUND = settings(max_examples=40, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))


@FOUND
@given(tree=documents(), asked=st.lists(probes(), min_size=30, max_size=40))
def test_no_probe_finds_a_way_round(pair: Pair, tree: dict[str, Tree], asked: list[Probe]) -> None:
    document = placed(pair.servers, tree)
    pair.serve(document)
    core = Core.of(document)
    plain = [Probe(host, path) for host in ("a.test", "b.test", "x.a.test") for path in ("/admin", "/pub")]
    found = [
        f"{name}: {wrong}"
        for name, port in pair.ports.items()
        for probe in (*plain, *asked)
        for wrong in ways_round(pair.servers, port, probe, core.reaches)
    ]
    assert not found, "\n".join(found)


LOST = (
    Feature.BASIC_AUTH,
    Feature.IP_ALLOW_LIST,
    Feature.REDIRECT_SCHEME,
    Feature.FORWARD_AUTH,
    Feature.CHAIN,
    Feature.HEADERS,
    Feature.SERVICE_MIDDLEWARES,
    Feature.COOKIE,
    Feature.HEADER,
    Feature.QUERY,
    Feature.METHOD,
    Feature.NOT,
    Feature.HOST,
    Feature.HOST_WILDCARD,
    Feature.HOST_REGEX,
    Feature.PATH_PREFIX,
    Feature.PATH_EXACT,
    Feature.PATH_REGEX,
    Feature.CANARY,
    Feature.SPLIT,
    Feature.STICKY_VARIANT,
    Feature.PRIORITY,
)
"""What a target may not be able to say; first the doors themselves."""


def remainder(document: Document, lost: Sequence[Feature]) -> Document:
    """What is left for a Traefik that cannot say these, nothing being allowed to be lost."""
    translator: AnyTranslator = builtin.load("traefik-file")
    supports = {**translator.supports(translator.options()), **dict.fromkeys(lost, Nothing("not here"))}
    return project(document, supports).kept


@FOUND
@given(
    tree=documents(),
    lost=st.lists(st.sampled_from(LOST), min_size=1, max_size=3, unique=True),
    asked=st.lists(probes(), min_size=20, max_size=30),
)
@example(tree=SHOP, lost=[Feature.BASIC_AUTH], asked=[])
@example(tree=SHOP, lost=[Feature.CHAIN, Feature.IP_ALLOW_LIST], asked=[])
@example(tree=SHOP, lost=[Feature.PATH_PREFIX], asked=[])
def test_what_is_left_after_losses_admits_nobody_else(pair: Pair, tree: dict[str, Tree], lost: list[Feature], asked: list[Probe]) -> None:
    document = placed(pair.servers, tree)
    pair.traefik.write({FILE: written("traefik-file", remainder(document, lost))})
    core = Core.of(document)
    plain = [Probe(host, path) for host, path in BASES]
    conditions = [fields_of("Cookie: canary=v2", "X-Canary: always"), aimed("{p}?v=2"), method_of("POST", "Content-Length: 0")]
    found = [
        wrong
        for probe in (*plain, *(trick(probe) for trick in conditions for probe in plain), *asked)
        for wrong in ways_round(pair.servers, pair.traefik.port("web"), probe, lambda request: bool(core.reaches(request)))
    ]
    assert not found, "\n".join(found)
