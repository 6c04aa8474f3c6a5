"""What to ask: requests made of the document's own hosts, paths, cookies and bindings, and how often each is to be sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from pinfeather._curl import line
from pinfeather.model.decide import Request
from pinfeather.model.decide_tcp import Connection, TcpTable
from pinfeather.model.document import Document, EntryPoint
from pinfeather.model.match import Cookie, Header, leaves
from pinfeather.model.normal import lifted
from pinfeather.model.overlap import same_host
from pinfeather.model.request import undotted
from pinfeather.testing.probes import ANYWHERE, probes
from pinfeather.verify.binomial import to_notice_each, to_see, to_see_each, to_tell
from pinfeather.verify.column import Column, Expected
from pinfeather.verify.effects import guarded

READS = ("GET", "HEAD")
LEAST = 3
"""Requests of a question whose answer is always the same."""
MOST = 120
"""Probes that are made of a document."""
_OF_THE_HOP = frozenset(
    ("connection", "content-length", "expect", "host", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade")
)  # fmt: skip
"""Fields that decide how a request is read: who makes one up sends something else than was meant."""


@dataclass(frozen=True, slots=True)
class Question:
    """A request, the cookies of whom it comes from (name and what it stands for), and the password that is given."""

    request: Request
    bound: tuple[tuple[str, str], ...] = ()
    user: str | None = None
    told: bool = False
    """Whether the entry point is said."""

    @property
    def text(self) -> str:
        """As a line of the table."""
        return shown(self.request, self.bound, self.user) + (f" at {self.request.entry_point}" if self.told else "")


@dataclass(slots=True)
class Plan:
    questions: list[Question] = field(default_factory=list)
    left: dict[str, int] = field(default_factory=dict)
    """Why probes are not asked, and how many."""

    def leave(self, why: str) -> None:
        self.left[why] = self.left.get(why, 0) + 1


def shown(request: Request, bound: Iterable[tuple[str, str]] = (), user: str | None = None) -> str:
    """A request in the words of curl, without `curl`, its method in front."""
    words = line(request._replace(entry_point="", client="127.0.0.1")).removeprefix("curl ").removeprefix("-I ")
    words = words.removeprefix(f"-X {request.method} ")
    said = [request.method, words]
    said += [f"--bound {name}={what}" for name, what in bound]
    said += [f"--user {user.partition(':')[0]}"] if user is not None else []
    said += [f"--from {request.client}"] if request.client != "127.0.0.1" else []
    return " ".join(said)


def plan(document: Document, columns: Sequence[Column], methods: Sequence[str], *, bound: bool, user: str | None) -> Plan:
    """The questions that can be asked of these proxies. `methods`: none is any. `bound`: also of clients whose cookies are made up here."""
    found = Plan()
    known = ("", *entry_points(document))
    points = tuple(dict.fromkeys(point for column in columns for point in column.entries if point in known))
    if not points:
        return found
    with_tls = tls_points(document)
    streams = TcpTable.of(document) if document.tcp_routes else None
    seen: dict[tuple[object, ...], Question] = {}
    for request, state in probes(document, MOST):
        if state.servers or "nobody" in request.bindings.values() or (request.bindings and not bound):
            continue
        for asked in _placed(_secured(document, request), points, columns, with_tls):
            if asked is None:
                if not request.bindings:
                    _left(found, document, request, points, with_tls)
                continue
            if (why := _not_asked(asked, columns, methods) or _tcp_takes(document, streams, asked)) is not None:
                found.leave(why)
                continue
            whose = tuple(sorted(request.bindings.items()))
            plain = asked._replace(bindings={})
            told = asked.entry_point != points[0] and len(points) > 1
            leads = not whose and not told and any(one.service for one in columns[0].expected(plain))
            alike = [Question(each) for each in _lookalikes(document, plain)] if leads else []
            for question in (Question(plain, whose, None, told), *alike):
                seen.setdefault((question.text, question.request.tls), question)
    for question in sorted(seen.values(), key=lambda one: _place(columns[0], one)):
        found.questions.append(question)
        if user is not None and guarded(document) and not question.bound:
            found.questions.append(replace(question, user=user))
    return found


def _place(column: Column, question: Question) -> tuple[bool, bool, int, int]:
    """Where a question stands in the table: what most services answer first, the plainest of them; refusals later, bound clients last."""
    if question.bound:
        return True, False, 0, 0
    services = {one.service for one in column.expected(question.request)}
    return False, services == {""}, -len(services), len(question.request.headers)


def _secured(document: Document, request: Request) -> Request:
    """The request with TLS, where its entry point speaks nothing else."""
    point = document.entry_points.get(request.entry_point)
    if request.tls or not isinstance(point, EntryPoint) or point.tls is not True:
        return request
    return request._replace(tls=True, sni=request.host)


def _placed(request: Request, points: Sequence[str], columns: Sequence[Column], with_tls: frozenset[str]) -> Iterator[Request | None]:
    """The request at its entry point; one that names none at the first, and if it is plain at the others, too. None: it cannot be sent."""
    if request.entry_point not in ("", ANYWHERE):
        yield _fitted(request, points, columns, with_tls)
        return
    yield _fitted(request._replace(entry_point=points[0]), points, columns, with_tls)
    if request.bindings or request.headers:
        return
    for point in points[1:]:
        address = columns[0].address(point)
        tls = address.tls if address is not None and address.tls is not None else point in with_tls
        there = _fitted(request._replace(entry_point=point, tls=tls, sni=request.host if tls else ""), points, columns, with_tls)
        if there is not None and any(one.service for one in columns[0].expected(there)):
            yield there


def _not_asked(request: Request, columns: Sequence[Column], methods: Sequence[str]) -> str | None:
    """Why a request that could be sent is not."""
    if request.method in ("CONNECT", "TRACE"):
        return f"they are {request.method}, which no proxy routes"
    if methods and request.method not in methods:
        return f"they are {request.method}: say --methods {request.method}"
    if request.method == "HEAD" and not all(column.identify.of_head for column in columns):
        return "they are HEAD, whose answer has no body to find a name in: say --identify header:NAME"
    name = next((name for name, _ in request.headers if name.startswith(("x-forwarded-", "x-real-ip"))), None)
    if name is not None:
        return f"they say {name!r}, which a proxy believes of nobody, or of whom it trusts"
    name = next((name for name, _ in request.headers if name in _OF_THE_HOP), None)
    return None if name is None else f"they say {name!r}, which decides how a request is read"


def _tcp_takes(document: Document, streams: TcpTable | None, request: Request) -> str | None:
    """Why a request may never be read as HTTP: in plain TCP routes come first, with TLS where no HTTP route names the host."""
    connection = Connection(request.entry_point, request.tls, (request.sni or None) if request.tls else None, client=request.client)
    if streams is None or (way := streams.first(connection)) is None:
        return None
    name = undotted(request.sni.lower())
    if request.tls and any(same_host(host, name) for route in document.routes for host in lifted(route).hosts if host != "*"):
        return None
    return f"the TCP route {document.tcp_routes[way.rung.route].name!r} takes the connection"


def _fitted(request: Request, points: Sequence[str], columns: Sequence[Column], with_tls: frozenset[str]) -> Request | None:
    """The request as it can be sent, or None."""
    point = request.entry_point
    if point not in points and "" not in points:
        return None
    address = columns[0].address(point)
    if address is not None and address.tls is not None:
        if address.tls is not request.tls:
            return None
    elif request.tls and point not in with_tls:
        return None
    if request.client != "127.0.0.1" and not (columns[0].client_known and request.client.startswith("127.")):
        return None
    return request


def _left(found: Plan, document: Document, request: Request, points: Sequence[str], with_tls: frozenset[str]) -> None:
    if request.entry_point not in points and "" not in points:
        if request.entry_point in entry_points(document):
            found.leave(
                f"they come in at the entry point {request.entry_point!r}, whose URL is not known: say --url {request.entry_point}=URL"
            )
    elif request.client != "127.0.0.1":
        found.leave(f"they come from {request.client}")
    elif request.entry_point not in with_tls and not request.tls:
        found.leave("they come in without TLS, and the URL is https")


def tls_points(document: Document) -> frozenset[str]:
    """The entry points at which some HTTP route, or all, ask for TLS."""
    found = {name for name, point in document.entry_points.items() if isinstance(point, EntryPoint) and point.tls}
    for route in document.routes:
        if route.tls is not None and route.tls.terminate:
            found.update(route.entry_points or entry_points(document))
    return frozenset(found)


def entry_points(document: Document) -> tuple[str, ...]:
    """Every entry point that HTTP routes are asked at: those of the document, and those that routes name; else `web`."""
    found = dict.fromkeys((*document.entry_points, *(point for route in document.routes for point in route.entry_points)))
    only_tcp = {point for route in document.tcp_routes for point in route.entry_points} - {
        point for route in document.routes for point in route.entry_points
    }
    kept = tuple(point for point in found if point not in only_tcp)
    return kept or ("web",)


# Look-alikes --------------------------------------------------------------------------------------------------------------


def _lookalikes(document: Document, request: Request) -> Iterator[Request]:
    """The same request with a cookie in which the wanted one can be found, and which is not it."""
    for name, value in request.headers:
        if name == "cookie" and value in _wanted(document):
            cookie, _, content = value.partition("=")
            headers = tuple((key, f"not{cookie}={content}{content[-1:]}" if text == value else text) for key, text in request.headers)
            yield request._replace(headers=headers)


def _wanted(document: Document) -> frozenset[str]:
    """The cookies, `name=value`, that some condition asks for, or searches the Cookie header for."""
    found = set()
    for route in document.routes:
        for match in (route.match, *(canary.when for canary in route.canaries)):
            for leaf in leaves(match) if match is not None else ():
                if isinstance(leaf, Cookie) and leaf.cookie.value is not None:
                    found.add(f"{leaf.cookie.name}={leaf.cookie.value}")
                elif isinstance(leaf, Header) and leaf.header.name.lower() == "cookie" and leaf.header.regex is not None:
                    found.add(literal(leaf.header.regex))
    return frozenset(found)


def literal(regex: str) -> str:
    """The text that a regex such as `.*canary=v2.*` looks for; empty for any other."""
    text = regex.removeprefix("^").removesuffix("$").removeprefix(".*").removesuffix(".*")
    return text if all(character.isalnum() or character in "=_-" for character in text) else ""


# How often ----------------------------------------------------------------------------------------------------------------


Rungs = tuple[frozenset[tuple[str, int | None]], str, bool]


def rungs(question: Question, expected: Iterable[Expected]) -> Rungs:
    """The routes and canaries that answer a question, its entry point, and whether TLS is spoken."""
    return frozenset((one.route, one.canary) for one in expected), question.request.entry_point, question.request.tls


def counts(
    questions: Sequence[Question],
    expected: Sequence[tuple[Expected, ...]],
    doubt: Fraction,
    exact: bool,
    instead: Sequence[tuple[Expected, ...]] = (),
) -> list[int]:
    """How often each question is to be sent: the first of those that one route, or one canary, answers at an entry point with the same
    shares so often that another share would be noticed (`binomial.to_notice`), and each server that pins somebody is seen; the others so
    often that they are told from every other expectation. Raises ValueError where that is too often. `instead`: what else may happen to
    each, which the first of them is told from, too.
    """
    shares = [_shares(each, exact) for each in expected]
    kinds = list(dict.fromkeys(tuple(each.items()) for each in shares))
    whole: set[tuple[object, ...]] = set()
    found = []
    others = [_shares(each, exact) for each in instead] or shares
    for question, each, other_shares, outcomes in zip(questions, shares, others, expected, strict=True):
        kind = tuple(each.items()), rungs(question, outcomes)
        if kind not in whole:
            whole.add(kind)
            servers = _shares(outcomes, True).values() if any(one.bound for one in outcomes) else ()
            found.append(max(LEAST, to_notice_each(each.values(), doubt), to_see_each(servers, doubt), _told(each, other_shares, doubt)))
        else:
            found.append(max([LEAST, *(_apart(each, dict(other), doubt) for other in kinds if other != kind[0])]))
    return found


def _shares(expected: Iterable[Expected], exact: bool) -> dict[str, Fraction]:
    found: dict[str, Fraction] = {}
    for one in expected:
        who = one.server if exact and one.server else one.who
        found[who] = found.get(who, Fraction(0)) + one.share
    return found


def _told(this: Mapping[str, Fraction], other: Mapping[str, Fraction], doubt: Fraction) -> int:
    """How many answers tell two distributions apart, by the share that tells most; 1 where they are the same.

    Raises ValueError where none of the shares tells them apart by so many as may be asked.
    """
    pairs = [(this.get(who, Fraction(0)), other.get(who, Fraction(0))) for who in {**this, **other}]
    found: list[int] = []
    near = [pair for pair in pairs if pair[0] != pair[1]]
    problem: ValueError | None = None
    for share, instead in near:
        try:
            found.append(to_tell(share, instead, doubt))
        except ValueError as too_near:  # another share may tell
            problem = too_near
    if problem is not None and not found:
        raise problem
    return min(found, default=1)


def _apart(this: Mapping[str, Fraction], other: Mapping[str, Fraction], doubt: Fraction) -> int:
    """How many answers tell two expectations apart: one comes that the other never gives, one stays away that the other gives."""
    here = sum((share for who, share in this.items() if who not in other), Fraction(0))
    there = sum((share for who, share in other.items() if who not in this), Fraction(0))
    most = max(here, there)
    return to_see(most, doubt) if most else to_see_each(this.values(), doubt)
