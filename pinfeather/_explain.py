"""Why a request goes where it goes: the decision core's own steps, each with the line that it stands on.

Nothing is decided here. `trace` says how the ladder was gone down, `rivals` who else would have taken the request, `outcomes`
where it comes out, in exact shares.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pinfeather._conditions import failed
from pinfeather._explanation import Explanation, Given, Leads, Lost, Place, merged, passed, told
from pinfeather.model.decide import Binding, Decision, Kind, Outcomes, Request, State, Step, Table, outcomes, trace
from pinfeather.model.decide_tcp import Connection, TcpTable
from pinfeather.model.diagnostics import Path, Span, dotted
from pinfeather.model.document import Document, canary_name
from pinfeather.model.match import Header, leaves
from pinfeather.model.normal import Rung, lifted, tcp_lifted
from pinfeather.model.noun import compile_regex
from pinfeather.model.request import bare_host, cookie_pairs, searched, undotted
from pinfeather.model.services import LoadBalancer, Split
from pinfeather.model.sticky import Sticky, set_cookie
from pinfeather.model.trace import rivals
from pinfeather.translators.contract import NOTHING, Identity


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
        self.request = request._replace(bindings={**self._known(request), **request.bindings})

    def explanation(self) -> Explanation:
        steps = trace(self.table, self.request, self.state)
        tried = [step for step in steps if step.kind in (Kind.ROUTE, Kind.CANARY)]
        won = self.table.order[len(tried) - 1] if tried[-1].holds else None
        way = [tried[-1], *steps[len(tried) :]] if won is not None else []
        if won is not None:
            self.notes += [*self._found_inside(won), *self._before_http(won)]
        elif not self.document.routes:
            self.notes.append("the document has no HTTP routes at all")
        found = outcomes(self.table, self.request, self.state)
        return Explanation(
            self.request,
            None if won is None else dotted(tried[-1].path),
            tuple(self._leads(found)),
            tuple(passed(found, self.document.middlewares, "middlewares", self.spans)),
            tuple(told(step, self.spans) for step in way),
            tuple(self._lost(tried)),
            tuple(self.notes),
        )

    # Who lost ---------------------------------------------------------------------------------------------------------

    def _lost(self, tried: list[Step]) -> Iterator[Lost]:
        for rung, step in zip(self.table.order, tried, strict=False):
            if not step.holds:
                part, said = failed(self.document, step.path, self.request)
                yield Lost(self._name(rung), said, False, part, None, Place.of(step.path, self.spans))
        for rival in rivals(self.table, self.request, self.state):
            numbers = (rival.first, rival.second)
            yield Lost(self._name(rival.rung), rival.why, True, rival.criterion, numbers, Place.of(rival.path, self.spans))

    def _name(self, rung: Rung) -> str:
        route = self.document.routes[rung.route]
        return f"route {route.name}" if rung.canary is None else f"canary {canary_name(route, rung.canary)}"

    # Where it leads ---------------------------------------------------------------------------------------------------

    def _leads(self, found: Outcomes) -> Iterator[Leads]:
        for decision, share in merged(found):
            yield Leads(share, decision, tuple(self._given(decision, binding) for binding in decision.set_cookies))

    def _given(self, decision: Decision, binding: Binding) -> Given:
        cookie, to = binding.cookie, binding.value
        text = set_cookie(cookie, self._value(decision, to) or f"<{to}>")
        return Given(cookie.name, to, text, self._why(decision, binding))

    def _why(self, decision: Decision, binding: Binding) -> str:
        held = self.request.bindings.get(binding.cookie.name)
        if decision.canary is not None and binding.value != decision.server_key:
            route = next(route for route in self.document.routes if route.name == decision.route)
            if route.canaries[decision.canary].binds and route.canaries[decision.canary].to == binding.value:
                return "the canary binds whom it takes" + ("" if held is None else f", who was bound to {held}")
        if held is not None:
            return f"a draw binds, instead of {held}, which does not count here"
        return "a draw binds, and nothing bound the client on this level"

    def _value(self, decision: Decision, to: str) -> str | None:
        owners = [decision.service, decision.route, *self.document.services]
        return next((value for owner in owners if owner and (value := self._of(owner, to)) is not None), None)

    def _of(self, owner: str, to: str) -> str | None:
        return self.identity.servers.get((owner, to)) or self.identity.variants.get((owner, to))

    # Cookies of the request ---------------------------------------------------------------------------------------------

    def _known(self, request: Request) -> dict[str, str]:
        """What the values of the request's own cookies stand for, where the target's can be computed."""
        sent: dict[str, str] = {}
        for name, value in cookie_pairs(request.headers):
            sent.setdefault(name, value.strip('"'))
        bindings: dict[str, str] = {}
        levels = [(owner, cookie, to) for owner, cookie, to in self._levels() if cookie in sent and cookie not in request.bindings]
        for owner, cookie, children in levels:
            to = next((child for child in children if self._of(owner, child) == sent[cookie]), None)
            if to is not None:
                bindings.setdefault(cookie, to)
        for cookie in dict.fromkeys(cookie for _, cookie, _ in levels):
            if cookie not in bindings:
                known = "it names nobody here" if self.identity.servers or self.identity.variants else "what it stands for is not known"
                said = f"the cookie {cookie}={sent[cookie]} is a sticky one; {known}: taken as absent"
                self.notes.append(f"{said}. Say what it binds to with --bound {cookie}=WHAT")
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

    # Traps --------------------------------------------------------------------------------------------------------------

    def _found_inside(self, won: Rung) -> Iterator[str]:
        """A regex over the whole Cookie header holds for a text that stands inside another cookie."""
        route = self.document.routes[won.route]
        conditions = [route.match] if won.canary is None else [route.match, route.canaries[won.canary].when]
        pairs = [f"{name}={value}" for name, value in cookie_pairs(self.request.headers)]
        for leaf in (leaf for match in conditions if match is not None for leaf in leaves(match)):
            if isinstance(leaf, Header) and leaf.header.name.lower() == "cookie" and leaf.header.regex is not None:
                core = _core(leaf.header.regex)
                odd = _inside(core, pairs) if core else []
                if odd:
                    yield (
                        f"the regex {leaf.header.regex} is held against the whole Cookie header, not against a cookie: it found "
                        f"{core!r} inside {' and '.join(odd)}. A condition on the cookie itself would not hold"
                    )

    def _before_http(self, won: Rung) -> Iterator[str]:
        """A TCP route of the same entry point takes the connection before any HTTP route is asked, in the order of Traefik 3.7.15."""
        request = self.request
        if not self.document.tcp_routes:
            return
        name = bare_host(request.host)
        connection = Connection(request.entry_point, request.tls, request.sni or None, (), request.client)
        way = TcpTable.of(self.document).first(connection)
        if way is None:
            return
        named = undotted(name) in lifted(self.document.routes[won.route]).hosts
        if not request.tls or (not named and tcp_lifted(self.document.tcp_routes[way.rung.route]).sni):
            yield f"the TCP route {way.route!r} takes this connection first: no HTTP route is asked"


def _core(regex: str) -> str:
    """What a regex such as `.*canary=v2.*` looks for, without what stands for anything around it. Empty where nothing is left."""
    return regex.removeprefix("^").removesuffix("$").removeprefix(".*").removesuffix(".*")


def _inside(core: str, pairs: list[str]) -> list[str]:
    """The cookies inside of which a regex is found, if it is not found as one cookie too."""
    found, whole, begins = (compile_regex(pattern) for pattern in (core, f"^(?:{core})$", f"^(?:{core})"))
    if any(whole(searched(pair)) or (core.endswith("=") and begins(searched(pair))) for pair in pairs):
        return []
    return [pair for pair in pairs if found(searched(pair))]


def _cookie(sticky: Sticky | None) -> str | None:
    return None if sticky is None or sticky.cookie is None else sticky.cookie.name
