"""What a document says that its author probably did not mean. Every finding has a path and a remedy."""

from __future__ import annotations

from collections.abc import Iterator

from pinfeather.model.diagnostics import Code, Diagnostic, Path, info, warning
from pinfeather.model.document import Document
from pinfeather.model.features import walk
from pinfeather.model.match import Header
from pinfeather.model.normal import lifted, precedence
from pinfeather.model.noun import Template, external
from pinfeather.model.overlap import overlap, tls_gaps
from pinfeather.model.routes import Route
from pinfeather.model.services import LoadBalancer, Split
from pinfeather.model.sticky import Cookie

MANY = 2000
"""Beyond so many routes, pairs of routes are compared by host only."""


def lint(document: Document) -> tuple[Diagnostic, ...]:
    """Every finding, in the order of the document."""
    return tuple(finding for check in CHECKS for finding in check(document))


def _cookies(document: Document) -> Iterator[Diagnostic]:
    for path, noun in walk(document):
        if not isinstance(noun, Cookie):
            continue
        name = noun.name
        if not noun.secure:
            yield warning(Code.COOKIE_INSECURE, f"the cookie {name!r} also travels over plain HTTP", path, instead="say `secure: true`")
        if not noun.http_only:
            yield warning(Code.COOKIE_READABLE, f"scripts can read the cookie {name!r}", path, instead="say `http_only: true`")
        if noun.same_site is None:
            said = f"the cookie {name!r} has no SameSite: browsers differ in what they assume"
            yield warning(Code.COOKIE_SAME_SITE, said, path, instead="say `same_site: lax` (or strict, or none with secure)")
        if isinstance(noun.max_age, int) and noun.max_age > 34_560_000:
            said = f"the cookie {name!r} asks for {noun.max_age} seconds; browsers keep a cookie 400 days at most"
            yield warning(Code.COOKIE_LIFETIME, said, path, instead="say `max_age: 34560000` or less")


def _health(document: Document) -> Iterator[Diagnostic]:
    for name, service in document.services.items():
        if not isinstance(service, LoadBalancer) or service.sticky is None:
            continue
        if service.health_check is None and service.passive_health_check is None:
            said = f"the service {name!r} pins clients and has no health check: a dead server keeps its clients"
            yield warning(Code.NO_HEALTH_CHECK, said, ("services", name), instead="add `health_check: {path: /healthz}`")


def _shared_cookies(document: Document) -> Iterator[Diagnostic]:
    for index, route in enumerate(document.routes):
        holders: dict[str, str] = {}
        for name in _leaves(document, route):
            service = document.services[name]
            cookie = service.sticky.cookie if service.sticky is not None else None
            if cookie is None:
                continue
            first = holders.setdefault(cookie.name, name)
            if first != name:
                said = f"{first!r} and {name!r} of one route share the cookie {cookie.name!r}: who goes there and back loses the pin"
                yield warning(Code.COOKIE_SHARED, said, ("routes", index), instead="give each service a cookie name of its own")


def _leaves(document: Document, route: Route) -> tuple[str, ...]:
    found: dict[str, None] = {}
    names = [name for name in route.targets if not external(name)]
    while names:
        service = document.services.get(name := names.pop(0))
        if isinstance(service, Split):
            names += [entry.to for entry in service.split if not external(entry.to)]
        elif service is not None:
            found[name] = None
    return tuple(found)


def _splits(document: Document) -> Iterator[Diagnostic]:
    for path, noun in walk(document):
        entries = noun.split if isinstance(noun, Route | Split) else ()
        if not entries or not isinstance(noun, Route | Split):
            continue
        weights = [entry.weight for entry in entries if not isinstance(entry.weight, Template)]
        if len(entries) == 1 and noun.sticky is not None:
            said = "a variant cookie over one variant pins nothing: stickiness to a server belongs into its service"
            yield warning(Code.STICKY_ONE, said, path, instead="move `sticky` into the service")
        if (
            len(weights) == len(entries)
            and len(weights) > 1
            and 90 <= (total := sum(int(weight) for weight in weights)) <= 110
            and total != 100
        ):
            said = f"the weights sum to {total}, not to 100: they are shares of their sum, not percent"
            yield info(Code.WEIGHT_SUM, said, path, instead="let them sum to 100 if you mean percent")
        for number, entry in enumerate(entries):
            if entry.weight == 0 and noun.sticky is not None and noun.weight_zero == "drop":
                said = f"{entry.to!r} has weight 0: its clients are sent elsewhere at once"
                yield info(Code.WEIGHT_ZERO, said, (*path, "split", number), instead="say `weight_zero: keep` to let them stay")


def _loose_regexes(document: Document) -> Iterator[Diagnostic]:
    for path, noun in walk(document):
        if not isinstance(noun, Header) or noun.header.name.lower() != "cookie" or noun.header.regex is None:
            continue
        pattern = str(noun.header.regex)
        name, equals, value = pattern.removeprefix(".*").removesuffix(".*").partition("=")
        plain = all(part and part.replace("-", "").replace("_", "").isalnum() for part in (name, value))
        if equals and plain:
            said = f"the regex {pattern!r} also takes not{name}={value}2 and the like: it looks at the whole Cookie header"
            yield warning(Code.COOKIE_REGEX, said, path, instead=f"say `cookie: {{name: {name}, value: {value}}}`")


def _ties(document: Document) -> Iterator[Diagnostic]:
    routes = [(index, lifted(route)) for index, route in enumerate(document.routes) if route.priority is not None]
    groups: dict[tuple[str, str], list[tuple[int, Route]]] = {}
    for index, route in routes:
        hosts = route.hosts or ("",)
        for host in hosts if len(document.routes) > MANY else ("",):
            groups.setdefault((str(route.priority), host), []).append((index, route))
    for members in groups.values():
        for position, (index, route) in enumerate(members):
            for _, other in members[:position]:
                if overlap(route, other):
                    said = f"{route.name!r} and {other.name!r} have the same priority and may hold for one request"
                    path: Path = ("routes", index, "priority")
                    yield warning(Code.PRIORITY_TIE, said, path, instead="give them two priorities: Traefik would choose at random")
                    break


def _never_wins(document: Document) -> Iterator[Diagnostic]:
    taken: dict[tuple[object, ...], str] = {}
    for rung in precedence(document):
        if rung.canary is not None:
            continue
        form = lifted(document.routes[rung.route])
        key = (frozenset(form.hosts), form.path, form.match, frozenset(form.entry_points), form.tls)
        if key in taken:
            said = f"{form.name!r} can never win: {taken[key]!r} asks for the same and comes first"
            yield warning(Code.NEVER_WINS, said, ("routes", rung.route), instead="remove it, or let the two ask for different things")
        taken.setdefault(key, form.name)


def _mixed_tls(document: Document) -> Iterator[Diagnostic]:
    for gap in tls_gaps(document):
        first, then = document.routes[gap.guarded].name, document.routes[gap.open].name
        said = f"{first!r} comes before {then!r} and has no `tls`: TLS requests may pass by it and its {gap.middleware!r}"
        hint = "say `tls: {}` here too, or give each entry points of its own"
        yield warning(Code.TLS_MIXED, said, ("routes", gap.guarded), instead=hint)


def _external(document: Document) -> Iterator[Diagnostic]:
    from pinfeather.model.features import Feature, places

    for place in places(document):
        if place.row.feature is not Feature.EXTERNAL:
            continue
        value: object = place.noun
        for part in place.path[-2:] if isinstance(place.path[-1], int) else place.path[-1:]:
            value = value[part] if isinstance(part, int) and isinstance(value, tuple) else getattr(value, str(part))
        internal = str(value).endswith("@internal")
        code = Code.INTERNAL if internal else Code.EXTERNAL
        said = f"{str(value)!r} is held by another provider: whether it exists is not known here"
        hint = "it opens Traefik's own API: be sure that you mean it" if internal else "check it there"
        yield (warning if internal else info)(code, said, place.path, instead=hint)


CHECKS = (_cookies, _health, _shared_cookies, _splits, _loose_regexes, _ties, _never_wins, _mixed_tls, _external)
