"""Services in Traefik's spelling: load balancers over servers and weighted splits, of HTTP and of TCP."""

from __future__ import annotations

from pinfeather.model.canary import SplitEntry
from pinfeather.model.diagnostics import Code, Path, info
from pinfeather.model.services import LoadBalancer, Service, Split, TcpLoadBalancer, TcpService, TcpSplit
from pinfeather.model.sticky import Sticky
from pinfeather.translators._syntax.taking import Taking
from pinfeather.translators._syntax.tree import Tree
from pinfeather.translators._traefik.nouns import (
    CONTAINER,
    COOKIE,
    HEALTH_CHECK,
    LOAD_BALANCER,
    PASSIVE_HEALTH_CHECK,
    SERVER,
    SERVICE_MIDDLEWARES,
    SPLIT_ENTRY,
    TCP_LOAD_BALANCER,
    TCP_SERVER,
    TCP_SPLIT_ENTRY,
    Key,
    Reader,
    put,
    take,
    take_sticky,
)

_NO_NOUN = ("mirroring", "failover", "highestRandomWeight")
_NO_NOUN_FOLDED = frozenset(kind.lower() for kind in _NO_NOUN)
_KINDS = dict.fromkeys(("loadBalancer", "weighted"))
_OF_A_BALANCER = dict.fromkeys(("sticky", "healthCheck", "passiveHealthCheck"))
_CHECKS = (("health_check", "healthCheck", HEALTH_CHECK), ("passive_health_check", "passiveHealthCheck", PASSIVE_HEALTH_CHECK))


def take_service(name: str, node: Taking, at: Path, reader: Reader) -> Tree:
    """The tree of the service at `at`, or None where the model has no noun for it or it is none; the reason was reported."""
    reader.spans[at] = node.spot
    own = take(node, SERVICE_MIDDLEWARES, at, reader)
    if isinstance(node.value, dict) and not _NO_NOUN_FOLDED.isdisjoint(map(str.lower, node.value)):
        node.known(*_NO_NOUN, why="the model has no such service, and what goes there is left out")
        return None
    balancer, weighted = _one_kind(node)
    if balancer is not None:
        return {**_load_balancer(name, balancer, at, reader), **own}
    if weighted is None:
        return None
    split: dict[str, Tree] = {"split": _entries(weighted, at, SPLIT_ENTRY, reader)}
    if (sticky := take_sticky(weighted, (*at, "sticky"), reader, name, split=True)) is not None:
        split["sticky"] = sticky
        _say_new_values(weighted, split["split"], at, reader)
    if weighted.map("healthCheck", may_be_true=True) is not None:
        split["when_down"] = "redraw"
        reader.mark((*at, "when_down"), weighted, "healthCheck")
    return {**split, **own}


def _say_new_values(node: Taking, entries: Tree, at: Path, reader: Reader) -> None:
    """A variant's cookie value is made of the child's name as it is written: without the own provider it is another one."""
    own = f"@{reader.provider}"
    written = node.value.get("services") if isinstance(node.value, dict) else None
    listed = [entry.get("name") for entry in written if isinstance(entry, dict)] if isinstance(written, list) else []
    names = [name for name in listed if isinstance(name, str) and name.endswith(own)]
    if not names:
        return
    kept = [entry.get("to") for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    for name in names:
        if name not in kept:
            said = f"{name!r} is read as {name.rpartition('@')[0]!r}: written so, the value of its cookie changes once"
            node.report(info(Code.ASSUMED, said, (*at, "split"), instead="clients are drawn anew once", span=node.span_of("services")))


def _one_kind(node: Taking) -> tuple[Taking | None, Taking | None]:
    here = node.present(_KINDS)
    found = [node.map(kind) if kind in here else None for kind in _KINDS]
    given = [kind for kind, held in zip(_KINDS, found, strict=True) if held is not None]
    if len(given) == 1:
        return found[0], found[1]
    for held in found:
        if held is not None:
            held.forget()
    said = "a service of two kinds" if given else "a service without a kind"
    if given or not node.left():
        node.error(Code.VALUE, f"{said}: Traefik disables what uses it", instead=f"give it one of {', '.join(_KINDS)}")
    return None, None


def _load_balancer(name: str, node: Taking, at: Path, reader: Reader) -> dict[str, Tree]:
    tree: dict[str, Tree] = {"servers": _listed(node, "servers", SERVER, (*at, "servers"), reader)}
    here = node.present(_OF_A_BALANCER)
    if "sticky" in here and (sticky := take_sticky(node, (*at, "sticky"), reader, name, split=False)) is not None:
        tree["sticky"] = sticky
    for field, key, keys in _CHECKS:
        if key in here and (held := node.map(key)) is not None:
            reader.mark((*at, field), node, key)
            tree[field] = take(held, keys, (*at, field), reader)
    return {**tree, **take(node, LOAD_BALANCER, at, reader)}


def _listed(node: Taking, key: str, keys: tuple[Key, ...], at: Path, reader: Reader) -> list[Tree]:
    found: list[Tree] = []
    for item in node.list(key):
        here = (*at, len(found))
        reader.spans[here] = item.spot
        server = take(item, keys, here, reader)
        if reader.labels and (container := item.map("container")) is not None:
            reader.spans[(*here, "container")] = container.spot
            server["container"] = take(container, CONTAINER, (*here, "container"), reader)
        found.append(server)
    return found


def _entries(node: Taking, at: Path, keys: tuple[Key, ...], reader: Reader) -> list[Tree]:
    reader.mark((*at, "split"), node, "services")
    return _listed(node, "services", keys, (*at, "split"), reader)


def take_tcp_service(node: Taking, at: Path, reader: Reader) -> Tree:
    """The same for TCP."""
    reader.spans[at] = node.spot
    balancer, weighted = _one_kind(node)
    if weighted is not None:
        weighted.known("healthCheck")
        return {"split": _entries(weighted, at, TCP_SPLIT_ENTRY, reader)}
    if balancer is None:
        return None
    tree: dict[str, Tree] = {"servers": _listed(balancer, "servers", TCP_SERVER, (*at, "servers"), reader)}
    tree.update(take(balancer, TCP_LOAD_BALANCER, at, reader))
    if (proxy := balancer.map("proxyProtocol", may_be_true=True)) is not None:
        tree["proxy_protocol"] = proxy.integer("version") or 2  # Traefik's default
        reader.mark((*at, "proxy_protocol"), balancer, "proxyProtocol")
    balancer.known("terminationDelay", "healthCheck")
    return tree


def put_service(service: Service) -> dict[str, Tree]:
    """The service under Traefik's keys."""
    own = put(service, SERVICE_MIDDLEWARES)
    if isinstance(service, Split):
        health: dict[str, Tree] = {"healthCheck": {}} if service.when_down == "redraw" else {}
        return {"weighted": {**put_split(service.split), **put_sticky(service.sticky), **health}, **own}
    return {"loadBalancer": _put_load_balancer(service), **own}


def _put_load_balancer(service: LoadBalancer) -> dict[str, Tree]:
    tree: dict[str, Tree] = {"servers": [put(server, SERVER) for server in service.servers], **put_sticky(service.sticky)}
    if service.health_check is not None:
        tree["healthCheck"] = put(service.health_check, HEALTH_CHECK)
    if service.passive_health_check is not None:
        tree["passiveHealthCheck"] = put(service.passive_health_check, PASSIVE_HEALTH_CHECK)
    return {**tree, **put(service, LOAD_BALANCER)}


def put_split(entries: tuple[SplitEntry, ...]) -> dict[str, Tree]:
    return {"services": [put(entry, SPLIT_ENTRY) for entry in entries]}


def put_sticky(sticky: Sticky | None) -> dict[str, Tree]:
    return {} if sticky is None or sticky.cookie is None else {"sticky": {"cookie": put(sticky.cookie, COOKIE)}}


def put_tcp_service(service: TcpService) -> dict[str, Tree]:
    if isinstance(service, TcpSplit):
        return {"weighted": put_split(service.split)}
    return {"loadBalancer": _put_tcp_load_balancer(service)}


def _put_tcp_load_balancer(service: TcpLoadBalancer) -> dict[str, Tree]:
    tree: dict[str, Tree] = {"servers": [put(server, TCP_SERVER) for server in service.servers], **put(service, TCP_LOAD_BALANCER)}
    return tree if service.proxy_protocol is None else {**tree, "proxyProtocol": {"version": service.proxy_protocol}}
