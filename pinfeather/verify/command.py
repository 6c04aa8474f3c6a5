"""`pinfeather verify` on files, URLs and standard streams: what it reads, what it starts, what it prints, and how it ends."""

from __future__ import annotations

import argparse
import signal
import socket
import ssl
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from pinfeather import _render
from pinfeather._reading import Loaded, load
from pinfeather._sources import UsageError
from pinfeather.model.diagnostics import Report as Findings
from pinfeather.model.diagnostics import Severity
from pinfeather.model.document import Document, EntryPoint
from pinfeather.model.noun import seconds
from pinfeather.model.services import LoadBalancer
from pinfeather.model.table import UndecidedError, refuse_templates
from pinfeather.verify import table
from pinfeather.verify.asking import Address, Pace, Silent, Unfit, ask, insecure, trusting
from pinfeather.verify.binomial import MOST
from pinfeather.verify.column import Column
from pinfeather.verify.effects import slowest, unseen
from pinfeather.verify.measure import Measuring, Wishes
from pinfeather.verify.naming import WHOAMI, ByBody, ByCookie, ByDemo, Identify, Known, Learnt, Naming, identify
from pinfeather.verify.outage import ByControl, Outage, command
from pinfeather.verify.questions import READS, entry_points, plan
from pinfeather.verify.tcp import tcp_questions, tcp_rows
from pinfeather.verify.unlike import UNSURE, unlike
from pinfeather.verify.values import Value, servers_by_value, value_of
from pinfeather.verify.who import learnt

RATE = Fraction(50)
"""Requests a second to each proxy that somebody else runs."""
BUDGET = 5000
"""Requests to each proxy that somebody else runs."""
UNREACHABLE = 4


class _Run(NamedTuple):
    """What is to be measured."""

    title: str
    document: Document
    base: Column
    columns: Sequence[Column]
    wishes: Wishes
    methods: Sequence[str]
    running: bool
    said: Sequence[str]


def run(given: argparse.Namespace) -> int:
    """Exit codes: 0 all holds, 1 something does not, 2 input, 4 a proxy or a server does not answer. Raises FileError and UsageError."""
    loaded = load(given.files, given)
    document = loaded.parsed.document
    report = Findings.of(loaded.parsed.diagnostics)
    shown = report if document is None else Findings.of(each for each in report.diagnostics if each.severity is Severity.ERROR)
    sys.stderr.write(_render.text(shown))
    if document is None:
        return 2
    try:
        refuse_templates(document)
        with ExitStack() as running, _ends_cleanly():
            made = _started(given, document, running) if given.start else _running(given, loaded, document)
            return _measured(given, made)
    except UndecidedError as problem:
        raise UsageError(f"{problem}, or say it with --bind") from None
    except Unfit as problem:
        raise UsageError(_render.plain(str(problem))) from None
    except Silent as problem:
        sys.stderr.write(f"pinfeather: {_render.plain(str(problem))}\n")
        return UNREACHABLE


@contextmanager
def _ends_cleanly() -> Iterator[None]:
    """SIGTERM ends what was started, too: CI systems and `timeout` send it."""

    def end(*_: object) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _measured(given: argparse.Namespace, made: _Run) -> int:
    pace = made.columns[0].pace
    measuring, unsure = _measuring(given, made, pace.budget)
    tcp = tcp_questions(made.base, made.wishes.doubt) if not made.running else []
    if not measuring.asked and not measuring.bound and not tcp:
        raise Unfit(_nothing(made, measuring))
    needed = measuring.needed + sum(question.count for question in tcp)
    if pace.budget is not None and needed > pace.budget:
        raise Unfit(
            f"a doubt of {float(made.wishes.doubt):g} takes {needed} requests to each proxy, and the budget is {pace.budget}: "
            f"say --budget {needed}, or a larger --doubt"
        )
    rate = f"{float(pace.rate):g} a second" if pace.rate is not None else "as fast as answers come"
    limit = f", of {pace.budget} at most" if pace.budget is not None else ""
    methods = f"{' and '.join(made.methods)} only" if made.methods else "any method"
    methods += ", and POST /control/close to a demo server" if isinstance(made.wishes.outage, ByControl) else ""
    sys.stderr.write(f"asking up to {needed} requests of each proxy{limit}, {rate}, {methods}\n")
    found = measuring.run()
    rows = [*found.rows, *(tcp_rows(made.base, made.columns, made.wishes.doubt) if tcp else ())]
    left = dict(found.left)
    if made.running and made.document.tcp_routes:
        left["TCP is asked of demo servers only: --start"] = len(made.document.tcp_routes)
    started = [line for column in made.columns for line in column.started]
    said = [*made.said, *unsure, *_unseen(made), *learnt(made.columns)]
    report = table.Report(_render.plain(made.title), started, made.columns, rows, found.clients, found.tester, left, said, made.running)
    if given.report == "json":
        sys.stdout.write(table.as_json(report))
    elif given.report == "markdown":
        sys.stdout.write(table.markdown(report, every=given.all))
    else:
        sys.stdout.write(table.text(report, colours=sys.stdout.isatty(), every=given.all))
    return 0 if report.holds else 1


def _measuring(given: argparse.Namespace, made: _Run, budget: int | None) -> tuple[Measuring, list[str]]:
    """What is to be asked; without what `--unlike` takes, where only that is too much. A line says where it will not be seen."""

    def of(other: Document | None) -> Measuring:
        bound = any(column.value is not None for column in made.columns)
        planned = plan(made.document, made.columns, made.methods, bound=bound, user=given.user)
        return Measuring(made.base, made.columns, planned, replace(made.wishes, unlike=other))

    if given.unlike is None:
        return of(None), []
    other = unlike(made.base.document, given.unlike)
    try:
        measuring = of(other)
        why = "" if measuring.tells or other == made.base.document else "no question that can be asked is answered otherwise by them"
        if budget is not None and measuring.needed > budget:
            why, measuring = f"that takes --budget {measuring.needed}", of(None)
    except Unfit:
        why, measuring = f"they are too near, and that takes more than {MOST} requests", of(None)
    return measuring, [f"{UNSURE} {given.unlike}: {why}."] if why else []


def _nothing(made: _Run, measuring: Measuring) -> str:
    """Why nothing can be asked."""
    names = " and ".join(column.name for column in made.columns)
    codes = dict.fromkeys(
        str(finding.code) for column in made.columns for finding in column.losses if str(finding.code).startswith("loss.")
    )
    why = [*measuring.plan.left, *([f"{', '.join([*codes][:5])}: its format cannot say it"] if codes else [])]
    return f"nothing of this document can be asked of {names}: {'; '.join(why) or 'it has no route'}"


def _unseen(made: _Run) -> Iterator[str]:
    if found := list(unseen(made.document, echo=all(column.echoed for column in made.columns))):
        yield f"Not seen from here: {', '.join(found)}."
    if any(column.blind for column in made.columns):
        yield "Who answers a client that has its cookie already is not seen by cookies alone, only that it is given no new one."


# Proxies that run ----------------------------------------------------------------------------------------------------------


def _running(given: argparse.Namespace, loaded: Loaded, document: Document) -> _Run:
    if not given.url:
        raise UsageError("say which proxy: --url NAME=http://host:port for its entry points, or --start traefik")
    outage: Outage | None = ByControl() if given.demo else command(given.stop, given.restart)
    entries = _entries(given, document)
    rate, limited = _rate(given, document)
    budget = given.budget or BUDGET
    direct = _asked_directly(document) if given.demo else {}
    columns = []
    for name, addresses in entries.items():
        local = all(address.loopback for address in addresses.values())
        who, naming, value = _naming(given, loaded, document, direct)
        columns.append(
            Column(
                name=name,
                document=document,
                entries=addresses,
                identify=who,
                naming=naming,
                pace=Pace(rate, budget),
                shared=None if value is None else True,
                value=value,
                names=direct,
                client_known=local,
                user=given.user,
            )
        )
        _reachable(name, addresses)
    if given.stop is not None and not all(column.naming.exact for column in columns):
        raise Unfit("--stop: nobody knows which server a client is with: say --identify cookie, for cookie values that can be computed")
    wishes = Wishes(given.doubt, websocket=given.websocket or given.demo, echo=given.demo, outage=outage)
    title = f"{', '.join(given.files)} through {', '.join(columns_name(column) for column in columns)}"
    return _Run(title, document, columns[0], columns, wishes, _methods(given), True, limited)


def columns_name(column: Column) -> str:
    """A proxy and where it is."""
    return f"{column.name} ({', '.join(dict.fromkeys(address.url for address in column.entries.values()))})"


def _entries(given: argparse.Namespace, document: Document) -> Mapping[str, dict[str, Address]]:
    """Proxy -> entry point -> address. Raises UsageError."""
    known = entry_points(document)
    context = _context(given)
    found: dict[str, dict[str, Address]] = {}
    for text in given.url:
        named, equals, url = text.rpartition("=")
        proxy, colon, point = named.rpartition(":")
        try:
            address = Address.of(url, context)
        except ValueError as problem:
            raise UsageError(f"--url {text}: {problem}") from None
        if colon and not proxy:
            raise UsageError(f"--url {text}: the proxy in front of the `:` has no name")
        point = point if equals else _point(document, address)
        if point not in known and (equals or len(known) > 1):
            which = (
                f"the document has no entry point {point!r}; it has"
                if equals
                else f"say which entry point it is, --url ENTRY={text}: one of"
            )
            raise UsageError(f"--url {text}: {which} {', '.join(known)}")
        declared = document.entry_points.get(point)
        if not address.tls and isinstance(declared, EntryPoint) and declared.tls is True:
            raise UsageError(f"--url {text}: the entry point {point!r} speaks TLS, by the document: say https://")
        found.setdefault(proxy if colon else "the proxy", {})[point] = address
    return found


def _point(document: Document, address: Address) -> str:
    """The entry point that a URL alone is: the one of its port; else `web` or `websecure`; else the only one there is."""
    known = entry_points(document)
    ports = {name: point.port if isinstance(point, EntryPoint) else point for name, point in document.entry_points.items()}
    same = [name for name in known if ports.get(name) == address.port]
    named = "websecure" if address.tls else "web"
    if len(same) == 1:
        return same[0]
    return named if named in known else known[0] if len(known) == 1 else ""


def _context(given: argparse.Namespace) -> ssl.SSLContext | None:
    if given.insecure:
        return insecure()
    try:
        return trusting(given.ca) if given.ca is not None else ssl.create_default_context()
    except OSError as problem:
        raise UsageError(f"--ca {given.ca}: {(problem.strerror or str(problem)).lower()}") from None


def _naming(
    given: argparse.Namespace, loaded: Loaded, document: Document, direct: Mapping[str, str]
) -> tuple[Identify, Naming, Value | None]:
    """How servers are told, and how cookie values are computed, where they can be."""
    said = given.identify
    who = identify(said) if said is not None else ByDemo() if direct else ByBody(WHOAMI)
    names = dict(pair.partition("=")[::2] for pair in given.name)
    for name, service in names.items():
        if service not in document.services:
            raise UsageError(f"--name {name}={service}: there is no service {service!r}")
    if who is None:
        value = value_of((said or "").partition(":")[2], given, loaded, document)
        values = servers_by_value(document, value)
        return ByCookie(values), Known({key: key for key in values.values()}), value
    return who, (Known(direct) if direct else Learnt(_servers(document), names)), None


def _servers(document: Document) -> Mapping[str, frozenset[str]]:
    """The servers' keys of each service."""
    return {
        name: frozenset(server.key for server in service.servers)
        for name, service in document.services.items()
        if isinstance(service, LoadBalancer)
    }


def _asked_directly(document: Document) -> dict[str, str]:
    """What each server calls itself, asked without a proxy: demo servers do. Raises Silent and Unfit."""
    from pinfeather.model.decide import Request

    names: dict[str, str] = {}
    who = ByDemo()
    for service in document.services.values():
        for server in service.servers if isinstance(service, LoadBalancer) else ():
            if server.key in names:
                continue
            try:
                address = Address.of(server.key)
            except ValueError as problem:
                raise Unfit(f"the server {problem}: only demo servers can be asked with --demo") from None
            answer = ask(address, Request(f"{address.host}:{address.port}", "/"), {})
            if answer.status == 0:
                raise Silent(f"the demo server at {server.key} does not answer: {answer.problem}")
            name = who.name(answer)
            if not name or name in names.values():
                raise Unfit(f"the server at {server.key} does not say a name of its own (`Hostname:`): it is no demo server")
            names[server.key] = name
    return names


def _reachable(name: str, addresses: Mapping[str, Address]) -> None:
    for address in addresses.values():
        try:
            socket.create_connection((address.host, address.port), 10).close()
        except OSError as problem:
            why = (problem.strerror or str(problem)).lower()
            raise Silent(f"{name} at {address.url} does not answer: {why}; start it, or put the URL right") from None


def _rate(given: argparse.Namespace, document: Document) -> tuple[Fraction | None, list[str]]:
    """Requests a second; less where a rate limit of the document would be met."""
    rate: Fraction | None = given.rate if given.rate is not None else (None if given.start or _local(given) else RATE)
    said = []
    for name, (average, period) in slowest(document).items():
        allowed = Fraction(average) / Fraction(seconds(period)).limit_denominator(10**6) * Fraction(4, 5)
        if rate is None or allowed < rate:
            rate = allowed
            said = [f"At {float(rate):g} requests a second: the rate limit {name!r} lets no more pass."]
    return rate, said


def _local(given: argparse.Namespace) -> bool:
    """Whether it is our own servers that are asked, through proxies of this machine."""
    return bool(given.demo) and all(Address.of(text.rpartition("=")[2]).loopback for text in given.url)


def _methods(given: argparse.Namespace) -> Sequence[str]:
    return tuple(dict.fromkeys((*READS, *(word for words in given.methods for word in words))))


# Proxies that are started ------------------------------------------------------------------------------------------------------


def _started(given: argparse.Namespace, document: Document, running: ExitStack) -> _Run:
    from pinfeather.verify.placing import DemoServers, InOurs, certificate, needs_certificate, place, server_context
    from pinfeather.verify.starting import Stage, start

    if given.url:
        raise UsageError("--start and --url: say one of them")
    folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="pinfeather-verify-")))
    pem = certificate(folder) if needs_certificate(document) else None
    servers = running.enter_context(DemoServers(server_context(*pem) if pem is not None else None))
    placed = place(document, servers)
    rate, limited = _rate(given, document)
    stage = Stage(document, placed, servers, pem, folder, lambda: Pace(rate, given.budget), given.user, running)
    columns = [start(kind, stage) for kind in dict.fromkeys(given.start)]
    base = Column(
        name="the document",
        document=placed.document,
        entries=columns[0].entries,
        identify=ByDemo(),
        naming=Known(placed.names),
        pace=Pace(None, None),
        shared=True,
        names=placed.names,
        keys=placed.keys,
        user=given.user,
        client_known=True,
    )
    wishes = Wishes(given.doubt, websocket=True, echo=True, outage=InOurs(servers, placed.names))
    said = [*limited, *(f"Here {each}." for each in placed.changed)]
    title = f"{', '.join(given.files)} through {' and '.join(dict.fromkeys(given.start))}, with {servers.count} demo servers on 127.0.0.1"
    return _Run(title, document, base, columns, wishes, (), False, said)
