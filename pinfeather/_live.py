"""A running Traefik, asked by its API what it really holds (`/api/rawdata`): all its providers together, as one document.

The routers that are enabled are read by the reader of Traefik's file, since that is what they are inside Traefik; a name
`shop@docker` becomes `shop-docker`. Its numbers are those that Traefik computed: a router without a priority has the length of its rule.
A server that Traefik calls down is down.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from pinfeather._convert import read
from pinfeather._sources import UsageError
from pinfeather.model.decide import Request, State, Status, Table, outcomes
from pinfeather.model.diagnostics import Path, Span, span_at
from pinfeather.model.document import Document, canary_name
from pinfeather.model.match import Match, both, conjuncts
from pinfeather.model.normal import Lifted, Rung, conditions, lift, precedence
from pinfeather.model.services import LoadBalancer
from pinfeather.model.trace import rivals
from pinfeather.translators import builtin
from pinfeather.translators.contract import File, Parsed, Source

_TIMEOUT = 10.0
_LARGEST = 64 * 1024 * 1024
_SEEN_ONLY = frozenset({"status", "using", "usedBy", "error", "serverStatus", "provider"})
"""What the API tells of an item beside its configuration (Traefik 3.7, pkg/api/handler.go and pkg/config/runtime)."""

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Live:
    """What a Traefik holds."""

    parsed: Parsed
    state: State
    disabled: tuple[tuple[str, str], ...]
    """Routers that Traefik does not use, and what it says about each."""
    names: Mapping[str, str]
    """Our name of a router, service or middleware -> Traefik's, with its provider."""


def ask(url: str) -> Live:
    """Asks a Traefik. Raises OSError where none answers (`filename` is the URL), UsageError where what answers is none."""
    return live(_fetched(url), url)


def _fetched(url: str) -> object:
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"--traefik {url}: write the address of Traefik's API, such as http://127.0.0.1:8080")
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], path=parts.path.rstrip("/") + "/api/rawdata", query="", fragment="")
    request = urllib.request.Request(urlunsplit(bare))  # noqa: S310 - http or https, looked at above
    if parts.username is not None:
        user = f"{parts.username}:{parts.password or ''}"
        request.add_header("Authorization", "Basic " + base64.b64encode(user.encode()).decode("ascii"))
    shown = urlunsplit(bare)
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT, context=ssl.create_default_context()) as answer:  # noqa: S310 - as above
            data = answer.read(_LARGEST + 1)
    except urllib.error.HTTPError as problem:
        hint = (
            "start it with --api=true, or name the entry point that serves its API" if problem.code == 404 else "say user:password@ in it"
        )
        raise UsageError(f"{shown} answers {problem.code}; {hint}") from None
    except urllib.error.URLError as problem:
        raise OSError(0, f"no Traefik answers: {problem.reason}", shown) from None
    except (OSError, http.client.HTTPException) as problem:
        raise OSError(0, f"no Traefik answers: {problem!r}", shown) from None
    if len(data) > _LARGEST:
        raise UsageError(f"{shown}: its answer is larger than {_LARGEST // 2**20} MiB")
    try:
        return json.loads(data)
    except ValueError:
        raise UsageError(f"{shown} does not answer with JSON: it is no Traefik's API") from None


def live(raw: object, url: str) -> Live:
    """Reads an answer of `/api/rawdata`. Raises UsageError for what is none."""
    if not isinstance(raw, dict) or not isinstance(raw.get("routers", {}), dict) or not ({"routers", "services"} & set(raw)):
        raise UsageError(f"{url}: what answers is no Traefik's /api/rawdata")
    kinds = {kind: _items(raw, kind) for kind in ("routers", "services", "middlewares")}
    names = _names(kinds)
    disabled = [(name, _why(item)) for name, item in kinds["routers"].items() if item.get("status") == "disabled"]
    routers = {
        names["routers", name]: _referring(item, name, names)
        for name, item in kinds["routers"].items()
        if item.get("status") != "disabled" and not name.endswith("@internal")
    }
    services = {
        names["services", name]: _referring(item, name, names) for name, item in kinds["services"].items() if "@internal" not in name
    }
    middlewares = {names["middlewares", name]: _referring(item, name, names) for name, item in kinds["middlewares"].items()}
    tree: Json = {
        "http": {key: value for key, value in (("routers", routers), ("services", services), ("middlewares", middlewares)) if value}
    }
    translator = builtin.load("traefik-file")
    parsed = read(Source((File(f"{url}/api/rawdata", json.dumps(tree)),)), translator, translator.options())
    return Live(
        parsed._replace(spans={}),
        State() if parsed.document is None else _state(parsed.document, kinds["services"], names),
        tuple(disabled),
        {ours: theirs for (_, theirs), ours in names.items()},
    )


def _items(raw: Json, kind: str) -> dict[str, Json]:
    found = raw.get(kind)
    return {name: item for name, item in found.items() if isinstance(item, dict)} if isinstance(found, dict) else {}


def _names(kinds: Mapping[str, Mapping[str, Json]]) -> dict[tuple[str, str], str]:
    """A name of ours for each of Traefik's: without `@`, and two of one kind never alike."""
    names: dict[tuple[str, str], str] = {}
    for kind, items in kinds.items():
        taken: set[str] = set()
        for name in items:
            ours = base = name.replace("@", "-")
            number = 2
            while ours in taken:
                ours, number = f"{base}-{number}", number + 1
            taken.add(ours)
            names[kind, name] = ours
    return names


def _why(item: Json) -> str:
    errors = item.get("error")
    return "; ".join(map(str, errors)) if isinstance(errors, list) and errors else "Traefik does not say why"


def _referring(item: Json, owner: str, names: Mapping[tuple[str, str], str]) -> Json:
    """The item without what was only seen, its references in our names. One without a provider means the owner's."""
    provider = owner.rpartition("@")[2]

    def named(kind: str, name: object) -> object:
        whole = str(name) if "@" in str(name) else f"{name}@{provider}"
        return whole if whole.endswith("@internal") else names.get((kind, whole), whole)

    def walk(value: object, key: str) -> object:
        if isinstance(value, dict):
            return {inner: walk(part, inner) for inner, part in value.items() if part is not None}
        if key == "middlewares" and isinstance(value, list):
            return [named("middlewares", part) for part in value]
        if isinstance(value, list):
            return [_weighted(part) if key == "services" and isinstance(part, dict) else walk(part, "") for part in value]
        return named("services", value) if key in ("service", "fallback") else value

    def _weighted(part: Json) -> Json:
        return {**part, "name": named("services", part.get("name"))}

    walked = walk({key: value for key, value in item.items() if key not in _SEEN_ONLY}, "")
    assert isinstance(walked, dict)
    return walked


def _state(document: Document, services: Mapping[str, Json], names: Mapping[tuple[str, str], str]) -> State:
    down: dict[str, set[str]] = {}
    for name, item in services.items():
        seen = item.get("serverStatus")
        if isinstance(seen, dict):
            down[names["services", name]] = {url for url, status in seen.items() if status == "DOWN"}
    return State(
        {
            name: tuple(Status.DOWN if server.key in down[name] else Status.UP for server in service.servers)
            for name, service in document.services.items()
            if isinstance(service, LoadBalancer) and down.get(name)
        }
    )


# Which line a router came from, and who is in whose way --------------------------------------------------------------------


def spans_from(document: Document, files: Document, spans: Mapping[Path, Span], names: Mapping[str, str]) -> dict[Path, Span]:
    """Where each route and canary of a live document stands in files: by its name without its provider, else by what it asks for."""
    by_name: dict[str, Path] = {}
    by_form: dict[tuple[object, ...], list[Path]] = {}
    for rung, name, form in _rungs(files):
        by_name[name] = path_of(rung)
        by_form.setdefault(form, []).append(path_of(rung))
    found: dict[Path, Span] = {}
    for rung, name, form in _rungs(document):
        base = names.get(name, name).partition("@")[0]
        alike = by_form.get(form, [])
        path = by_name.get(base) or (alike[0] if len(alike) == 1 else None)
        if path is not None and (span := span_at(spans, path)) is not None:
            found[path_of(rung)] = span
    return found


def ties(document: Document, request: Request, state: State) -> tuple[str, ...]:
    """The routers of one priority that would all take a request, if the winner is one of them: Traefik's order among them is none."""
    table = Table.of(document)
    lost = rivals(table, request, state)
    decision = outcomes(table, request, state).parts[0].decision
    if decision.route is None:
        return ()
    winner = next(rung for rung in table.order if document.routes[rung.route].name == decision.route and rung.canary == decision.canary)
    tied = [rival.rung for rival in lost if _priority(document, rival.rung) == _priority(document, winner)]
    return tuple(name_of(document, rung) for rung in (winner, *tied)) if tied else ()


def shadowed(document: Document) -> tuple[tuple[str, str], ...]:
    """Routers that no request can reach, each with the one before it that takes whatever it would take."""
    order = list(precedence(document))
    found = []
    for at, rung in enumerate(order):
        before = next((other for other in order[:at] if _covers(document, other, rung)), None)
        if before is not None:
            found.append((name_of(document, rung), name_of(document, before)))
    return tuple(found)


def _covers(document: Document, wide: Rung, narrow: Rung) -> bool:
    """Whether whatever meets the conditions of one meets those of the other; False where that is not plain to see."""
    one, other = document.routes[wide.route], document.routes[narrow.route]
    if one.entry_points and not (other.entry_points and set(other.entry_points) <= set(one.entry_points)):
        return False
    if one.tls is not None and (other.tls is None or other.tls.terminate is not one.tls.terminate):
        return False
    broad, tight = _form(document, wide), _form(document, narrow)
    if broad.hosts and not (tight.hosts and set(tight.hosts) <= set(broad.hosts)):
        return False
    if broad.path is not None and broad.path != tight.path:
        text = None if tight.path is None else tight.path.exact or tight.path.prefix
        if broad.path.prefix is None or text is None or not text.startswith(broad.path.prefix):
            return False
    return set(conjuncts(broad.match)) <= set(conjuncts(tight.match))


def _form(document: Document, rung: Rung) -> Lifted:
    route = document.routes[rung.route]
    when: tuple[Match, ...] = () if rung.canary is None else (route.canaries[rung.canary].when,)
    return lift(both((*conditions(route), *when)))


def _rungs(document: Document) -> Iterator[tuple[Rung, str, tuple[object, ...]]]:
    for rung in precedence(document):
        form = _form(document, rung)
        yield rung, name_of(document, rung), (frozenset(form.hosts), form.path, form.match)


def name_of(document: Document, rung: Rung) -> str:
    """What a route or canary is called where it stands alone."""
    route = document.routes[rung.route]
    return route.name if rung.canary is None else canary_name(route, rung.canary)


def path_of(rung: Rung) -> Path:
    """Where it stands in the document."""
    return ("routes", rung.route) if rung.canary is None else ("routes", rung.route, "canaries", rung.canary)


def _priority(document: Document, rung: Rung) -> object:
    route = document.routes[rung.route]
    own = None if rung.canary is None else route.canaries[rung.canary].priority
    return route.priority if own is None else own
