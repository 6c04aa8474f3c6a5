"""TCP routes, asked over raw connections: by entry point, by server name, by weight, and by the client's address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from pinfeather.model.decide import State
from pinfeather.model.decide_tcp import Connection, TcpTable, outcomes_tcp, speaks_tls
from pinfeather.model.document import Document
from pinfeather.model.match import ServerNameIs, leaves
from pinfeather.model.services import TcpLoadBalancer
from pinfeather.verify.asking import PATIENCE, Address, Unfit, connect, side_by_side
from pinfeather.verify.binomial import bounds, to_notice_each
from pinfeather.verify.column import Column
from pinfeather.verify.judging import Cell, Row

NOBODY = "nobody"
LEAST = 3
UNKNOWN = "nowhere.invalid"
_SAY = "Hostname: "


@dataclass(frozen=True, slots=True)
class TcpQuestion:
    connection: Connection
    shares: tuple[tuple[str, str, Fraction], ...]
    """Service, server key in the placed document, share."""
    count: int
    affinity: bool

    @property
    def text(self) -> str:
        asked = self.connection
        how = f"TLS for {asked.sni}" if asked.tls else "plain"
        return f"TCP at {asked.entry_point}, {how}"


def tcp_questions(base: Column, doubt: Fraction) -> list[TcpQuestion]:
    """Each server name and each entry point of the document's TCP routes, and a name that nobody knows. Raises Unfit."""
    table = TcpTable.of(base.document)
    found = []
    for connection in _connections(base.document):
        shares = tuple(
            (str(one.service), str(one.server), share)
            for one, share in outcomes_tcp(table, connection, State()).shares.items()
            if one.status == 200
        )
        affinity = any(_by_address(base.document, service) for service, _, _ in shares)
        try:
            count = LEAST if affinity else max(LEAST, to_notice_each((share for _, _, share in shares), doubt))
        except ValueError as problem:
            raise Unfit(f"{problem}: that is more than is asked here; a weight is that small") from None
        found.append(TcpQuestion(connection, shares, count, affinity))
    return found


def _connections(document: Document) -> Iterator[Connection]:
    found = dict.fromkeys(_hellos(document))
    return (Connection(point, tls, name) for point, tls, name in found)


def _hellos(document: Document) -> Iterator[tuple[str, bool, str | None]]:
    """Entry point, whether TLS is spoken, and the server name."""
    http = {point for route in document.routes for point in route.entry_points}
    everywhere = any(not route.entry_points for route in document.routes)
    for route in document.tcp_routes:
        names = [*route.sni, *(leaf.sni for leaf in leaves(route.match) if isinstance(leaf, ServerNameIs))] if route.match else [*route.sni]
        for point in route.entry_points or tuple(document.entry_points) or ("web",):
            tls = route.tls is not None and speaks_tls(route.tls)
            for name in names:
                yield point, True, name.replace("*", "any", 1)
            if not names:
                yield point, tls, UNKNOWN if tls else None
            elif point not in http and not everywhere:
                yield point, True, UNKNOWN


def _by_address(document: Document, name: str) -> bool:
    service = document.tcp_services.get(name)
    return isinstance(service, TcpLoadBalancer) and service.sticky is not None


def tcp_rows(base: Column, columns: Sequence[Column], doubt: Fraction) -> Iterator[Row]:
    """A row for each question, asked of all proxies at the same time."""
    with side_by_side([column.pace for column in columns]) as pool:
        for question in tcp_questions(base, doubt):
            cells = pool.map(lambda column, question=question: _cell(base, column, question, doubt), columns)
            yield Row(question.text, _in_words(question), tuple(cells))


def _in_words(question: TcpQuestion) -> str:
    if not question.shares:
        return NOBODY
    services: dict[str, Fraction] = {}
    for service, _, share in question.shares:
        services[service] = services.get(service, Fraction(0)) + share
    if question.affinity:
        return f"{' or '.join(services)}, one server for one address"
    if len(services) == 1:
        return next(iter(services))
    return ", ".join(f"{service} {float(share * question.count):.4g}" for service, share in services.items())


def _cell(base: Column, column: Column, question: TcpQuestion, doubt: Fraction) -> Cell:
    connection = question.connection
    shown = {key: base.names[key] for _, key, _ in question.shares}
    table = TcpTable.of(column.document)
    own = [
        (column.names.get(str(one.server), ""), share)
        for one, share in outcomes_tcp(table, connection, State()).shares.items()
        if one.status == 200
    ]
    wanted = sorted((shown[key], share) for _, key, share in question.shares)
    sticks = any(_by_address(column.document, name) for name in column.document.tcp_services) or not question.affinity
    address = column.address(connection.entry_point)
    if sorted(own) != wanted or not sticks or address is None:
        said = _codes(column, "loss.")
        return Cell(said, state="loss") if said else Cell("lost, and not said", ("the translation changes this",), "WRONG")
    counts: Counter[str] = Counter()
    for _ in range(question.count):
        column.pace.take()
        counts[_who(connection, address)] += 1
    cell = _judged(counts, wanted, question, doubt)
    near = _codes(column, "near.") if cell.faults else ""
    return Cell(f"{near}: {cell.text}", state="near") if near else cell


def _codes(column: Column, family: str) -> str:
    """The findings of a family that have to do with TCP."""
    said = (str(finding.code) for finding in column.losses if str(finding.path[0]).startswith("tcp_"))
    return ", ".join([*dict.fromkeys(code for code in said if code.startswith(family))][:2])


def _who(connection: Connection, address: Address) -> str:
    """Who answers a connection; nothing where nobody does."""
    try:
        with connect(address, connection.tls, connection.sni or "", connection.client) as stream:
            stream.settimeout(PATIENCE)
            stream.sendall(b"who?\n")
            data = b""
            while b"\n" not in data and (part := stream.recv(1024)):
                data += part
    except OSError:
        return ""
    line = data.decode("utf-8", "replace").partition("\n")[0]
    return line.removeprefix(_SAY).strip() if line.startswith(_SAY) else ""


def _judged(counts: Counter[str], wanted: Sequence[tuple[str, Fraction]], question: TcpQuestion, doubt: Fraction) -> Cell:
    known = {name for name, _ in wanted} or {""}
    faults = [f"{name or NOBODY} answered {count} of {question.count}" for name, count in counts.items() if name not in known]
    if question.affinity:
        faults += [f"{len(counts)} servers answered one address"] if len(counts) > 1 else []
    else:
        for name, share in wanted:
            low, high = bounds(question.count, share, doubt)
            if not low <= counts[name] <= high:
                faults.append(f"{name} answered {counts[name]} of {question.count}: outside of {low} to {high}")
    return Cell.of(f"{sum(counts[name] for name in known)} of {question.count}", faults)
