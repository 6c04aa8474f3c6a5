"""The case sheets on a real Traefik and on the reference proxy, with a real server behind each URL of the document.

What a row says is worked out by the decision core and held against what each proxy does: the server that answers and how
often, the cookies to the letter and in order, the headers of the answer, and where the same client gets to next time.

For these runs, the document's addresses are put on loopback, health checks ask four times a second, and a service that a
row calls down has one. Rows with a draining server are left to the model: nothing in a file makes a server drain. The
reference proxy does not end TLS, so its documents say no `tls`, and https rows are asked of the entry point in plain HTTP.
"""

from __future__ import annotations

import http.client
import shlex
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import pytest

from pinfeather.deploy.expected import bounds
from pinfeather.model.build import build
from pinfeather.model.decide import Binding, Request, State, Status, Table, outcomes
from pinfeather.model.diagnostics import Severity
from pinfeather.model.document import Document
from pinfeather.model.noun import Tree
from pinfeather.model.project import project
from pinfeather.model.services import LoadBalancer
from pinfeather.proxy.cookies import Seal, StickyCookies
from pinfeather.testing import sheets
from pinfeather.testing.sheets import Row, Sheet
from pinfeather.testing.traefik import Json, Traefik, TraefikError
from pinfeather.translators import builtin
from pinfeather.translators._syntax import yaml
from pinfeather.translators.contract import AnyTranslator, File, Source
from tests.required import missing

if TYPE_CHECKING:
    from conftest import Reference, Servers, StartReference, StartTraefik

SHEETS = sheets.load(Path(__file__).parent.parent / "cases")
FORMAT = "traefik-file"
FILE = "pinfeather.yml"
ASKED = 200
"""Fresh clients, where more than one thing may happen to them."""
AGAIN = 10
"""Requests of one client with its cookies."""
PATIENCE = 10.0  # seconds for one answer


# What is meant -----------------------------------------------------------------------------------------------------------


def written(sheet: Sheet) -> str | None:
    """What the sheet shows for Traefik."""
    blocks = [block for section in sheet.formats if section.name == FORMAT for block in section.blocks]
    assert len(blocks) < 2, f"{sheet.path}: {FORMAT} writes one file"
    return blocks[0].text if blocks else None


WRITTEN = [sheet for sheet in SHEETS if written(sheet) is not None]


def tree_of(text: str) -> dict[str, Tree]:
    (reading,) = yaml.read(text, "text", yaml.CORE)
    assert isinstance(reading.value, dict)
    return reading.value


def document_of(tree: Tree) -> Document:
    document, findings = build(tree)
    assert document is not None, findings
    return document


@cache
def entry_points() -> tuple[str, ...]:
    """Those that some sheet names."""
    found = {"web", "websecure"}
    for sheet in SHEETS:
        if sheet.document is not None:
            document = document_of(tree_of(sheet.document.text))
            found.update(document.entry_points, *(route.entry_points for route in (*document.routes, *document.tcp_routes)))
    return tuple(sorted(found))


@pytest.fixture(scope="module")
def traefik(start_traefik: StartTraefik) -> Traefik:
    return start_traefik({FILE: ""}, entry_points())


# What Traefik reads ------------------------------------------------------------------------------------------------------

SECTIONS = {  # in `/api/rawdata`: in the file
    "routers": ("http", "routers"),
    "services": ("http", "services"),
    "middlewares": ("http", "middlewares"),
    "tcpRouters": ("tcp", "routers"),
    "tcpServices": ("tcp", "services"),
    "tcpMiddlewares": ("tcp", "middlewares"),
}
DEFAULTS: Mapping[str, Json] = {  # what Traefik 3.7.15 shows beside what was said
    "observability": {"accessLogs": True, "metrics": True, "tracing": True, "traceVerbosity": "minimal"},
    "strategy": "wrr",
    "passHostHeader": True,
    "responseForwarding": {"flushInterval": "100ms"},
    "mode": "http",
    "interval": "30s",
    "timeout": "5s",
    "followRedirects": True,
    "path": "/",
    "passthrough": False,
}
STATE = ("status", "using", "usedBy", "serverStatus", "error")


def unlike(meant: Tree, shown: Json, path: str) -> Iterator[str]:
    """Where Traefik shows something else than was meant; its defaults may stand where nothing was said."""
    if isinstance(meant, dict) and isinstance(shown, dict):
        for key in meant:
            yield from unlike(meant[key], shown.get(key), f"{path}.{key}")
        for key in shown.keys() - meant.keys():
            if key not in DEFAULTS or shown[key] != DEFAULTS[key]:
                yield f"{path}.{key}: not meant, and Traefik has {shown[key]!r}"
    elif isinstance(meant, list) and isinstance(shown, list) and len(meant) == len(shown):
        for number, (one, other) in enumerate(zip(meant, shown, strict=True)):
            yield from unlike(one, other, f"{path}.{number}")
    elif meant != shown:
        yield f"{path}: {meant!r} is meant, and Traefik has {shown!r}"


def read_as(section: str, item: Tree) -> Tree:
    """An object of the file with what Traefik adds to it: the provider's name, and every entry point where none is named."""
    assert isinstance(item, dict)
    if section.lower().endswith("routers"):
        names = item.get("middlewares", [])
        assert isinstance(names, list)
        points: list[Tree] = [*entry_points()] if section == "routers" else [*entry_points(), "traefik"]
        return {
            **item,
            **({"middlewares": [name if "@" in str(name) else f"{name}@file" for name in names]} if names else {}),
            "entryPoints": item.get("entryPoints", points),
        }
    return item


@pytest.mark.parametrize("sheet", WRITTEN, ids=lambda sheet: sheet.name)
def test_traefik_reads_what_was_meant(traefik: Traefik, servers: Servers, sheet: Sheet) -> None:
    text = servers.placed(written(sheet) or "")
    traefik.write({FILE: text})
    tree = tree_of(text.replace("{{`{{`}}", "{{"))
    found = []
    for shown, (side, section) in SECTIONS.items():
        within = tree.get(side, {})
        assert isinstance(within, dict)
        meant = within.get(section, {})
        assert isinstance(meant, dict)
        items = traefik.items(shown)
        assert items.keys() == meant.keys(), f"{shown}: {sorted(meant)} is meant, and Traefik has {sorted(items)}"
        for name, item in items.items():
            if item.get("status") != "enabled" or item.get("error"):
                found.append(f"{shown}.{name} is {item.get('status')}: {item.get('error')}")
            plain = {key: value for key, value in item.items() if key not in STATE}
            found += unlike(read_as(shown, meant[name]), plain, f"{shown}.{name}")
    assert not found, "\n".join(found)
    assert traefik.log() == ""


def inputs() -> list[tuple[str, str, bool]]:
    """Every text that a sheet reads for this format, and whether we find errors in it."""
    translator = builtin.load(FORMAT)
    found = []
    for sheet in SHEETS:
        for section in sheet.inputs:
            if section.name == FORMAT and not section.options:
                read = translator.parse(Source((File(sheet.name, section.block.text),)), translator.options())
                found.append((sheet.name, section.block.text, any(each.severity is Severity.ERROR for each in read.diagnostics)))
    return found


@pytest.mark.parametrize(("text", "wrong"), [pytest.param(text, wrong, id=name) for name, text, wrong in inputs()])
def test_traefik_takes_offence_where_we_find_errors(start_traefik: StartTraefik, servers: Servers, text: str, wrong: bool) -> None:
    """It refuses the whole file, or does not enable a router or service of it, or says so in its log."""
    try:
        running = start_traefik({FILE: servers.placed(text)}, entry_points())
    except TraefikError:
        if not wrong:
            raise
        return
    shown = [item.get("status") for section in SECTIONS for item in running.items(section).values()]
    offended = any(status != "enabled" for status in shown) or running.log() != ""
    assert offended == wrong, (shown, running.log())


# What the proxies do -----------------------------------------------------------------------------------------------------


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
    """It ends TLS; the reference proxy does not."""
    port: Callable[[str], int]

    @cached_property
    def cookies(self) -> StickyCookies:
        return StickyCookies.of(self.document, self.seal)

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
        if not self.traefik:
            request = replace(request, tls=False, sni="")
        found: dict[Answer, Expected] = {}
        for effect, share in outcomes(self.table, request, state).shares.items():
            answer, bound = self._answer(request, effect.status, effect.middlewares, password), effect.set_cookies
            if answer is None:
                texts = tuple(self.cookies.written[one.cookie, one.value] for one in bound)
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
        known = self.cookies.known.get(name, {})
        return next((value for value, bound in known.items() if bound == binding), self.seal.value("nobody", binding))


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
        if request.tls and self._play.traefik:
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


# One proxy after another, one sheet after another --------------------------------------------------------------------------


class Asked(NamedTuple):
    """A row on a proxy."""

    proxy: str
    sheet: Sheet
    row: Row


def rows() -> list[Asked]:
    found = []
    for proxy in ("traefik", "reference"):
        for sheet in SHEETS:
            if sheet.document is not None:
                found += [
                    Asked(proxy, sheet, row) for row in sheet.rows if all(status is not Status.DRAINING for status, _, _ in row.states)
                ]
    return found


def adapted(servers: Servers, sheet: Sheet, *, tls: bool) -> Document:
    """The document of a sheet, for these runs."""
    assert sheet.document is not None
    tree = tree_of(servers.placed(sheet.document.text))
    services, routes = tree.get("services", {}), tree.get("routes", [])
    assert isinstance(services, dict)
    assert isinstance(routes, list)
    down = {name for row in sheet.rows for _, name, _ in row.states}
    for name, service in services.items():
        assert isinstance(service, dict)
        if "health_check" in service or name in down:
            service["health_check"] = {"path": "/healthz", "interval": "250ms", "timeout": "2s"}
    if not tls:
        for route in routes:
            assert isinstance(route, dict)
            route.pop("tls", None)
    return document_of(tree)


def emitted(name: str, document: Document) -> str:
    translator: AnyTranslator = builtin.load(name)
    (file,) = translator.emit(document, translator.options()).files()
    return file.text


class OnTraefik:
    """What the file can say of a document is served; the rest is among the losses of the sheet."""

    def __init__(self, traefik: Traefik) -> None:
        self._traefik = traefik

    def serve(self, servers: Servers, sheet: Sheet) -> Play:
        translator: AnyTranslator = builtin.load(FORMAT)
        kept = project(adapted(servers, sheet, tls=True), translator.supports(translator.options())).kept
        self._traefik.write({FILE: emitted(FORMAT, kept)})
        return Play(servers, kept, Table.of(kept), Seal(b"", traefik_compat=True), True, self._traefik.port)

    def up(self, service: str) -> Mapping[str, bool]:
        found = self._traefik.items("services")[service]["serverStatus"]
        assert isinstance(found, dict)
        return {url: status == "UP" for url, status in found.items()}

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        self._traefik.wait(condition, what)


class OnReference:
    def __init__(self, start: StartReference) -> None:
        self._start = start
        self._reference: Reference | None = None

    def serve(self, servers: Servers, sheet: Sheet) -> Play:
        document = adapted(servers, sheet, tls=False)
        text = emitted("pinfeather", document)
        if self._reference is None:
            self._reference = self._start(text, entry_points())
        else:
            self._reference.write(text)
        assert self._reference.state()["closed"] == {}, self._reference.log()
        return Play(servers, document, Table.of(document), Seal(self._reference.key), False, self._reference.port)

    def up(self, service: str) -> Mapping[str, bool]:
        assert self._reference is not None
        found = self._reference.state()["services"]
        assert isinstance(found, dict)
        return {each["server"]: each["status"] == "up" for each in found[service]}

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        assert self._reference is not None
        self._reference.wait(condition, what)


class Stage:
    """Both proxies, each with the sheet that it serves now."""

    def __init__(self, servers: Servers, proxies: Mapping[str, OnTraefik | OnReference]) -> None:
        self.servers = servers
        self._proxies = proxies
        self._served: dict[str, tuple[Sheet, Play]] = {}

    def play(self, asked: Asked) -> Play:
        served = self._served.get(asked.proxy)
        if served is None or served[0] is not asked.sheet:
            self.servers.down.clear()
            served = asked.sheet, self._proxies[asked.proxy].serve(self.servers, asked.sheet)
            self._served[asked.proxy] = served
        return served[1]

    def bring(self, asked: Asked, play: Play, state: State) -> None:
        """Makes servers fail their health checks, and returns when the proxy has noticed."""
        proxy = self._proxies[asked.proxy]
        wanted: dict[str, dict[str, bool]] = {}
        for name, service in play.document.services.items():
            if isinstance(service, LoadBalancer):
                row = state.servers.get(name, (Status.UP,) * len(service.servers))
                wanted[name] = {server.key: status is Status.UP for server, status in zip(service.servers, row, strict=True)}
        self.servers.down.clear()
        self.servers.down.update(play.names[key] for service in wanted.values() for key, up in service.items() if not up)
        proxy.wait(lambda: all(proxy.up(name) == service for name, service in wanted.items()), f"the state {state}")


@pytest.fixture(scope="module")
def stage(servers: Servers, traefik: Traefik, start_reference: StartReference) -> Stage:
    return Stage(servers, {"traefik": OnTraefik(traefik), "reference": OnReference(start_reference)})


def judged(counts: Counter[Answer], expected: Mapping[Answer, Expected]) -> list[str]:
    """What chance does not explain, by an exact binomial bound."""
    asked = counts.total()
    found = [f"{count} of {asked} times {answer}, which is not expected" for answer, count in counts.items() if answer not in expected]
    for answer, (share, _) in expected.items():
        low, high = bounds(asked, share)
        if not low <= counts[answer] <= high:
            found.append(f"{counts[answer]} of {asked} times {answer}, expected {share}: {low} to {high}")
    return found


@pytest.mark.parametrize("asked", rows(), ids=lambda asked: f"{asked.proxy}-{asked.sheet.name}-{asked.row.line + 1}")
def test_a_proxy_does_what_the_row_says(stage: Stage, asked: Asked) -> None:
    play = stage.play(asked)
    text = stage.servers.placed(asked.row.text)
    request, states = sheets.request_of(text)
    state = replace(asked.row, states=states).state(play.document)
    stage.bring(asked, play, state)
    guarded = any(each.basic_auth is not None for each in play.document.middlewares.values())
    for password in (None, PASSWORD) if guarded else (None,):
        meet(play, asked.sheet, request, target_of(text), state, password)


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
                then = play.expected(replace(request, bindings=bindings), state, password is not None)
                counts = Counter(line.ask(target, kept, password) for _ in range(AGAIN))
                assert not (wrong := judged(counts, then)), "\n".join((f"after {answer}:", *wrong))
    finally:
        line.close()


@pytest.mark.parametrize("sheet", WRITTEN, ids=lambda sheet: sheet.name)
def test_the_sheet_says_where_traefik_does_something_else(servers: Servers, sheet: Sheet) -> None:
    document = adapted(servers, sheet, tls=True)
    translator: AnyTranslator = builtin.load(FORMAT)
    kept = project(document, translator.supports(translator.options())).kept
    other = False
    for row in sheet.rows:
        request, states = sheets.request_of(servers.placed(row.text))
        state = replace(row, states=states).state(document)
        before, after = (outcomes(Table.of(each), request, state).shares for each in (document, kept))
        other |= before != after
    said = [entry for section in sheet.formats if section.name == FORMAT and section.losses for entry in section.losses.entries]
    assert any("`loss." in entry for entry in said) or not other, "a row has another outcome on Traefik, and no loss says so"
