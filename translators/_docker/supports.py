"""What labels add to the table of Traefik's file provider: the checks that ask a place, and the names that labels can hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256

from pinfeather.model.diagnostics import Path
from pinfeather.model.document import Document, canary_name
from pinfeather.model.features import FULL, Becomes, Derived, Feature, Nothing, Support, When
from pinfeather.model.noun import Template
from pinfeather.model.services import ContainerRef, HealthCheck, LoadBalancer, Server, TcpLoadBalancer, TcpServer
from pinfeather.translators._docker.compose import is_service_name
from pinfeather.translators._docker.layout import Layout, containers_of, keeps, layout
from pinfeather.translators._syntax.variables import is_template
from pinfeather.translators._traefik.supports import Answer, Check, found, own_reference
from pinfeather.translators._traefik.table import file_table
from pinfeather.translators._traefik.versions import health_check_since

Version = tuple[int, int]


def label_table(version: Version, provider: str, *, swarm: bool) -> dict[Feature, Support]:
    """The whole table."""
    where = _placed(version)
    return {
        **file_table(version, templates=True),
        Feature.SERVER_CONTAINER: When(_container_says(swarm=swarm), "a service's servers are all containers, each named once"),
        Feature.SERVER_KUBERNETES: Becomes(
            to_container(),
            "the Service becomes a container of its name: whichever are there when Traefik looks",
            "give the servers by another word (--servers NAMESPACE/NAME:PORT=container:NAME:PORT): the service is left out",
        ),
        Feature.HEALTH_CHECK_DETAIL: When(_health_check_says(version, where), "headers without a dot in their names, where labels say it"),
        Feature.SERVICE_MIDDLEWARES: file_table(version)[Feature.SERVICE_MIDDLEWARES]
        if version < (3, 7)
        else When(_middlewares_say(where), "names without a comma"),
        Feature.EXTERNAL: When(own_reference(provider, "file"), "any provider's"),
        Feature.TEMPLATE: When(_template_says(where), "compose's `${X}`, in labels, but for priorities and names"),
        Feature.ROUTE_NAME: Derived(_name(where, "routes"), "letters, digits, `-` and `_`, if labels say it; else a new name of it"),
        Feature.SERVICE_NAME: Derived(_name(where, "services"), "the same"),
        Feature.MIDDLEWARE_NAME: Derived(_name(where, "middlewares"), "the same"),
    }


def _placed(version: Version) -> Callable[[Document], Layout]:
    """The layout of the document that was asked for last: made once for all its places."""
    last: list[tuple[Document, Layout]] = []

    def placed(document: Document) -> Layout:
        if not last or last[0][0] is not document:
            last[:] = [(document, layout(document, version))]
        return last[0][1]

    return placed


Where = Callable[[Document], Layout]

# Servers ---------------------------------------------------------------------------------------------------------------


def _container_says(*, swarm: bool) -> Check:
    last: list[tuple[LoadBalancer | TcpLoadBalancer, bool, bool]] = []  # of the service whose servers are asked for

    def check(document: Document, path: Path) -> Answer:
        service = getattr(document, str(path[0]))[path[1]]
        ref = found(document, path)
        assert isinstance(service, LoadBalancer | TcpLoadBalancer)
        assert isinstance(ref, ContainerRef)
        if not last or last[0][0] is not service:
            last[:] = [(service, any(server.container is None for server in service.servers), not containers_of(service))]
        _, mixed, twice = last[0]
        gone = "the service is left out, and every route that leads there"
        if not ref.name:
            return Nothing(f"a compose file names each container: give it a name; {gone}")
        if not is_service_name(ref.name):
            return Nothing(f"{ref.name!r} is no name of a compose service; {gone}")
        if mixed:
            return Nothing(f"a service stands in labels or in the file: give all servers by container, or all by URL; {gone}")
        if twice:
            return Nothing(f"a container is one server of a service, and {ref.name!r} is named twice; {gone}")
        if swarm and ref.port is None:
            return Nothing(f"in a swarm Traefik wants the port; {gone}")
        if isinstance(service, TcpLoadBalancer) and ref.scheme is not None:
            return Nothing(f"a TCP server has no scheme; {gone}")
        return FULL

    return check


def to_container() -> Callable[[Document, Path], Server | TcpServer | None]:
    """The container that a Kubernetes Service becomes: of its name, with the namespace behind it where two have that name.

    Which names stand in several namespaces is looked up once for a document.
    """
    last: list[tuple[Document, Mapping[str, set[str | None]]]] = []

    def rule(document: Document, path: Path) -> Server | TcpServer | None:
        if not last or last[0][0] is not document:
            last[:] = [(document, _namespaces(document))]
        server = found(document, path[:-1])
        assert isinstance(server, Server | TcpServer)
        ref = server.kubernetes
        if ref is None or not isinstance(ref.port, int) or isinstance(ref.service, Template) or isinstance(ref.namespace, Template):
            return None
        alone = len(last[0][1][ref.service]) == 1
        name = ref.service if alone else f"{ref.service}-{ref.namespace or 'default'}"
        if not is_service_name(name):
            return None
        # Each part is known to be good: the port and what else is taken over were checked when the document was made.
        if isinstance(server, TcpServer):
            return TcpServer.model_construct(container=ContainerRef.model_construct(name=name, port=ref.port), tls=server.tls)
        container = ContainerRef.model_construct(name=name, port=ref.port, scheme=ref.scheme)
        return Server.model_construct(container=container, weight=server.weight, preserve_path=server.preserve_path)

    return rule


def _namespaces(document: Document) -> dict[str, set[str | None]]:
    spaces: dict[str, set[str | None]] = {}
    services = (*document.services.values(), *document.tcp_services.values())
    for balancer in (each for each in services if isinstance(each, LoadBalancer | TcpLoadBalancer)):
        for server in balancer.servers:
            if server.kubernetes is not None:
                spaces.setdefault(server.kubernetes.service, set()).add(server.kubernetes.namespace)
    return spaces


def _health_check_says(version: Version, where: Where) -> Check:
    since = health_check_since(version)

    def check(document: Document, path: Path) -> Answer:
        answer = since(document, path)
        if path[-1] != "headers" or str(path[1]) not in where(document).http.services:
            return answer
        held = found(document, path[:-1])
        assert isinstance(held, HealthCheck)
        low = [name.lower() for name in held.headers]
        if len(set(low)) < len(low) or any(not _KEY.fullmatch(name) for name in held.headers):
            return Nothing("a label's key is cut at dots and ignores case: it is probed without these headers")
        return answer

    return check


_KEY = re.compile(r"[^.\[\]=\s]+")


def _middlewares_say(where: Where) -> Check:
    def check(document: Document, path: Path) -> Answer:
        names = found(document, path)
        assert isinstance(names, tuple)
        if str(path[1]) in where(document).http.services and any("," in name and "@" in name for name in names):
            return Nothing("a label is cut at commas: the service is left out")
        return FULL

    return check


# Templates -------------------------------------------------------------------------------------------------------------


def _template_says(where: Where) -> Check:
    def check(document: Document, path: Path) -> Answer:
        text = found(document, path)
        if not isinstance(text, Template) or not is_template(text):
            return Nothing("compose fills in `${NAME}` alone: bind it to a value (--bind)")
        if path[-1] in ("priority", "weight") or path[2:3] == ("metadata",) or not _in_labels(document, path, where(document)):
            return Nothing("compose fills in labels alone, and this is not said there: bind it to a value (--bind)")
        return FULL

    return check


def _in_labels(document: Document, path: Path, placed: Layout) -> bool:
    section, key = str(path[0]), path[1]
    side = placed.tcp if section.startswith("tcp_") else placed.http
    kind = section.removeprefix("tcp_")
    if kind != "routes":
        return str(key) in {"services": side.services, "middlewares": side.middlewares}.get(kind, {})
    assert isinstance(key, int)
    if section == "tcp_routes":
        return document.tcp_routes[key].name in side.routers
    route = document.routes[key]
    names = [canary_name(route, number) for number in range(len(route.canaries))]
    if len(path) > 3 and path[2] == "canaries" and isinstance(path[3], int):
        return names[path[3]] in side.routers
    return all(name in side.routers for name in (route.name, *names))


# Names -----------------------------------------------------------------------------------------------------------------

_NAME = re.compile(r"[A-Za-z0-9_-]{1,200}")


def _name(where: Where, kind: str) -> Callable[[Document, Path], str]:
    """A name as the key of a label can hold it; what stands in the file keeps its name, unless a list in labels could not hold that."""

    twins: list[tuple[Mapping[str, object], Mapping[str, list[str]]]] = []

    def rule(document: Document, path: Path) -> str:
        side = where(document).tcp if str(path[0]).startswith("tcp_") else where(document).http
        held = {"routes": side.routers, "services": side.services, "middlewares": side.middlewares}[kind]
        name = _named(document, path)
        if name not in held:
            return name if kind != "middlewares" or name not in side.listed or keeps(name) else _safe(name, (name,))
        if not twins or twins[0][0] is not held:
            twins[:] = [(held, _by_lower_case(held))]
        return _safe(name, twins[0][1][name.lower()])

    return rule


def _named(document: Document, path: Path) -> str:
    if path[0] == "routes":
        route = document.routes[int(path[1])]
        return canary_name(route, int(path[3])) if len(path) > 2 else route.name
    return document.tcp_routes[int(path[1])].name if path[0] == "tcp_routes" else str(path[1])


def _by_lower_case(names: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(name.lower(), []).append(name)
    return found


def _safe(name: str, twins: Sequence[str]) -> str:
    low = name.lower()
    if _NAME.fullmatch(name) and name != "pinfeather-none" and (len(twins) == 1 or name == min(twins)):
        return name
    kept = re.sub(r"[^a-z0-9]+", "-", low).strip("-")[:180].strip("-")
    return f"{kept or 'x'}-{sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
