"""The case sheets on a real Traefik and on the reference proxy, with a real server behind each URL of the document.

What a row says is worked out by the decision core and held against what each proxy does: the server that answers and how
often, the cookies to the letter and in order, the headers of the answer, and where the same client gets to next time.

For these runs, the document's addresses are put on loopback, health checks ask four times a second, and a service that a
row calls down has one. Containers and Services of a cluster become servers by URL. The entry points do not speak TLS by
themselves: where no route says `tls`, https rows are asked in plain HTTP. Rows with a draining server are left to the
model: nothing in a file makes a server drain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from pinfeather.model.decide import State, Status, Table, outcomes
from pinfeather.model.diagnostics import Severity
from pinfeather.model.document import Document
from pinfeather.model.noun import Tree
from pinfeather.model.project import project
from pinfeather.model.services import LoadBalancer
from pinfeather.proxy.cookies import Seal
from pinfeather.testing import sheets
from pinfeather.testing.sheets import Row, Sheet
from pinfeather.testing.traefik import Json, Traefik, TraefikError
from pinfeather.translators import builtin
from pinfeather.translators.contract import AnyTranslator, File, Source
from tests.parts import certificates
from tests.real.playing import PASSWORD, Play, document_of, meet, target_of, tree_of

if TYPE_CHECKING:
    from conftest import Reference, Servers, StartReference, StartTraefik

SHEETS = sheets.load(Path(__file__).parent.parent / "cases")
FORMAT = "traefik-file"
FILE = "pinfeather.yml"
# What is meant -----------------------------------------------------------------------------------------------------------


def written(sheet: Sheet) -> str | None:
    """What the sheet shows for Traefik."""
    blocks = [block for section in sheet.formats if section.name == FORMAT for block in section.blocks]
    assert len(blocks) < 2, f"{sheet.path}: {FORMAT} writes one file"
    return blocks[0].text if blocks else None


WRITTEN = [sheet for sheet in SHEETS if written(sheet) is not None]


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
    unreachable = ".svc on "  # the name of a Service, which only a cluster knows
    assert not [line for line in traefik.log().splitlines() if unreachable not in line]


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


# One proxy after another, one sheet after another --------------------------------------------------------------------------


class Asked(NamedTuple):
    """A row on a proxy."""

    proxy: str
    sheet: Sheet
    row: Row


def reachable(servers: Servers, sheet: Sheet, tree: dict[str, Tree]) -> dict[str, str]:
    """Puts a server by URL for each container and Service, which a proxy without a cluster does not reach. Old key -> new key."""
    services = tree.get("services", {})
    assert isinstance(services, dict)
    keys: dict[str, str] = {}
    for name, noun in document_of(tree).services.items():
        if not isinstance(noun, LoadBalancer) or all(server.url is not None for server in noun.servers):
            continue
        service = services[name]
        assert isinstance(service, dict)
        made: list[Tree] = []
        for index, server in enumerate(noun.servers):
            url = f"http://{servers.at(f'{sheet.name}-{name}-{index}')}"
            keys[server.key] = url
            made.append({"url": url})
        service["servers"] = made
    return keys


def rows() -> list[Asked]:
    found = []
    for proxy in ("traefik", "reference"):
        for sheet in SHEETS:
            if sheet.document is not None:
                found += [
                    Asked(proxy, sheet, row) for row in sheet.rows if all(status is not Status.DRAINING for status, _, _ in row.states)
                ]
    return found


def adapted(servers: Servers, sheet: Sheet, *, reached: bool = True) -> Document:
    """The document of a sheet, for these runs."""
    assert sheet.document is not None
    tree = tree_of(servers.placed(sheet.document.text))
    if reached:
        reachable(servers, sheet, tree)
    services = tree.get("services", {})
    assert isinstance(services, dict)
    down = {name for row in sheet.rows for _, name, _ in row.states}
    for name, service in services.items():
        assert isinstance(service, dict)
        if "health_check" in service or name in down:
            service["health_check"] = {"path": "/healthz", "interval": "250ms", "timeout": "2s"}
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
        kept = project(adapted(servers, sheet), translator.supports(translator.options())).kept
        self._traefik.write({FILE: emitted(FORMAT, kept)})
        return Play(servers, kept, Table.of(kept), Seal(b"", traefik_compat=True), True, self._traefik.port)

    def up(self, service: str) -> Mapping[str, bool]:
        found = self._traefik.items("services")[service]["serverStatus"]
        assert isinstance(found, dict)
        return {url: status == "UP" for url, status in found.items()}

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        self._traefik.wait(condition, what)


class OnReference:
    def __init__(self, start: StartReference, certificate: tuple[Path, Path]) -> None:
        self._start = start
        self._certificate = certificate
        self._reference: Reference | None = None

    def serve(self, servers: Servers, sheet: Sheet) -> Play:
        document = adapted(servers, sheet)
        text = emitted("pinfeather", document)
        if self._reference is None:
            self._reference = self._start(text, entry_points(), ["--certificate={}:{}".format(*self._certificate)])
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
def stage(servers: Servers, traefik: Traefik, start_reference: StartReference, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    pem = certificates.make(tmp_path_factory.mktemp("certificate"), "sheets")
    return Stage(servers, {"traefik": OnTraefik(traefik), "reference": OnReference(start_reference, pem)})


@pytest.mark.parametrize("asked", rows(), ids=lambda asked: f"{asked.proxy}-{asked.sheet.name}-{asked.row.line + 1}")
def test_a_proxy_does_what_the_row_says(stage: Stage, asked: Asked) -> None:
    play = stage.play(asked)
    text = stage.servers.placed(asked.row.text)
    request, states = sheets.request_of(text)
    assert asked.sheet.document is not None
    keys = reachable(stage.servers, asked.sheet, tree_of(stage.servers.placed(asked.sheet.document.text)))
    tls = request.tls and any(route.tls is not None for route in play.document.routes)
    request = request._replace(bindings={cookie: keys.get(bound, bound) for cookie, bound in request.bindings.items()}, tls=tls)
    state = replace(asked.row, states=states).state(play.document)
    stage.bring(asked, play, state)
    guarded = any(each.basic_auth is not None for each in play.document.middlewares.values())
    for password in (None, PASSWORD) if guarded else (None,):
        meet(play, asked.sheet, request, target_of(text), state, password)


@pytest.mark.parametrize("sheet", WRITTEN, ids=lambda sheet: sheet.name)
def test_the_sheet_says_where_traefik_does_something_else(servers: Servers, sheet: Sheet) -> None:
    document = adapted(servers, sheet, reached=False)
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
