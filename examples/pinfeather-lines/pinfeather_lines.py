"""Plain lines, one route a line: a host, a path prefix, an arrow, the servers.

    # who asks for what        is sent where
    shop.example.com/cart   -> http://10.0.0.1:8080, http://10.0.0.2:8080
    *.example.com           -> http://10.0.0.3:8080
    */status                -> http://10.0.0.4:8080

`*` stands for every host, `*.example.com` for one label more. The prefix counts by character and may be left out. The first
line that fits a request decides. A `#` after a space, or at the beginning of a line, begins a comment. The servers of a line
share its requests evenly. A line has no names: a route is called what its line begins with, its servers likewise.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pinfeather import (
    FULL,
    NONE,
    Code,
    Derived,
    Diagnostic,
    Document,
    Emitted,
    Feature,
    File,
    Full,
    LoadBalancer,
    Nothing,
    Options,
    Parsed,
    Path,
    Route,
    Source,
    Span,
    Support,
    TextFile,
    Translator,
    Tree,
    When,
    build,
    error,
    hookimpl,
    precedence,
)

HEAD = "# HOST[/PREFIX] -> URL, URL ...; the first line that fits decides"
_LINE = re.compile(r"\s*(?P<host>[^\s/]+)(?P<prefix>/\S*)?\s+->\s+(?P<urls>[^\s,]+(\s*,\s*[^\s,]+)*)\s*")
_URL = re.compile(r"[^\s,]+")
_COMMENT = re.compile(r"(^|\s)#.*")
_SPACE = re.compile(r"\s")


class LinesOptions(Options):
    align: bool = False
    """Put the arrows of all lines below each other."""


def supports(options: LinesOptions) -> Mapping[Feature, Support]:  # noqa: ARG001 - the contract's signature
    """What is not in the table cannot be said, and `pinfeather` takes it out before `emit`."""
    return {
        Feature.HOST: When(_one_host, "one host a route"),
        Feature.HOST_WILDCARD: When(_one_host, "one host a route"),
        Feature.PATH_PREFIX: When(_prefix, "without spaces, and beside the host only"),
        Feature.PRIORITY: FULL,  # the order of the lines
        Feature.SERVER_URL: When(_servers, "without commas and spaces; one service for one list of servers"),
        Feature.ROUTE_NAME: Derived(_route_name, "the host and the prefix"),
        Feature.SERVICE_NAME: Derived(_service_name, "the name of the first route that leads there"),
    }


def _one_host(document: Document, path: Path) -> Full | Nothing:
    if path[0] != "routes" or path[2:] != ("hosts",):
        return NONE
    hosts = document.routes[int(path[1])].hosts
    said = len(hosts) == 1 and hosts != ("*",)
    return FULL if said else Nothing("write one host a route, and none for every host; the route is left out")


def _prefix(document: Document, path: Path) -> Full | Nothing:
    if path[0] != "routes" or path[2:] != ("path", "prefix"):
        return NONE
    prefix = _where(document.routes[int(path[1])])[1]
    return Nothing("a line cannot hold a space in a path; the route is left out") if _SPACE.search(prefix) else FULL


def _servers(document: Document, path: Path) -> Full | Nothing:
    wanted = _urls(document, str(path[1]))
    if any("," in url or _SPACE.search(url) for url in wanted):
        return Nothing("a line cannot hold a comma or a space in a URL; its routes are left out")
    first = next(name for name in document.services if _urls(document, name) == wanted)
    return FULL if first == path[1] else Nothing(f"these are the servers of {first!r}: lead its routes there; they are left out")


def _urls(document: Document, service: str) -> tuple[str, ...]:
    found = document.services[service]
    return tuple(server.key for server in found.servers) if isinstance(found, LoadBalancer) else ()


def _where(route: Route) -> tuple[str, str]:
    """The host and the prefix of a route, as a line begins."""
    return (route.hosts[0] if route.hosts else "*"), (route.path.prefix or "" if route.path is not None else "")


def _title(host: str, prefix: str, number: int) -> str:
    """What a line is called; `number` counts the lines that begin alike. '@' is for references, and names are short."""
    title = f"{host}{prefix}".replace("@", "-")[:240]
    return title if number == 1 else f"{title} ({number})"


def _route_name(document: Document, path: Path) -> str:
    route = document.routes[int(path[1])]
    own = _title(*_where(route), 1)
    twins = {index for index, other in enumerate(document.routes) if _title(*_where(other), 1) == own}
    if len(twins) == 1:
        return own
    ranks = [rung.route for rung in precedence(document) if rung.canary is None and rung.route in twins]
    return _title(*_where(route), ranks.index(int(path[1])) + 1)


def _service_name(document: Document, path: Path) -> str:
    users = [index for index, route in enumerate(document.routes) if route.to == path[1]]
    if len(users) > 1:
        users = [rung.route for rung in precedence(document) if rung.route in users]
    return _route_name(document, ("routes", users[0])) if users else str(path[1])


@dataclass(frozen=True, slots=True)
class _Line:
    host: str
    prefix: str | None
    urls: dict[Span, str]
    span: Span


def parse(source: Source, options: LinesOptions) -> Parsed:  # noqa: ARG001
    found = [line for file in source.files for line in _lines(file)]
    lines = [line for line in found if isinstance(line, _Line)]
    spans: dict[Path, Span] = {}
    routes: list[Tree] = []
    services: dict[tuple[str, ...], str] = {}
    begun: Counter[str] = Counter()
    for index, line in enumerate(lines):
        title = _title(line.host, line.prefix or "", 1)
        begun[title] += 1
        name = _title(line.host, line.prefix or "", begun[title])
        to = services.setdefault(tuple(line.urls.values()), name)
        route: dict[str, Tree] = {"name": name, "priority": len(lines) - index, "to": to}
        route |= {} if line.host == "*" else {"hosts": [line.host]}
        routes.append(route if line.prefix is None else {**route, "path": {"prefix": line.prefix}})
        spans[("routes", index)] = line.span
        for number, span in enumerate(line.urls):
            spans.setdefault(("services", to, "servers", number), span)
    made: Tree = {name: {"servers": [{"url": url} for url in urls]} for urls, name in services.items()}
    document, wrong = build({"pinfeather": "v1", "routes": routes, "services": made})
    unread = tuple(line for line in found if isinstance(line, Diagnostic))
    return Parsed(None if unread else document, (*unread, *wrong), spans)


def _lines(file: File) -> Iterator[_Line | Diagnostic]:
    raw = file.text.encode("utf-8", "surrogatepass") if isinstance(file.text, str) else file.text
    for number, data in enumerate(raw.split(b"\n"), 1):
        try:
            text = _COMMENT.sub("", data.decode("utf-8"))
        except UnicodeDecodeError as problem:
            yield error(Code.ENCODING, "this is not UTF-8 text", span=Span(file.name, number, problem.start + 1))
            continue
        here = Span(file.name, number, len(text) - len(text.lstrip()) + 1)
        if match := _LINE.fullmatch(text):
            urls = {Span(file.name, number, url.start() + 1): url[0] for url in _URL.finditer(text, match.start("urls"))}
            yield _Line(match["host"], match["prefix"], urls, here)
        elif text.strip():
            yield error(Code.SYNTAX, "this is no route", span=here, instead="write HOST/PREFIX -> URL, URL; * is every host")


def emit(document: Document, options: LinesOptions) -> Emitted:
    routes = [document.routes[rung.route] for rung in precedence(document)]
    begins = ["".join(_where(route)) for route in routes]
    width = max(map(len, begins), default=0) if options.align else 0
    lines = [f"{begin:<{width}} -> {', '.join(_urls(document, str(route.to)))}" for begin, route in zip(begins, routes, strict=True)]
    return Emitted((TextFile("routes.lines", "\n".join([HEAD, *lines, ""]), "text"),))


def recognise(file: File) -> bool:
    """Our own first line, or a first route that looks like one."""
    text = (file.text if isinstance(file.text, str) else file.text[:65536].decode("utf-8", "replace"))[:65536]
    match = _LINE.fullmatch(next(filter(None, (_COMMENT.sub("", line).strip() for line in text.split("\n"))), ""))
    return text.startswith(HEAD) or (match is not None and "://" in match["urls"])


TRANSLATOR = Translator("lines", __doc__, LinesOptions, supports, parse, emit, recognise)


@hookimpl
def pinfeather_translators() -> list[Translator[LinesOptions]]:
    return [TRANSLATOR]
