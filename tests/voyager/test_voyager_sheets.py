"""The case sheets on a real HAProxy: what Voyager's Ingress can say of each document, asked row by row.

Rows about servers that are down or draining, and about clients from elsewhere, are left to the model. TLS is not ended here: what a
route demands of it is met by asking its port.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from pinfeather.model.decide import Request
from pinfeather.model.document import Document
from pinfeather.model.project import project
from pinfeather.model.services import LoadBalancer, TcpLoadBalancer
from pinfeather.testing import checks, sheets
from pinfeather.testing.sheets import Row
from pinfeather.translators import voyager
from pinfeather.translators._haproxy.plan import namespace_of
from tests.parts.servers import Servers
from tests.voyager.stage import Stage, StartHAProxy, compare

OPTIONS = voyager.VoyagerOptions(secret="cert")


class Case(NamedTuple):
    name: str
    document: Document
    rows: tuple[Row, ...]


def cases() -> Iterator[Case]:
    for sheet in sheets.load(Path(__file__).parent.parent / "cases"):
        if sheet.document is not None:
            document = checks.document_of(sheet)
            kept = project(document, voyager.supports(OPTIONS)).kept
            rows = tuple(row for row in sheet.rows if not row.states and row.request.client == "127.0.0.1")
            if kept.routes and rows:
                yield Case(sheet.name, kept, rows)


def pods(document: Document) -> dict[str, tuple[str, ...]]:
    """One pod for each Service that is named."""
    return {service: (f"{service}-0",) for _, service in _services(document)}


def _services(document: Document) -> Iterator[tuple[str, str]]:
    """Namespace and name of each."""
    for service in (*document.services.values(), *document.tcp_services.values()):
        ref = service.servers[0].kubernetes if isinstance(service, LoadBalancer | TcpLoadBalancer) else None
        if ref is not None:
            yield str(ref.namespace or namespace_of(document) or "default"), str(ref.service)


def with_cookies(request: Request, document: Document) -> Request:
    """The request with the cookies by which HAProxy knows what the client is bound to."""
    sent = []
    for name, bound in request.bindings.items():
        address = urlsplit(bound).hostname if "://" in bound else bound.partition("/")[2].partition(":")[0] + "-0"
        sent.append(f"{name}={bound if bound in document.services or address == '-0' else f'pod-{address}'}")
    plain = [value for name, value in request.headers if name == "cookie"]
    rest = tuple(pair for pair in request.headers if pair[0] != "cookie")
    return request._replace(headers=(*rest, ("cookie", "; ".join([*plain, *sent])))) if sent else request


def _deeper(host: str, document: Document) -> bool:
    """Whether a host has several labels where a wildcard stands for one."""
    wild = [name[1:] for route in document.routes for name in route.hosts if name.startswith("*.")]
    return any(host.endswith(parent) and "." in host.removesuffix(parent) for parent in wild)


CASES = list(cases())


def test_most_sheets_can_be_asked() -> None:
    assert len(CASES) > 8
    assert any("cookie" in case.name or "canary" in case.name for case in CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_rows_of_a_sheet(haproxy: StartHAProxy, servers: Servers, case: Case) -> None:
    emitted = voyager.emit(case.document, OPTIONS)
    names = pods(case.document)
    places = {f"{namespace}/{service}": names[service] for namespace, service in _services(case.document)}
    stage = Stage(haproxy, servers, emitted.files()[0].text, places)
    asked = 0
    for row in case.rows:
        request = with_cookies(row.request, case.document)
        if _deeper(request.host, case.document):
            continue  # `near.match.host-wildcard`
        if f'"127.0.0.1:${{{request.entry_point or "web"}}}"' in stage.configuration:
            # Voyager's own ACLs know a host by itself and with the port that it listens on, and with no other
            compare(stage, case.document, request._replace(host=request.host.partition(":")[0]), names)
            asked += 1
    assert asked
