"""What a running Traefik really holds, of all its providers together, as one document.

The routers that it uses are read by the reader of Traefik's file, since that is what they are inside Traefik; a name
`shop@docker` becomes `shop-docker`. Its numbers are those that Traefik computed: a router without a priority has the length of its rule.
A server that Traefik calls down is down.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import get_args

from pinfeather._convert import read
from pinfeather._sources import UsageError
from pinfeather._traefik_api import Answers
from pinfeather.model.decide import State, Status
from pinfeather.model.document import Document, EntryPoint
from pinfeather.model.services import LoadBalancer, TcpLoadBalancer
from pinfeather.translators import builtin
from pinfeather.translators.contract import File, Options, Parsed, Source

_SEEN_ONLY = frozenset({"status", "using", "usedBy", "error", "serverStatus", "provider"})
"""What the API tells of an item beside its configuration (Traefik 3.7, pkg/api/handler.go and pkg/config/runtime)."""
_KINDS = ("routers", "services", "middlewares", "tcpRouters", "tcpServices", "tcpMiddlewares")

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Live:
    """What a Traefik holds."""

    parsed: Parsed
    state: State
    tcp_state: State
    faults: tuple[tuple[str, str], ...]
    """Routers of which Traefik uses nothing, or not all, and what it says about each; `is disabled`, or `is used in part`."""
    names: Mapping[str, str]
    """Our name of a router, service or middleware -> Traefik's, with its provider."""
    rules: Mapping[str, str]
    """Our name of a router -> its rule, as Traefik has it."""

    def theirs(self, name: str) -> str:
        """What Traefik calls what we call so."""
        return self.names.get(name, name)

    def in_their_names(self) -> Callable[[str], str]:
        """What puts Traefik's names into a sentence in which things have ours."""
        other = sorted((ours for ours, theirs in self.names.items() if ours != theirs), key=len, reverse=True)
        if not other:
            return lambda text: text
        pattern = re.compile(rf"(?<![\w@./-])(?:{'|'.join(map(re.escape, other))})(?![\w@.-])")
        return lambda text: pattern.sub(lambda found: self.names[found[0]], text)


def live(answers: Answers) -> Live:
    """Reads what a Traefik answered. Raises UsageError for what is none."""
    raw = answers.rawdata
    if not isinstance(raw, dict) or not ({"routers", "services", "tcpRouters"} & set(raw)):
        raise UsageError(f"{answers.url}: what answers is no Traefik's /api/rawdata")
    if not all(isinstance(raw.get(kind, {}), dict) for kind in _KINDS):
        raise UsageError(f"{answers.url}: what answers is no Traefik's /api/rawdata")
    kinds = {kind: _items(raw, kind) for kind in _KINDS}
    names = _names(kinds)
    used = {kind: {name: item for name, item in items.items() if _used(kind, name, item)} for kind, items in kinds.items()}
    trees = {kind: {names[kind, name]: _referring(item, kind, name, names) for name, item in items.items()} for kind, items in used.items()}
    tree = {
        protocol: section
        for protocol, prefix in (("http", ""), ("tcp", "tcp"))
        if (section := {_key(kind): items for kind, items in trees.items() if items and kind.startswith("tcp") == bool(prefix)})
    }
    translator = builtin.load("traefik-file")
    parsed = read(
        Source((File(f"{answers.url}/api/rawdata", json.dumps(tree)),)), translator, _options(translator.options, answers.version)
    )
    document = None if parsed.document is None else _listening(parsed.document, answers.entry_points)
    down = {names[kind, name]: _down(item) for kind in ("services", "tcpServices") for name, item in kinds[kind].items()}
    return Live(
        parsed._replace(spans={}, document=document),
        _state(document.services if document is not None else {}, down),
        _state(document.tcp_services if document is not None else {}, down),
        tuple((name, fault) for kind in ("routers", "tcpRouters") for name, item in kinds[kind].items() if (fault := _fault(item))),
        {ours: theirs for (_, theirs), ours in names.items()},
        {names[kind, name]: str(item.get("rule")) for kind in ("routers", "tcpRouters") for name, item in kinds[kind].items()},
    )


def _items(raw: Json, kind: str) -> dict[str, Json]:
    found = raw.get(kind)
    return {str(name): item for name, item in found.items() if isinstance(item, dict)} if isinstance(found, dict) else {}


def _key(kind: str) -> str:
    return kind.removeprefix("tcp").lower()


def _used(kind: str, name: str, item: Json) -> bool:
    return not name.endswith("@internal") and not (_key(kind) == "routers" and item.get("status") == "disabled")


def _names(kinds: Mapping[str, Mapping[str, Json]]) -> dict[tuple[str, str], str]:
    """A name of ours for each of Traefik's: without `@`, and no two alike that are not the same name there."""
    names: dict[tuple[str, str], str] = {}
    holders: dict[str, str] = {}
    for kind, items in kinds.items():
        for name in items:
            base = name.replace("@", "-")
            ours, number = base, 2
            while holders.setdefault(ours, name) != name:
                ours, number = f"{base}-{number}", number + 1
            names[kind, name] = ours
    return names


def _options(kind: type[Options], version: object) -> Options:
    """The reader's options for the version that answers: the newest one that is known and not newer; else the newest."""
    known = {tuple(map(int, each.split("."))): each for each in get_args(kind.model_fields["traefik"].annotation)}
    said = version.get("Version") if isinstance(version, dict) else None
    found = re.match(r"v?(\d+)\.(\d+)", said) if isinstance(said, str) else None
    if found is None:
        return kind()
    older = [number for number in known if number <= (int(found[1]), int(found[2]))]
    return kind.model_validate({"traefik": known[max(older) if older else min(known)]})


def _listening(document: Document, entry_points: object) -> Document:
    """The document with the ports that Traefik listens on."""
    points: dict[str, EntryPoint] = {}
    for point in entry_points if isinstance(entry_points, list) else ():
        if isinstance(point, dict) and isinstance(point.get("name"), str) and isinstance(point.get("address"), str):
            port = re.search(r":(\d{1,5})(?:/tcp)?$", point["address"])
            if port is not None and 0 < int(port[1]) < 65536:
                points[point["name"]] = EntryPoint(port=int(port[1]))
    return document.model_copy(update={"entry_points": points}) if points else document


def _fault(item: Json) -> str:
    status, errors = item.get("status"), item.get("error")
    why = "; ".join(map(str, errors)) if isinstance(errors, list) else ""
    if status == "disabled":
        return f"is disabled, Traefik says: {why or 'nothing of why'}"
    return f"is used in part, Traefik says: {why}" if why else ""


def _referring(item: Json, kind: str, owner: str, names: Mapping[tuple[str, str], str]) -> Json:
    """The item without what was only seen, its references in our names. One without a provider means the owner's."""
    provider = owner.rpartition("@")[2]
    services, middlewares = ("tcpServices", "tcpMiddlewares") if kind.startswith("tcp") else ("services", "middlewares")

    def named(section: str, name: object) -> object:
        whole = str(name) if "@" in str(name) else f"{name}@{provider}"
        return whole if whole.endswith("@internal") else names.get((section, whole), whole)

    elsewhere = {"routers": "options", "services": "serversTransport"}.get(_key(kind))

    def walk(value: object, key: str) -> object:
        if isinstance(value, dict):
            known = value.items() if key != "observability" else [(inner, part) for inner, part in value.items() if inner != "metadata"]
            return {inner: walk(part, inner) for inner, part in known if part is not None}
        if key == "middlewares" and isinstance(value, list):
            return [named(middlewares, part) for part in value]
        if isinstance(value, list):
            return [_weighted(part) if key in ("services", "mirrors") and isinstance(part, dict) else walk(part, "") for part in value]
        if key == elsewhere and isinstance(value, str) and value != "default":
            return value if "@" in value else f"{value}@{provider}"  # the API does not show them: they are held elsewhere
        return named(services, value) if key in ("service", "fallback") else value

    def _weighted(part: Json) -> Json:
        return {**part, "name": named(services, part.get("name"))}

    seen = _SEEN_ONLY if _key(kind) == "routers" else _SEEN_ONLY | {"observability"}  # of services: whose object they were
    walked = walk({key: value for key, value in item.items() if key not in seen}, "")
    assert isinstance(walked, dict)
    return walked


def _down(item: Json) -> frozenset[str]:
    seen = item.get("serverStatus")
    return frozenset(server for server, status in seen.items() if status == "DOWN") if isinstance(seen, dict) else frozenset()


def _state(services: Mapping[str, object], down: Mapping[str, frozenset[str]]) -> State:
    return State(
        {
            name: tuple(Status.DOWN if server.key in down[name] else Status.UP for server in service.servers)
            for name, service in services.items()
            if isinstance(service, LoadBalancer | TcpLoadBalancer) and down.get(name)
        }
    )
