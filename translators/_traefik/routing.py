"""Routers in Traefik's spelling: their rules and priorities, what is lifted into a canary, and the numbers that are written.

A router without a priority has the length of its rule's text (Traefik 3.7, pkg/muxer/http/mux.go). Numbers are therefore
read always and written always.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pinfeather.model.diagnostics import Code, Diagnostic, Path, Span, error, warning
from pinfeather.model.document import Document
from pinfeather.model.match import Match, PathIs, PathMatch, ServerNameIs, both, conjuncts, either
from pinfeather.model.normal import alone, conditions, lift, lifted, precedence, tcp_lifted
from pinfeather.model.noun import Template
from pinfeather.model.overlap import overlap
from pinfeather.model.routes import Observability, Route, TcpRoute, Tls
from pinfeather.translators._syntax.rule import RuleError, parse_http, parse_tcp, print_http, print_tcp, rule_length, tcp_rule_length
from pinfeather.translators._syntax.rule_doubts import Syntax, misread, refused, with_edit
from pinfeather.translators._syntax.rule_v2 import parse_http_v2, parse_tcp_v2
from pinfeather.translators._syntax.rule_v2_print import print_http_v2, print_tcp_v2
from pinfeather.translators._syntax.taking import Taking
from pinfeather.translators._syntax.tree import Spans, Tree
from pinfeather.translators._traefik.ladders import Ladder, Router, lift_canaries
from pinfeather.translators._traefik.nouns import DOMAIN, OBSERVABILITY, TEXTS, TLS, Key, Reader, Table, put, take
from pinfeather.translators._traefik.numbers import numbers, tcp_numbers

_HIGHEST = 2**63 - 1 - 1000
"""What Traefik keeps for itself begins above (pkg/server/router/router.go)."""
_NOWHERE = "nowhere@elsewhere"
EVERYTHING = PathIs.model_construct(path=PathMatch.model_construct(prefix="/"))
"""Holds for every request: Traefik wants a rule that says something."""


_SHELL = {
    side: Table((Key("entry_points", "entryPoints", TEXTS), Key("middlewares", "middlewares", TEXTS, section=f"{side}.middlewares")))
    for side in ("http", "tcp")
}
_HTTP_TLS = Table(TLS[1:])
_MORE = {"http": dict.fromkeys(("tls", "observability")), "tcp": dict.fromkeys(("tls",))}


def take_router(name: str, node: Taking, reader: Reader, *, tcp: bool) -> Router | None:
    """One router, or None where none can be made of it; the reason was reported."""
    side = "tcp" if tcp else "http"
    spans = Spans({(): node.spot, ("name",): node.key_spot})
    own = reader.with_spans(spans)
    tree = take(node, _SHELL[side], (), own)
    here = node.present(_MORE[side])
    if here and (tls := _take_tls(node, own, tcp=tcp)) is not None:
        tree["tls"] = tls
    if "observability" in here and (held := node.map("observability")) is not None:
        own.mark(("observability",), node, "observability")
        tree["observability"] = take(held, OBSERVABILITY, ("observability",), own)
    sound = True
    if not tcp and isinstance(node.value, dict) and "parentrefs" in map(str.lower, node.value):
        node.known("parentRefs", why="the model has no routers below routers, and this one is left out")
        sound = False
    service = node.text("service")
    if not service and sound:
        node.error(Code.VALUE, f"the router {name!r} has no service: Traefik disables it", instead="add `service: NAME`")
    priority = node.integer("priority", -(2**63), _HIGHEST)
    match, length = take_rule(name, node, reader, spans, tcp=tcp)
    if match is None or not service or not sound:
        return None
    own.mark(("to",), node, "service")
    if priority:
        own.mark(("priority",), node, "priority")
    return Router(name, match, reader.local(service, f"{side}.services"), priority or length, not priority, tree, node, spans)


def _take_tls(node: Taking, reader: Reader, *, tcp: bool) -> Tree:
    tls = node.map("tls", may_be_true=True)
    if tls is None:
        return None
    reader.mark(("tls",), node, "tls")
    tree = take(tls, TLS if tcp else _HTTP_TLS, ("tls",), reader)
    if tree.get("passthrough") is True:
        tree["terminate"] = False
    domains: list[Tree] = []
    for item in tls.list("domains"):
        here: Path = ("tls", "domains", len(domains))
        reader.spans[here] = item.spot
        domains.append(take(item, DOMAIN, here, reader))
    if domains:
        tree["domains"] = domains
    return tree


def take_rule(
    name: str, node: Taking, reader: Reader, spans: Spans, *, tcp: bool, keys: tuple[str, str] = ("rule", "ruleSyntax")
) -> tuple[Match | None, int]:
    """The match of the rule, and the rule's own priority. `keys`: what the rule and its syntax are called."""
    key, syntax_key = keys
    rule = node.text(key)
    syntax = node.text(syntax_key) if reader.version >= (3, 0) else None
    if not rule:
        node.error(Code.RULE, f"the router {name!r} has no rule: Traefik disables it", instead=f"add `{key}: Host(`…`)`")
        return None, 0
    spans[("match",)] = node.spot_of(key)
    if syntax not in (None, "", "v2", "v3", "default"):
        said = f"{syntax_key} {syntax!r} is not known: Traefik takes it for v3 without a word"
        node.report(warning(Code.ASSUMED, said, instead="write v2 or v3", span=node.span_of(syntax_key)))
    old = syntax == "v2" or reader.version < (3, 0)
    expressions = reader.expressions if isinstance(rule, Template) else None  # braces in a plain rule are braces
    try:
        if old:
            match, notes = (parse_tcp_v2 if tcp else parse_http_v2)(rule, expressions)
        else:
            match, notes = (parse_tcp if tcp else parse_http)(rule, expressions), ()
    except RuleError as fault:
        if not old and (doubt := refused(name, rule, Syntax(tcp, expressions))) is not None:
            _doubt(doubt, node, rule, spans[("match",)], reader, tcp=tcp)
            return None, 0
        said = f"the rule of {name!r} cannot be read: {fault.message}"
        node.report(error(Code.RULE, said, instead=fault.instead, span=_inside(node.span_of(key), rule, fault.offset, reader)))
        return None, 0
    for note in notes:
        node.report(warning(Code.ASSUMED, note, span=node.span_of(key)))
    if not old and (doubt := misread(name, rule, match, Syntax(tcp, expressions))) is not None:
        _doubt(doubt, node, rule, spans[("match",)], reader, tcp=tcp)
    return match, (tcp_rule_length if tcp else rule_length)(rule)


def _doubt(doubt: Diagnostic, node: Taking, rule: str, span: Span, reader: Reader, *, tcp: bool) -> None:
    """Reports it at the rule. Compose writes `$$` for `$`."""
    doubled = reader.provider == "docker" and reader.expressions is not None
    node.report(with_edit(doubt, rule, reader.text_of(span.file), span, Syntax(tcp, reader.expressions), doubled=doubled))


def _inside(span: Span, rule: str, offset: int, reader: Reader) -> Span:
    """Where a character of the rule stands: exactly, if the rule is written in one line and without escapes."""
    lines = re.split(r"\r\n|\r|\n", reader.text_of(span.file))
    if span.line != span.end_line or not 0 < span.line <= len(lines):
        return span
    begin = lines[span.line - 1].find(rule, span.column - 1, span.end_column - 1)
    if begin < 0:
        return span
    return span._replace(column=begin + offset + 1)


# Routes ----------------------------------------------------------------------------------------------------------------


def routes_of(routers: Sequence[Router], section: str, spans: Spans, *, lift: bool) -> list[Tree]:
    """The trees of the routes at `section`; with `lift`, what is another router with one more condition is its canary."""
    return trees_of(lift_canaries(routers) if lift else [(router, []) for router in routers], section, spans)


def trees_of(ladders: Iterable[Ladder], section: str, spans: Spans) -> list[Tree]:
    """The same for canaries that were lifted already."""
    found: list[Tree] = []
    for base, canaries in ladders:
        tree = {
            "name": base.name,
            **_conditions(base.match, tcp=section == "tcp_routes"),
            "to": base.to,
            "priority": base.priority,
            **base.tree,
        }
        own = base.spans.spots
        own[("hosts",)] = own[("path",)] = own[("sni",)] = own[("match",)]
        spans.put_below((section, len(found)), base.spans)
        below: list[Tree] = []
        for router, when in canaries:
            here: Path = ("canaries", len(below))
            below.append({"name": router.name, "when": _plain(when), "to": router.to, "priority": router.priority})
            own.update({here + new: spot for old, new in _OF_CANARY if (spot := router.spans.spots.get(old)) is not None})
        if below:
            tree["canaries"] = below
        found.append(tree)
    return found


_OF_CANARY: tuple[tuple[Path, Path], ...] = (
    ((), ()), (("name",), ("name",)), (("match",), ("when",)), (("to",), ("to",)), (("priority",), ("priority",)),
)  # fmt: skip


def _conditions(match: Match, *, tcp: bool) -> dict[str, Tree]:
    """A match as the fields of a route: its hosts and path, or its server names, and what is left."""
    if tcp:
        route = tcp_lifted(TcpRoute.model_construct(name="r", match=match, to=_NOWHERE))
        parts: dict[str, Tree] = {"sni": list(route.sni)}
        rest = route.match
    else:
        form = lift(match)
        parts = {"hosts": list(form.hosts), "path": None if form.path is None else _path(form.path)}
        rest = form.match
    parts["match"] = None if rest is None else _plain(rest)
    return {key: value for key, value in parts.items() if value}


def _path(path: PathMatch) -> Tree:
    texts = ((key, text) for key, text in path.__dict__.items() if text is not None)
    return {key: {"template": str(text)} if isinstance(text, Template) else text for key, text in texts}


def _plain(match: Match) -> Tree:
    tree: Tree = match.model_dump(mode="json", exclude_none=True)
    return tree


def _bare(router: Router) -> Route:
    points = router.tree.get("entry_points")
    names = tuple(str(point) for point in points) if isinstance(points, list) else ()
    return Route.model_construct(name=router.name, match=router.match, to=_NOWHERE, entry_points=names)


def say_assumed(routers: Sequence[Router]) -> None:
    """Reports each router that comes before another one by the length of a rule's text alone.

    Where the more specific router comes first anyway, or where no request can hold for both, nothing is said.
    """
    if len(routers) < 2 or not any(router.assumed for router in routers):
        return
    routes = tuple(_bare(router).model_copy(update={"name": f"r{index}"}) for index, router in enumerate(routers))
    places = []
    for order in (routes, routes[::-1]):  # two routes of one rank come in the order of the document
        ranked = [order[rung.route].name for rung in precedence(Document.model_construct(routes=order))]
        places.append({name: place for place, name in enumerate(ranked)})
    forms = [lifted(route) for route in routes]
    groups: dict[str, list[int]] = {}
    for index, form in enumerate(forms):
        for host in form.hosts if form.hosts and not any("*" in name for name in form.hosts) else ("",):
            groups.setdefault(host, []).append(index)
    everywhere = groups.pop("", [])
    said: set[int] = set()
    for members in (*groups.values(), []):
        among = sorted({*members, *everywhere}, key=lambda index: -routers[index].priority)
        for place, first in enumerate(among):
            one = routers[first]
            for second in among[place + 1 :] if first not in said else ():
                other = routers[second]
                if one.priority == other.priority or not (one.assumed or other.assumed):
                    continue
                specific = all(ranks[forms[first].name] < ranks[forms[second].name] for ranks in places)
                if specific or ("tls" in one.tree) != ("tls" in other.tree) or not overlap(forms[first], forms[second]):
                    continue
                said.add(first)
                _by_length(one, other)
                break


def _by_length(one: Router, other: Router) -> None:
    numbers = f"{one.priority} before {other.priority}"
    text = f"{one.name!r} comes before {other.name!r} by the length of a rule's text alone ({numbers})"
    span = (one if one.assumed else other).spans[("match",)]
    one.node.report(warning(Code.ASSUMED, text, instead="give both a `priority`: these numbers are written from now on", span=span))


# Writing ---------------------------------------------------------------------------------------------------------------


class Rules(NamedTuple):
    """How rules are written: for which version, and whether templates are printed to the letter."""

    version: tuple[int, int] = (3, 7)
    templates: bool = False

    def http(self, match: Match) -> str:
        """The rule of an HTTP match. Raises Unsayable."""
        return (print_http if self.version >= (3, 0) else print_http_v2)(match, templates=self.templates)

    def tcp(self, match: Match) -> str:
        """The rule of a TCP match. Raises Unsayable."""
        return (print_tcp if self.version >= (3, 0) else print_tcp_v2)(match, templates=self.templates)


V3 = Rules()


def put_routers(document: Document, splits: Mapping[str, str], rules: Rules = V3) -> dict[str, Tree]:
    """Every route and canary as a router, in their order. `splits`: the service that holds the split of a route, by name."""
    found: dict[str, Tree] = {}
    for rung, number in numbers(document).items():
        route = document.routes[rung.route]
        if rung.canary is not None:
            single = alone(route, rung.canary)
            assert single is not None, "a canary that binds is not given to a format that cannot say it"
            route = single
        rule = rules.http(both(conditions(lifted(route))) or EVERYTHING)
        router: dict[str, Tree] = {**_put_shell(route), "rule": rule, "priority": number, "service": route.to or splits[route.name]}
        if route.tls is not None:
            router["tls"] = _put_tls(route.tls)
        if route.observability is not None:
            router["observability"] = put_observability(route.observability)
        found[route.name] = router
    return found


def put_tcp_routers(document: Document, splits: Mapping[str, str], rules: Rules = V3) -> dict[str, Tree]:
    """The same for TCP."""
    found: dict[str, Tree] = {}
    for index, number in tcp_numbers(document).items():
        route = document.tcp_routes[index]
        router: dict[str, Tree] = {
            **_put_shell(route),
            "rule": tcp_rule(route, rules),
            "priority": number,
            "service": route.to or splits[route.name],
        }
        if route.tls is not None:
            router["tls"] = _put_tls(route.tls)
        found[route.name] = router
    return found


def tcp_rule(route: TcpRoute, rules: Rules = V3) -> str:
    form = tcp_lifted(route)
    names = (either(tuple(ServerNameIs.model_construct(sni=name) for name in form.sni)),) if form.sni else ()
    return rules.tcp(both((*names, *conjuncts(form.match))) or ServerNameIs.model_construct(sni="*"))


def _put_shell(route: Route | TcpRoute) -> dict[str, Tree]:
    return put(route, _SHELL["http"])


def put_observability(observability: Observability) -> dict[str, Tree]:
    return put(observability, OBSERVABILITY)


def _put_tls(tls: Tls) -> dict[str, Tree]:
    domains: list[Tree] = [put(domain, DOMAIN) for domain in tls.domains]
    return {**put(tls, TLS), **({"domains": domains} if domains else {})}
