"""What was read of Voyager Ingresses, as routes of a document: its own routes in their order behind those of its rules."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from pinfeather.model.diagnostics import Code, error, info, warning
from pinfeather.model.match import Host, Match, PathIs, PathMatch, both, either
from pinfeather.translators._haproxy.annotations import ALLOWED, OBJECT
from pinfeather.translators._haproxy.backends import Object
from pinfeather.translators._haproxy.frontend import Block, Draw, binding
from pinfeather.translators._haproxy.ingress import Ingress, Own, Ruled
from pinfeather.translators._haproxy.plan import RESERVED, Place, default_names, tcp_names
from pinfeather.translators._haproxy.rules import match_of
from pinfeather.translators._syntax.taking import Taking
from pinfeather.translators._syntax.tree import Spans, Tree
from pinfeather.translators._traefik.ladders import Router
from pinfeather.translators._traefik.routing import routes_of

_EVERYTHING = PathIs.model_construct(path=PathMatch.model_construct(prefix="/"))


def put_routes(ingresses: Sequence[Ingress], tree: Object, spans: Spans) -> None:
    routers: list[tuple[Router, Draw | None]] = []
    tcp: list[Object] = []
    for ingress in ingresses:
        if ingress.notes.lost:
            continue
        shared = _shared(ingress, tree)
        for port in ingress.headers:  # those of a port without routes too
            _on_port(ingress, shared, tree, port)
        routers += _routers(ingress, shared, tree)
        tcp += _tcp_routes(ingress, shared, spans, len(tcp))
    made = [router._replace(priority=10 * (len(routers) - place)) for place, (router, _) in enumerate(routers)]
    unasked = {router.name for router, _ in routers if router.match is _EVERYTHING}
    splits = {router.to: draw for router, draw in routers if draw is not None}
    routes = routes_of(made, "routes", spans, lift=True)
    services = tree["services"]
    assert isinstance(services, dict)
    for route in routes:
        assert isinstance(route, dict)
        if route.get("path") == {"prefix": "/"} and str(route["name"]) in unasked:
            del route["path"]
        if (draw := splits.get(str(route["to"]))) is not None:
            del route["to"]
            route |= _split(draw, ingresses)
        canaries = route.get("canaries")
        for canary in canaries if isinstance(canaries, list) else []:
            if isinstance(canary, dict) and (draw := splits.get(str(canary["to"]))) is not None:
                services[str(canary["to"])] = _split(draw, ingresses)
    tree["routes"] = list(routes)
    tree["tcp_routes"] = [{**route, "priority": 10 * (len(tcp) - place)} for place, route in enumerate(tcp)]


def _split(draw: Draw, ingresses: Sequence[Ingress]) -> Object:
    entries: list[Tree] = [{"to": to, "weight": weight, **({} if binds else {"binds": False})} for to, weight, binds in draw.entries]
    tree: Object = {"split": entries, **({"weight_zero": "keep"} if draw.keeps else {})}
    if draw.cookie is not None:
        cookies = (cookie for ingress in ingresses for cookie in ingress.backends.variants.values() if cookie["name"] == draw.cookie)
        tree["sticky"] = {"cookie": dict(next(cookies))}
    return tree


def _on_port(ingress: Ingress, shared: Object, tree: Object, port: int) -> Object:
    """The same with the headers that the frontend of a port sets."""
    headers = ingress.headers.get(port)
    if not headers:
        return shared
    held, before = tree["middlewares"], shared.get("middlewares")
    assert isinstance(held, dict)
    names: list[Tree] = list(before) if isinstance(before, list) else []
    for name, middleware in headers.items():
        own = name if held.get(name, middleware) == middleware else f"{name}-{port}"
        held[own] = middleware
        names.append(own)
    return {**shared, "middlewares": names}


def _shared(ingress: Ingress, tree: Object) -> Object:
    """What all routes of an Ingress have: its metadata, and who may pass."""
    owner = ingress.notes.owner
    metadata: Object = {**owner.metadata, "annotations": dict(ingress.notes.rest)}
    metadata |= {"object": owner.name} if owner.name != OBJECT else {}
    metadata = {key: value for key, value in metadata.items() if value}
    shared: Object = {"metadata": metadata} if metadata else {}
    if ingress.notes.allowed:
        middleware: Tree = {"ip_allow_list": {"source_ranges": list(ingress.notes.allowed)}}
        for section in ("middlewares", "tcp_middlewares") if ingress.tcp else ("middlewares",):
            held = tree[section]
            assert isinstance(held, dict)
            name = ALLOWED if held.get(ALLOWED, middleware) == middleware else f"{owner.name}-{ALLOWED}"
            held[name] = middleware
            shared["middlewares"] = [name]
    return shared


def _routers(ingress: Ingress, shared: Object, tree: Object) -> list[tuple[Router, Draw | None]]:
    found = _ruled_routers(ingress, shared, tree)
    names = default_names((own.place.host, own.place.path) for own in ingress.own)
    merged: dict[tuple[str, Place, bool, str], tuple[Own, list[str]]] = {}
    for own, default in zip(ingress.own, names, strict=True):
        if own.to is None or own.place.port in ingress.blocked:
            continue
        key = (own.name or f"{default} ", own.place._replace(host=None), own.named, str((own.tls, own.to)))
        hosts = merged.setdefault(key, (own._replace(name=own.name or default), []))[1]
        hosts += [own.place.host] if own.place.host is not None else []
    for own, hosts in merged.values():
        match = _match(own, hosts)
        if match is not None:
            points = [ingress.entry_point(own.place.port)] if own.named else []
            found.append(
                (
                    _router(own.node, str(own.name), match, str(own.to), points, own.tls, _on_port(ingress, shared, tree, own.place.port)),
                    None,
                )
            )
    rest = ingress.rest
    if rest is not None and rest.to is not None and not ingress.blocked:
        taken = {router.name for router, _ in found}
        name = next(each for each in ("default", *(f"default-{number}" for number in range(2, len(taken) + 3))) if each not in taken)
        found.append((_router(rest.node, name, _EVERYTHING, rest.to, [], None, _on_port(ingress, shared, tree, rest.place.port)), None))
    return found


def _match(own: Own, hosts: Sequence[str]) -> Match | None:
    try:
        named = (either(tuple(Host(host=host) for host in hosts)),) if hosts else ()
        path = (PathIs(path=PathMatch(prefix=own.place.path)),) if own.place.path else ()
    except ValidationError as wrong:
        own.node.error(Code.VALUE, str(wrong.errors(include_url=False)[0]["msg"]), instead="write it as HAProxy could match it")
        return None
    if any(host.startswith("*") for host in hosts):
        said = "HAProxy takes several labels for the `*` of a host; it is read as one"
        own.node.report(info(Code.ASSUMED, said, span=own.node.span, instead="nothing to do, if no deeper names are in use"))
    return both((*named, *path)) or _EVERYTHING


def _router(node: Taking, name: str, match: Match, to: str, points: Sequence[str], tls: Tree, shared: Object) -> Router:
    tree: Object = {**shared, **({"entry_points": list(points)} if points else {}), **({"tls": tls} if tls is not None else {})}
    spans = Spans({(): node.spot, ("name",): node.spot, ("match",): node.spot, ("to",): node.spot_of("backend")})
    return Router(name, match, to, 0, False, tree, node, spans)


def _ruled_routers(ingress: Ingress, shared: Object, tree: Object) -> list[tuple[Router, Draw | None]]:
    groups: dict[tuple[int, str], list[Ruled]] = {}
    loose = 10**6
    used: dict[str, int] = {}
    for each in ingress.ruled:
        index, name = each.block.number, each.block.name
        if index is None or name is None:
            loose, target = loose + 1, str(each.block.to)
            used[target] = used.get(target, 0) + 1
            index, name = loose, f"{target}-rule-{used[target]}"
        groups.setdefault((index, name), []).append(each)
    found: list[tuple[Router, Draw | None]] = []
    for (_, name), parts in sorted(groups.items(), key=lambda item: item[0]):
        made = (
            None
            if any(part.port in ingress.blocked for part in parts)
            else _ruled(ingress, name, parts, _on_port(ingress, shared, tree, parts[0].port))
        )
        if made is not None:
            found.append(made)
    return found


def _ruled(ingress: Ingress, name: str, parts: Sequence[Ruled], shared: Object) -> tuple[Router, Draw | None] | None:
    """One route of the rules, from each port that it stands on; None where it leads nowhere, and that was reported."""
    first = parts[0].block
    node = ingress.notes.owner.node
    if any(part.block._replace(place=None) != first._replace(place=None) for part in parts):
        said = f"the route {name!r} is not the same on all of its ports"
        node.report(error(Code.UNSUPPORTED, f"{said}: it is not read", span=parts[0].span, instead="write it again for each port"))
        return None
    draw = first.to if isinstance(first.to, Draw) else None
    for backend in _backends_of(first):
        if backend not in ingress.backends.named:
            said = f"there is no backend {backend!r}: HAProxy refuses the whole configuration, and all later changes"
            node.report(error(Code.REFERENCE, said, span=parts[0].span, instead="name it in a rule of this Ingress: `backend: {name: …}`"))
            return None
        unset = draw is not None and backend.startswith("pinfeather:") and backend not in ingress.backends.variants
        if ingress.backends.named[backend] is None or unset:
            return None
    if draw is not None and draw.cookie is not None and draw.cookie not in (given := _set_by(first, ingress)):
        others = ", ".join(map(repr, sorted(given))) or "none"
        said = f"the rules of {name!r} ask for the cookie {draw.cookie!r}, and its backends set {others}"
        node.report(error(Code.UNSUPPORTED, f"{said}: it is not read", span=parts[0].span, instead="let both name the same cookie"))
        return None
    points = [ingress.entry_point(part.port) for part in sorted(parts, key=lambda part: part.block.place or 0)]
    match = match_of(first.asked) or _EVERYTHING
    tls = _ruled_tls(ingress, first, parts[0].port)
    unplaced = first.number is not None and first.place is None
    to = str(ingress.backends.named[first.to]) if isinstance(first.to, str) else f"{name} split"
    router = _router(node, name, match, to, [] if unplaced else points, tls, shared)
    spans = Spans(dict.fromkeys(router.spans, parts[0].span))
    return router._replace(spans=spans), None if draw is None else _resolved(draw, ingress)


def _set_by(block: Block, ingress: Ingress) -> set[str]:
    """The variant cookies that the backends of a route set."""
    variants = ingress.backends.variants
    return {str(variants[backend]["name"]) for backend in _backends_of(block) if backend in variants}


def _resolved(draw: Draw, ingress: Ingress) -> Draw:
    return draw._replace(entries=tuple((str(ingress.backends.named[to]), weight, binds) for to, weight, binds in draw.entries))


def _backends_of(block: Block) -> list[str]:
    if isinstance(block.to, str):
        return [block.to]
    bound = [binding(to, block.number or 0) for to, _, binds in block.to.entries if binds and block.to.cookie is not None]
    return [*(to for to, _, _ in block.to.entries), *bound]


def _ruled_tls(ingress: Ingress, block: Block, port: int) -> Tree:
    """The certificate of a route in a frontend: a port speaks TLS, or not, for all of its routes."""
    hosts = [leaf.host for asked in block.asked if not asked.negated for leaf in asked.leaves if isinstance(leaf, Host)]
    reserved = f"port-{port}.{RESERVED}"
    if port not in ingress.secure and reserved not in ingress.secrets:
        return None
    secret = next((ingress.secrets[host] for host in hosts if ingress.secrets.get(host) is not None), None)
    return {"secret": secret} if secret is not None else {}


# TCP -------------------------------------------------------------------------------------------------------------------


def _tcp_routes(ingress: Ingress, shared: Object, spans: Spans, before: int) -> list[Object]:
    found: list[Object] = []
    http = {own.place.port for own in ingress.own} | {each.port for each in ingress.ruled}
    names = tcp_names(own.place.port for own in ingress.tcp)
    for own, default in zip(ingress.tcp, names, strict=True):
        port = own.place.port
        together = [other for other in ingress.tcp if other.place.port == port]
        if port in http:
            own.node.error(Code.VALUE, f"port {port} is one of HTTP as well: Voyager refuses the Ingress", instead="take another port")
            continue
        if own.to is None or port in ingress.blocked:
            continue
        route: Object = {"name": own.name or default, **shared, "entry_points": [ingress.entry_point(port)], "to": own.to}
        if own.tls is not None:
            route["tls"] = own.tls
        if len(together) > 1 and own.place.host is not None:
            route["sni"] = [own.place.host]
            route.setdefault("tls", {"terminate": False, "passthrough": True})
        elif own.place.host is not None:
            said = f"the host {own.place.host!r} of the only TCP rule on port {port} is not asked: every connection comes here"
            own.node.report(warning(Code.SETTING_IGNORED, said, span=own.node.span, instead="leave the host out"))
        spans[("tcp_routes", before + len(found))] = own.node.span
        found.append(route)
    return found
