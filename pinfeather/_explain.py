"""Why a request goes where it goes: the decision core's own steps, each with the line that it stands on.

Nothing is decided here. `trace` says how the ladder was gone down, `rivals` who else would have taken the request, `outcomes`
where it comes out, in exact shares.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from pinfeather.model.decide import Decision, Kind, Outcomes, Request, State, Step, Table, outcomes, trace
from pinfeather.model.diagnostics import Path, Span, dotted, span_at
from pinfeather.model.document import Document, canary_name
from pinfeather.model.match import Header, Match, Not
from pinfeather.model.normal import Rung
from pinfeather.model.noun import compile_regex, external
from pinfeather.model.request import searched
from pinfeather.model.services import LoadBalancer, Split
from pinfeather.model.sticky import Sticky, set_cookie
from pinfeather.model.trace import rivals
from pinfeather.translators.contract import NOTHING, Identity


@dataclass(frozen=True, slots=True)
class Place:
    """A thing of the document: its path, and where it was read from."""

    path: str
    span: Span | None


@dataclass(frozen=True, slots=True)
class Told:
    """One step of the decision."""

    kind: str
    holds: bool
    said: str
    share: Fraction | None
    place: Place


@dataclass(frozen=True, slots=True)
class Lost:
    """A route or canary that did not take the request."""

    name: str
    why: str
    would_hold: bool
    """It would have taken it, had nobody come before."""
    place: Place


@dataclass(frozen=True, slots=True)
class Passed:
    """A middleware on the way; `inside`: the chain that names it."""

    name: str
    kind: str
    inside: str | None
    place: Place


@dataclass(frozen=True, slots=True)
class Given:
    """A cookie that an answer sets, or that the client has and keeps."""

    name: str
    to: str
    """The variant, or the key of the server."""
    text: str
    """As Set-Cookie has it; the value in angle brackets where it is not known. Empty for one that is kept."""
    why: str


@dataclass(frozen=True, slots=True)
class Leads:
    """Where so many of all draws lead."""

    share: Fraction
    decision: Decision
    cookies: tuple[Given, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything there is to say of one request."""

    request: Request
    table: Table
    won: Rung | None
    leads: tuple[Leads, ...]
    middlewares: tuple[Passed, ...]
    steps: tuple[Told, ...]
    lost: tuple[Lost, ...]
    notes: tuple[str, ...]


def explain(
    document: Document,
    request: Request,
    state: State | None = None,
    *,
    spans: Mapping[Path, Span] = NOTHING,
    identity: Identity | None = None,
) -> Explanation:
    """Explains one request. `identity`: the cookie values of the target, where they can be known.

    Raises pinfeather.model.table.UndecidedError, a ValueError, where a template stands in the document.
    """
    return _Explaining(document, request, state or State(), spans, identity or Identity()).explanation()


class _Explaining:
    def __init__(self, document: Document, request: Request, state: State, spans: Mapping[Path, Span], identity: Identity) -> None:
        self.document, self.state, self.spans, self.identity = document, state, spans, identity
        self.table = Table.of(document)
        self.notes: list[str] = []
        self.request = replace(request, bindings={**self._known(request), **request.bindings})

    def explanation(self) -> Explanation:
        steps = trace(self.table, self.request, self.state)
        tried = [step for step in steps if step.kind in (Kind.ROUTE, Kind.CANARY)]
        after = [step for step in steps if step.kind not in (Kind.ROUTE, Kind.CANARY)]
        won = self.table.order[len(tried) - 1] if tried and tried[-1].holds else None
        if won is not None:
            self.notes += self._found_inside(won)
        found = outcomes(self.table, self.request, self.state)
        told = [self._told(step) for step in ([tried[-1]] if won is not None else []) + after]
        return Explanation(
            self.request,
            self.table,
            won,
            tuple(self._leads(found)),
            tuple(self._passed(found)),
            tuple(told),
            tuple(self._lost(tried)),
            tuple(self.notes),
        )

    def _place(self, path: Path) -> Place:
        return Place(dotted(path), span_at(self.spans, path))

    def _told(self, step: Step) -> Told:
        return Told(step.kind.value, step.holds, step.said, step.share, self._place(step.path))

    # Who lost ---------------------------------------------------------------------------------------------------------

    def _lost(self, tried: list[Step]) -> Iterator[Lost]:
        for rung, step in zip(self.table.order, tried, strict=False):
            if not step.holds and step.path != ("routes",):
                place = self._place(step.path)
                yield Lost(self._name(rung), _failed(step.path), False, place)
        for rival in rivals(self.table, self.request, self.state):
            yield Lost(self._name(rival.rung), rival.why, True, self._place(rival.path))

    def _name(self, rung: Rung) -> str:
        route = self.document.routes[rung.route]
        return f"route {route.name}" if rung.canary is None else f"canary {canary_name(route, rung.canary)}"

    # Where it leads ---------------------------------------------------------------------------------------------------

    def _leads(self, found: Outcomes) -> Iterator[Leads]:
        merged: dict[Decision, Fraction] = {}
        for low, high, decision in found.parts:
            merged[decision] = merged.get(decision, Fraction(0)) + high - low
        for decision, share in sorted(merged.items(), key=lambda each: -each[1]):
            yield Leads(share, decision, tuple(self._cookies(decision)))

    def _cookies(self, decision: Decision) -> Iterator[Given]:
        for binding in decision.set_cookies:
            value = self._value(decision, binding.value)
            held = self.request.bindings.get(binding.cookie.name)
            why = f"instead of {held}, which does not count any more" if held is not None else "nothing bound the client on this level"
            yield Given(binding.cookie.name, binding.value, set_cookie(binding.cookie, value or f"<{binding.value}>"), why)

    def _value(self, decision: Decision, to: str) -> str | None:
        owners = [decision.service, decision.route, *self.document.services]
        return next((value for owner in owners if owner and (value := self._of(owner, to)) is not None), None)

    def _of(self, owner: str, to: str) -> str | None:
        return self.identity.servers.get((owner, to)) or self.identity.variants.get((owner, to))

    def _passed(self, found: Outcomes) -> Iterator[Passed]:
        seen: dict[str, None] = {}
        for part in found.parts:
            seen.update(dict.fromkeys(part.decision.middlewares))
        for name in seen:
            yield from self._opened(name, None, ())

    def _opened(self, name: str, inside: str | None, above: tuple[str, ...]) -> Iterator[Passed]:
        middleware = self.document.middlewares.get(name)
        if middleware is None:
            kind = "another provider's" if external(name) else "not there"
        else:
            kind = middleware.kind if middleware.other is None else middleware.other.kind
        yield Passed(name, kind, inside, self._place(("middlewares", name)))
        if middleware is not None and middleware.chain is not None and name not in above:
            for part in middleware.chain.middlewares:
                yield from self._opened(part, name, (*above, name))

    # Cookies of the request ---------------------------------------------------------------------------------------------

    def _known(self, request: Request) -> dict[str, str]:
        """What the values of the request's own cookies stand for, where the target's can be computed."""
        sent: dict[str, str] = {}
        for name, value in _pairs(request):
            sent.setdefault(name, value.strip('"'))
        bindings: dict[str, str] = {}
        for owner, cookie, children in self._levels():
            if cookie not in sent:
                continue
            to = next((child for child in children if self._of(owner, child) == sent[cookie]), None)
            if to is not None:
                bindings.setdefault(cookie, to)
        for cookie in dict.fromkeys(cookie for _, cookie, _ in self._levels()):
            if cookie in sent and cookie not in bindings and cookie not in request.bindings:
                known = "it names nobody here" if self.identity.servers or self.identity.variants else "what it stands for is not known"
                self.notes.append(
                    f"the cookie {cookie}={sent[cookie]} is a sticky one; {known}: taken as absent. "
                    f"Say what it binds to with --bound {cookie}=WHAT"
                )
        return bindings

    def _levels(self) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        """Each sticky level: whose it is, its cookie, and what it can bind to."""
        for route in self.document.routes:
            if (name := _cookie(route.sticky)) is not None:
                yield route.name, name, tuple(entry.to for entry in route.split)
        for owner, service in self.document.services.items():
            if (name := _cookie(service.sticky)) is not None:
                servers = service.servers if isinstance(service, LoadBalancer) else ()
                split = service.split if isinstance(service, Split) else ()
                yield owner, name, (*(server.key for server in servers), *(entry.to for entry in split))

    # The trap -----------------------------------------------------------------------------------------------------------

    def _found_inside(self, won: Rung) -> Iterator[str]:
        """A regex over the whole Cookie header holds for a text that stands inside another cookie."""
        route = self.document.routes[won.route]
        conditions = [route.match] if won.canary is None else [route.match, route.canaries[won.canary].when]
        for leaf in (leaf for match in conditions if match is not None for leaf in _leaves(match)):
            if not isinstance(leaf, Header) or leaf.header.name.lower() != "cookie" or leaf.header.regex is None:
                continue
            search = compile_regex(leaf.header.regex)
            alone = [f"{name}={value}" for name, value in _pairs(self.request) if search(searched(f"{name}={value}"))]
            wanted = _literal(leaf.header.regex)
            odd = [pair for pair in alone if wanted and pair != wanted]
            if odd and wanted not in alone:
                yield (
                    f"the regex {leaf.header.regex} is held against the whole Cookie header, not against a cookie: it found "
                    f"{wanted!r} inside {' and '.join(odd)}. A condition on the cookie itself would not hold"
                )


def _literal(regex: str) -> str:
    """The text that a regex such as `.*canary=v2.*` looks for; empty for any other."""
    text = regex.removeprefix("^").removesuffix("$").removeprefix(".*").removesuffix(".*")
    return text if all(character.isalnum() or character in "=_-" for character in text) else ""


def _leaves(match: Match) -> Iterator[Match]:
    for name in ("all", "any"):
        if (parts := getattr(match, name, None)) is not None:
            for part in parts:
                yield from _leaves(part)
            return
    if not isinstance(match, Not):
        yield match


def _pairs(request: Request) -> Iterator[tuple[str, str]]:
    for header, value in request.headers:
        if header == "cookie":
            for piece in value.split(";"):
                name, equals, content = piece.strip(" \t").partition("=")
                if equals:
                    yield name, content


def _cookie(sticky: Sticky | None) -> str | None:
    return None if sticky is None or sticky.cookie is None else sticky.cookie.name


OTHER_HOST = "it is for another host"
_CONDITIONS = {
    "hosts": OTHER_HOST,
    "host": OTHER_HOST,
    "host_regex": OTHER_HOST,
    "path": "it is for another path",
    "entry_points": "it is for another entry point",
    "tls": "it is for TLS, or for no TLS, and the request is the other",
    "order": "who is bound to a variant is asked first",
    "cookie": "its condition on a cookie does not hold",
    "header": "its condition on a header does not hold",
    "query": "its condition on the query does not hold",
    "method": "it is for another method",
    "client_ip": "it is for other clients",
    "any": "none of its choices holds",
    "not": "what it excludes is there",
}


def _failed(path: Path) -> str:
    """What of a route failed, in words, by the path of the condition."""
    return next((_CONDITIONS[part] for part in reversed(path) if isinstance(part, str) and part in _CONDITIONS), "it does not hold")
