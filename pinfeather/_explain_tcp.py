"""Why a connection goes where it goes: as `_explain.py`, for TCP routes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pinfeather._conditions import failed
from pinfeather._explanation import Explanation, Leads, Lost, Place, merged, passed, told
from pinfeather.model.decide import Kind, State, Step
from pinfeather.model.decide_tcp import Connection, TcpTable, outcomes_tcp
from pinfeather.model.diagnostics import Path, Span, dotted
from pinfeather.model.document import Document
from pinfeather.model.normal import lifted, tcp_lifted, tcp_precedence
from pinfeather.model.request import undotted
from pinfeather.model.trace_tcp import rivals_tcp, trace_tcp
from pinfeather.translators.contract import NOTHING


def explain_tcp(
    document: Document, connection: Connection, state: State | None = None, *, spans: Mapping[Path, Span] = NOTHING
) -> Explanation:
    """Explains one connection. `state` is of the TCP services.

    Raises pinfeather.model.table.UndecidedError, a ValueError, where a template stands in the document.
    """
    table, state = TcpTable.of(document), state or State()
    steps = trace_tcp(table, connection, state)
    tried = [step for step in steps if step.kind is Kind.ROUTE]
    holds = tried[-1].holds
    found = outcomes_tcp(table, connection, state)
    return Explanation(
        connection,
        dotted(tried[-1].path) if holds else None,
        tuple(Leads(share, decision, ()) for decision, share in merged(found)),
        tuple(passed(found, document.tcp_middlewares, "tcp_middlewares", spans)),
        tuple(told(step, spans) for step in ([tried[-1], *steps[len(tried) :]] if holds else [])),
        tuple(_lost(table, tried, connection, spans)),
        tuple(_notes(document, connection, int(tried[-1].path[1]) if holds else None)),
    )


def _lost(table: TcpTable, tried: list[Step], connection: Connection, spans: Mapping[Path, Span]) -> Iterator[Lost]:
    routes = table.document.tcp_routes
    for index, step in zip(tcp_precedence(routes), tried, strict=False):
        if not step.holds:
            part, said = failed(table.document, step.path, connection)
            yield Lost(f"TCP route {routes[index].name}", said, False, part, None, Place.of(step.path, spans))
    for rival in rivals_tcp(table, connection):
        name, numbers = f"TCP route {routes[rival.route].name}", (rival.first, rival.second)
        yield Lost(name, rival.why, True, rival.criterion, numbers, Place.of(rival.path, spans))


def _notes(document: Document, connection: Connection, won: int | None) -> Iterator[str]:
    if not document.tcp_routes:
        yield "the document has no TCP routes at all"
    if won is None or not connection.tls:
        return
    # HTTPS comes first where an HTTP route names the server name, and before TCP routes that take any (Traefik 3.7.15)
    for route in map(lifted, document.routes):
        there = not route.entry_points or connection.entry_point in route.entry_points
        if not there or route.tls is None or not route.tls.terminate:
            continue
        if undotted((connection.sni or "").lower()) in route.hosts or (not route.hosts and not tcp_lifted(document.tcp_routes[won]).sni):
            yield f"the HTTP route {route.name!r} takes this connection first: HTTPS is spoken for that name, and no TCP route is asked"
            return
