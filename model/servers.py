"""Which servers there are behind a reference: what a user says before anything is written.

A Kubernetes Service or a container is a reference: it has one nameless server until somebody says which are there. The
same word says where a service has moved to: `container:web:80` may become `kubernetes:shop/web:80`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

from pydantic import ValidationError

from pinfeather.model.diagnostics import Code, Diagnostic, error, nearest
from pinfeather.model.document import Document
from pinfeather.model.noun import Noun
from pinfeather.model.services import LoadBalancer, Server, Service, TcpLoadBalancer, TcpServer, TcpService

_KUBERNETES = re.compile(r"(?:kubernetes:)?(?:(?P<namespace>[^/:]+)/)?(?P<service>[^/:]+)(?::(?P<port>[^/:]+))?")
_CONTAINER = re.compile(r"container:(?P<name>[^/:]*)(?::(?P<port>[0-9]+))?")
N = TypeVar("N", bound=Noun)
HOW = "write NAMESPACE/SERVICE:PORT or container:NAME:PORT, then `=`, then URLs (or other references) with commas between them"


class WrongServersError(ValueError):
    """What was said is no reference and no server. The text is one sentence."""


def with_servers(document: Document, given: Mapping[str, Sequence[str]]) -> tuple[Document, tuple[Diagnostic, ...]]:
    """The document with every server that a key of `given` names replaced by the servers that its value says.

    A key that names no server is an error, with the nearest reference that there is. Raises WrongServersError.
    """
    http = {key: tuple(_server(text, key) for text in texts) for key, texts in given.items()}
    tcp = {key: tuple(_tcp_server(text, key) for text in texts) for key, texts in given.items()}
    used: set[str] = set()
    services: dict[str, Service] = {name: _replaced(service, http, used) for name, service in document.services.items()}
    tcp_services: dict[str, TcpService] = {name: _tcp_replaced(service, tcp, used) for name, service in document.tcp_services.items()}
    known = sorted(references(document))
    found = []
    for key in given:
        if key not in used:
            guess = nearest(key, known)
            hint = f"did you mean {guess!r}?" if guess else f"there are {', '.join(known) or 'no references'}"
            found.append(error(Code.OPTION, f"no server of the document is {key!r}", instead=hint))
    return document.model_copy(update={"services": services, "tcp_services": tcp_services}), tuple(found)


def references(document: Document) -> set[str]:
    """Every server that is not named by its address, as a key of `with_servers`."""
    balancers = (each for each in (*document.services.values(), *document.tcp_services.values()))
    found = (server for each in balancers if isinstance(each, LoadBalancer | TcpLoadBalancer) for server in each.servers)
    return {reference(server) for server in found if server.kubernetes is not None or server.container is not None}


def reference(server: Server | TcpServer) -> str:
    """How a server by reference is named here: `shop/web:80`, `container:web:80`."""
    if (ref := server.kubernetes) is not None:
        return f"{f'{ref.namespace}/' if ref.namespace else ''}{ref.service}:{ref.port}"
    if (held := server.container) is not None:
        return f"container:{held.name or ''}{'' if held.port is None else f':{held.port}'}"
    return server.key


def _named(server: Server | TcpServer, given: Mapping[str, object]) -> str | None:
    own = reference(server)
    names = {own, f"kubernetes:{own}", own.rpartition(":")[0]} if server.kubernetes is not None else {own, own.removeprefix("container:")}
    return next((key for key in given if key in names), None)


def _replaced(service: Service, given: Mapping[str, tuple[Server, ...]], used: set[str]) -> Service:
    if not isinstance(service, LoadBalancer):
        return service
    servers: list[Server] = []
    for server in service.servers:
        key = None if server.url is not None else _named(server, given)
        if key is None:
            servers.append(server)
            continue
        used.add(key)
        kept = {"weight": server.weight, "preserve_path": server.preserve_path}
        servers += [new.model_copy(update=kept) for new in given[key]]
    return service.model_copy(update={"servers": _each_once(servers)})


def _each_once(servers: Sequence[N]) -> tuple[N, ...]:
    """Several references that became one Service are that Service once."""
    return tuple(server for index, server in enumerate(servers) if server not in servers[:index])


def _tcp_replaced(service: TcpService, given: Mapping[str, tuple[TcpServer | None, ...]], used: set[str]) -> TcpService:
    if not isinstance(service, TcpLoadBalancer):
        return service
    servers: list[TcpServer] = []
    for server in service.servers:
        key = None if server.address is not None else _named(server, given)
        others = [] if key is None else [new for new in given[key] if new is not None]
        if key is None or not others:
            servers.append(server)
            continue
        used.add(key)
        servers += [new.model_copy(update={"tls": server.tls}) for new in others]
    return service.model_copy(update={"servers": _each_once(servers)})


def _server(text: str, key: str) -> Server:
    return _built(Server, {"url": text} if "://" in text else _reference(text, key), key)


def _tcp_server(text: str, key: str) -> TcpServer | None:
    """The same for TCP, which has addresses and no URLs; None for a URL with more than an address."""
    if "://" not in text:
        return _built(TcpServer, _reference(text, key), key)
    _, _, address = text.partition("://")
    return None if "/" in address or ":" not in address else _built(TcpServer, {"address": address}, key)


def _reference(text: str, key: str) -> dict[str, object]:
    if (held := _CONTAINER.fullmatch(text)) is not None:
        port = None if held["port"] is None else int(held["port"])
        return {"container": {"name": held["name"] or None, "port": port}}
    found = _KUBERNETES.fullmatch(text)
    if found is None or found["port"] is None:
        raise WrongServersError(f"--servers {key}={text}: {HOW}")
    number = str(found["port"])
    where: int | str = int(number) if number.isascii() and number.isdigit() else number
    return {"kubernetes": {"service": found["service"], "namespace": found["namespace"], "port": where}}


def _built(kind: type[N], tree: dict[str, object], key: str) -> N:
    try:
        return kind.model_validate(tree)
    except ValidationError as problem:
        why = problem.errors(include_url=False)[0]["msg"]
        raise WrongServersError(f"--servers {key}: {why}; {HOW}") from None
