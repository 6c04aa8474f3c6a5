"""Routes: which of two wins, which never does, and what one lets past another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pinfeather.model import match as m
from pinfeather.model.diagnostics import Code, Diagnostic, Path, info, warning
from pinfeather.model.document import Document, canary_name
from pinfeather.model.features import Feature, places, walk
from pinfeather.model.normal import lifted, precedence
from pinfeather.model.noun import Template
from pinfeather.model.overlap import covers, overlap, tls_gaps
from pinfeather.model.routes import Route

MANY = 2000
"""Beyond so many routes, only those that name a host in common are compared."""
NEAR = 100
"""Of more candidates than twice this, the first and the last so many are looked at."""


class _Asked(NamedTuple):
    """A route, or a canary as if it were one, in its place of the order: lifted, with what it is called and where it stands."""

    form: Route
    path: Path
    route: int
    canary: int | None


def _in_order(document: Document) -> list[_Asked]:
    found: list[_Asked] = []
    for rung in precedence(document):
        route = document.routes[rung.route]
        path: Path = ("routes", rung.route)
        if rung.canary is None:
            found.append(_Asked(lifted(route), path, rung.route, None))
            continue
        canary = route.canaries[rung.canary]
        own = {"name": canary_name(route, rung.canary), "priority": canary.priority, "canaries": ()}
        both = m.both((*m.conjuncts(route.match), canary.when))
        form = lifted(route.model_copy(update={**own, "match": both}))
        found.append(_Asked(form, (*path, "canaries", rung.canary), rung.route, rung.canary))
    return found


def _orders(document: Document) -> Iterator[Diagnostic]:
    """Of each route: the first one before it, or beside it, that takes what it asks for."""
    asked = _in_order(document)
    by_host: dict[str, list[_Asked]] = {}
    everywhere: list[_Asked] = []  # those that may hold for hosts that they do not name
    for place, each in enumerate(asked):
        hosts = each.form.hosts
        wide = not hosts or any(host.startswith("*") for host in hosts)
        if wide and len(asked) <= MANY:
            before = asked[:place]
        else:
            before = [*everywhere, *(other for host in hosts for other in by_host.get(host, ()))]
        finding = _compared(each, before if len(before) <= 2 * NEAR else [*before[:NEAR], *before[-NEAR:]])
        if finding is not None:
            yield finding
        if wide:
            everywhere.append(each)
        for host in () if wide else hosts:
            by_host.setdefault(host, []).append(each)


def _compared(each: _Asked, before: list[_Asked]) -> Diagnostic | None:
    tie: Diagnostic | None = None
    for other in before:
        if other.route == each.route and each.canary is not None and other.canary is not None:
            continue  # canaries of one route: the first that holds wins, as it says
        same = _same_number(each.form, other.form)
        if covers(other.form, each.form):
            return _never(each, other, tied=same)
        if same and covers(each.form, other.form) and _is_canary(other.form, each.form):
            return _never(other, each, tied=True)
        if same and tie is None and other.route != each.route and _meet(each.form, other.form):
            tie = _tie(each, other)
    return tie


def _meet(one: Route, other: Route) -> bool:
    """Traefik asks routers with `tls` about TLS requests, and those without about the others."""
    return (one.tls is None) == (other.tls is None) and overlap(one, other)


def _same_number(one: Route, other: Route) -> bool:
    return one.priority is not None and one.priority == other.priority and not isinstance(one.priority, Template)


def _is_canary(narrow: Route, wide: Route) -> bool:
    """Whether a route asks for a header, cookie or query more than one of the same hosts and path."""
    more = [part for part in m.conjuncts(narrow.match) if part not in m.conjuncts(wide.match)]
    kinds = (m.Header, m.Cookie, m.Query)
    return (narrow.hosts, narrow.path) == (wide.hosts, wide.path) and any(
        isinstance(leaf, kinds) for part in more for leaf in m.leaves(part)
    )


def _never(each: _Asked, winner: _Asked, *, tied: bool) -> Diagnostic | None:
    """What to say of a route all of whose requests another one takes, before it or by chance."""
    name, other = each.form.name, winner.form.name
    where = (*each.path, "priority")
    if _is_canary(each.form, winner.form):
        how = "wins at random against" if tied else "never wins against"
        said = f"{name!r} asks for more than {other!r} and {how} it: its priority is {'the same' if tied else 'lower'}"
        return warning(Code.CANARY_PRIORITY, said, where, instead=f"give {name!r} a higher priority than {other!r}")
    if tied:
        return _tie(each, winner)
    said = f"{name!r} can never win: {other!r} takes all that it asks for and comes first"
    return warning(Code.NEVER_WINS, said, each.path, instead="remove it, give it a higher priority, or let it ask for something else")


def _tie(each: _Asked, other: _Asked) -> Diagnostic:
    later, first = (each, other) if each.path > other.path else (other, each)
    said = f"{later.form.name!r} and {first.form.name!r} have the same priority and may hold for one request"
    hint = "give them two priorities: Traefik would choose at random"
    return warning(Code.PRIORITY_TIE, said, (*later.path, "priority"), instead=hint)


def _mixed_tls(document: Document) -> Iterator[Diagnostic]:
    for gap in tls_gaps(document):
        first, then = document.routes[gap.guarded].name, document.routes[gap.open].name
        said = f"{first!r} comes before {then!r} and has no `tls`: TLS requests may pass by it and its {gap.middleware!r}"
        hint = "say `tls: {}` here too, or give each entry points of its own"
        yield warning(Code.TLS_MIXED, said, ("routes", gap.guarded), instead=hint)


def _tls_options(document: Document) -> Iterator[Diagnostic]:
    """TLS options are chosen by server name, before a rule is asked: one host has one set of them."""
    first: dict[str, tuple[str, str]] = {}
    for index, route in enumerate(document.routes):
        if route.tls is None or not route.tls.terminate:
            continue
        options = str(route.tls.options or "default")
        for host in lifted(route).hosts:
            name, known = first.setdefault(host, (route.name, options))
            if known != options:
                said = (
                    f"{route.name!r} and {name!r} ask for different TLS options of {host!r} ({options}, {known}): it gets the default ones"
                )
                yield warning(Code.TLS_OPTIONS, said, ("routes", index, "tls", "options"), instead="name the same options on both")
                break


def _host_regexes(document: Document) -> Iterator[Diagnostic]:
    for path, noun in walk(document):
        if isinstance(noun, m.HostRegex) and not isinstance(noun.host_regex, Template) and _unbound(noun.host_regex):
            said = f"the regex {noun.host_regex!r} is found anywhere in a host: Traefik 2 bound it at both ends, Traefik 3 does not"
            yield warning(Code.V2_SYNTAX, said, (*path, "host_regex"), instead=f"write `^{noun.host_regex.strip('^$')}$`")


def _unbound(pattern: str) -> bool:
    """Whether a regex names a domain, and lets others through that only contain it."""
    bare = pattern.removeprefix("(?i)")
    bound = bare.startswith("^") and bare.endswith("$")
    anything = bare.strip("^$") in ("", ".*", ".+", "(.*)", "(.+)")
    template = any(bare[at + 1 : at + 2].isalpha() for at, character in enumerate(bare) if character == "{")  # the reader speaks of it
    return not bound and not anything and not template and not (bare.startswith((".*", ".+", "^")) and bare.endswith((".*", ".+", "$")))


OPEN = ("api@internal", "dashboard@internal", "rest@internal", "prometheus@internal")
"""Traefik's own services that show or change what it does."""
_GUARDS = ("basicauth", "digestauth", "forwardauth", "ipallowlist", "ipwhitelist", "passtlsclientcert")


def _external(document: Document) -> Iterator[Diagnostic]:
    for place in places(document):
        if place.row.feature is not Feature.EXTERNAL:
            continue
        value: object = place.noun
        for part in place.path[-2:] if isinstance(place.path[-1], int) else place.path[-1:]:
            value = value[part] if isinstance(part, int) and isinstance(value, tuple) else getattr(value, str(part))
        name = str(value)
        if not name.endswith("@internal"):
            said = f"{name!r} is held by another provider: whether it exists is not known here"
            yield info(Code.EXTERNAL, said, place.path, instead="check it there")
        elif name in OPEN and not (isinstance(place.noun, Route) and _guarded(document, place.noun)):
            said = f"{name!r} opens Traefik itself to everybody who reaches this route"
            yield warning(Code.INTERNAL, said, place.path, instead="let it pass an authentication or a list of addresses first")


def _guarded(document: Document, route: Route) -> bool:
    """Whether a middleware may stand in the way: one of those that guard, or one that is not known here."""
    for name in _all_of(document, route.middlewares):
        middleware = document.middlewares.get(name)
        if middleware is None:
            return True
        kind = middleware.other.kind if middleware.other is not None else middleware.kind.replace("_", "")
        if kind.lower() in (*_GUARDS, "plugin"):
            return True
    return False


def _fall_throughs(document: Document) -> Iterator[Diagnostic]:
    """Traefik (3.7.15, tried) forgets a router of which a middleware cannot be built, and asks the ones behind it."""
    doubts = {at: doubt for at, route in enumerate(document.routes) if (doubt := _doubt(document, route.middlewares)) is not None}
    if not doubts:
        return
    by_host: dict[str, list[_Asked]] = {}
    everywhere: list[_Asked] = []
    found: dict[int, Diagnostic] = {}
    for each in reversed(_in_order(document)):
        hosts = each.form.hosts
        wide = not hosts or any(host.startswith("*") for host in hosts)
        route = document.routes[each.route]
        if each.canary is None and each.route in doubts:
            behind = [*everywhere, *(other for host in ([*by_host] if wide else hosts) for other in by_host.get(host, ()))]
            taker = next((other for other in reversed(behind[-NEAR:]) if _meet(each.form, other.form)), None)
            if taker is not None:
                found[each.route] = _falls(each, taker, doubts[each.route])
        elif not _guarded(document, route):
            if wide:
                everywhere.append(each)
            for host in () if wide else hosts:
                by_host.setdefault(host, []).append(each)
    yield from (found[at] for at in sorted(found))


class _Doubt(NamedTuple):
    middleware: str
    why: str
    guards: bool  # false: nobody here knows what it does


def _doubt(document: Document, names: Iterable[str]) -> _Doubt | None:
    """The first middleware that may be there or not, by what stands outside of the document."""
    found = []
    for name in _all_of(document, names):
        middleware = document.middlewares.get(name)
        if middleware is None:
            found.append(_Doubt(name, "another provider's", guards=False))
        elif middleware.basic_auth is not None and middleware.basic_auth.users_file is not None:
            found.append(_Doubt(name, "its users are in a file", guards=True))
        elif middleware.other is not None and middleware.other.kind.lower() == "plugin":
            found.append(_Doubt(name, "a plugin", guards=True))
    return max(found, key=lambda doubt: doubt.guards, default=None)


def _falls(each: _Asked, taker: _Asked, doubt: _Doubt) -> Diagnostic:
    name, other = each.form.name, taker.form.name
    said = f"if Traefik cannot build {doubt.middleware!r} ({doubt.why}), it forgets {name!r}, and {other!r} takes its requests without it"
    hint = f"give {other!r} the same middleware, or let nothing behind {name!r} take these requests"
    say = warning if doubt.guards else info
    return say(Code.FALL_THROUGH, said, (*each.path, "middlewares"), instead=hint)


def _all_of(document: Document, names: Iterable[str]) -> list[str]:
    """Middlewares in their order, those of chains among them."""
    todo, seen = list(reversed(list(names))), dict[str, None]()
    while todo:
        if (name := todo.pop()) in seen:
            continue
        seen[name] = None
        middleware = document.middlewares.get(name)
        if middleware is not None and middleware.chain is not None:
            todo += reversed(middleware.chain.middlewares)
    return list(seen)


CHECKS = (_orders, _mixed_tls, _tls_options, _host_regexes, _external, _fall_throughs)
