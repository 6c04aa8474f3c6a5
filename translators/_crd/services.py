"""What routes and TraefikServices lead to, read: one use of a backend is one service, and two uses that say the same are one.

A Service has no settings of its own; whoever names it says how (kubernetes_http.go, nameAndService). So a use is called
after the Service that it names, and a second use with other settings gets a number. A TraefikService has a name; one
over a single Service, with neither weight nor cookie, is nothing but a name for that use.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from pinfeather.model.diagnostics import Code, Path, info, warning
from pinfeather.model.noun import Template
from pinfeather.translators._crd.backends import Asked, Backend, servers_of
from pinfeather.translators._crd.catalogue import Catalogue, Named, child_name, free_name, plain_name, service_id
from pinfeather.translators._syntax.kube import KubeObject
from pinfeather.translators._syntax.taking import Taking
from pinfeather.translators._syntax.tree import Spans, Tree
from pinfeather.translators._traefik.nouns import (
    HEALTH_CHECK,
    LOAD_BALANCER,
    PASSIVE_HEALTH_CHECK,
    Table,
    take,
    take_sticky,
)

_CHECKS = (("health_check", "healthCheck", HEALTH_CHECK), ("passive_health_check", "passiveHealthCheck", PASSIVE_HEALTH_CHECK))
_OF_A_SERVICE = (
    "port", "scheme", "sticky", "strategy", "passHostHeader", "responseForwarding", "serversTransport", "nativeLB", "nodePortLB",
    "healthCheck", "passiveHealthCheck", "middlewares",
)  # fmt: skip
"""What Traefik reads of a Service only, never of a TraefikService (kubernetes_http.go:689)."""
_NO_NOUN = ("mirroring", "highestRandomWeight", "failover")
_BALANCER_KEYS = Table(key for key in LOAD_BALANCER if key.field != "servers_transport")
_SETTINGS = dict.fromkeys(
    (
        *("sticky", "nativeLB", "nodePortLB", "healthCheck", "passiveHealthCheck", "middlewares"),
        *(key.inside or key.key for key in LOAD_BALANCER),
    )
)
"""What a use of a Service may say beside where it leads."""
_in_one_order = json.JSONEncoder(sort_keys=True, default=str).encode
SCHEMES = ("http", "https", "h2c")


class Target(NamedTuple):
    """Where an item of `services` leads: the service's name in the document, and its weight as it was written."""

    to: str
    weight: Tree
    node: Taking


@dataclass
class Backends:
    """The services of one run, as they are met."""

    catalogue: Catalogue
    services: dict[str, Tree] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    used: dict[tuple[str, str], str] = field(default_factory=dict)
    """The name of each use, by its namespace and what it says."""
    known: dict[KubeObject, Backend] = field(default_factory=dict)
    section: str = "services"
    splits: dict[str, Spans] = field(default_factory=dict)
    """The splits inside routes, by the name of their service."""
    children: dict[str, tuple[str, Taking]] = field(default_factory=dict)
    """What Traefik calls a Service among several, what it says, and where: it is one thing, wherever it stands."""

    @property
    def tcp(self) -> bool:
        return self.section == "tcp_services"

    def use(self, item: Taking, parent: KubeObject, dynamic: Callable[[], str], *, child: bool, name: str = "") -> Target | None:
        """One item of `services`; None where Traefik drops what holds it, and that was said.

        `dynamic`: what Traefik calls it; `name`: what the document calls it, if not after the Service.
        """
        kind = item.text("kind") or "Service"
        weight = item.number("weight", 0)
        if kind == "TraefikService" and not self.tcp:
            self._ignored(item)
            to = self.catalogue.refer("TraefikService", parent, item)
            return None if to is None else Target(to, weight, item)
        if kind != "Service":
            item.error(Code.VALUE, f"there is no kind {kind!r} here", "kind", instead="write Service or TraefikService")
        asked = self._asked(item, parent)
        if asked is None or kind != "Service":
            item.forget()
            return None
        spans = Spans({(): item.spot})
        tree = self._tcp_balancer(asked, spans) if self.tcp else self._balancer(asked, spans, dynamic)
        if tree is None:
            return None
        where = asked.namespace or parent.namespace or ""
        said = _in_one_order(tree)
        key = (self.catalogue.options.home(where or None), said)
        if child:
            self._collide(dynamic(), said, item)
        if name:
            self.add(name, tree, spans)
            return Target(name, weight, item)
        if key not in self.used:
            name = free_name(plain_name(asked.service), self.taken)
            self.add(name, tree, spans)
            self.used[key] = name
        return Target(self.used[key], weight, item)

    def add(self, name: str, tree: Tree, spans: Spans) -> None:
        self.taken.add(name)
        self.services[name] = tree
        self.catalogue.spans.put_below((self.section, name), spans)

    def _collide(self, dynamic: str, said: str, item: Taking) -> None:
        before = self.children.setdefault(dynamic, (said, item))
        if before[0] != said:
            first = before[1].span
            text = f"Traefik calls this {dynamic!r}, as it calls another use (line {first.line}): the settings of one hold for both"
            item.report(warning(Code.COLLISION, text, item.path, instead="say the same in both, or set safeNaming", span=item.span))

    def _ignored(self, item: Taking) -> None:
        here = item.value.keys() & _OF_A_SERVICE if isinstance(item.value, dict) else ()
        for key in _OF_A_SERVICE if here else ():
            if isinstance(item.value, dict) and item.value.get(key) is not None:
                item.tree(key)
                said = f"Traefik ignores `{key}` beside `kind: TraefikService`"
                instead = "write it in the TraefikService itself"
                item.report(warning(Code.SETTING_IGNORED, said, (*item.path, key), instead=instead, span=item.key_span_of(key)))

    def _asked(self, item: Taking, parent: KubeObject) -> Asked | None:
        name, namespace = item.text("name"), self.catalogue.namespace(parent, item)
        raw = item.value.get("port") if isinstance(item.value, dict) else None
        port = item.text("port") if isinstance(raw, str) else item.integer("port", 1, 65535)
        scheme = None if self.tcp else item.text("scheme") or None
        if not name:
            if isinstance(item.value, dict) and item.value.get("name") in (None, ""):
                item.error(Code.VALUE, "an item of `services` has no name", instead="add `name`")
            return None
        if port is None:
            if raw is None:
                item.error(Code.VALUE, f"the Service {name!r} is named without a port: Traefik drops the route", instead="add `port`")
            return None
        if isinstance(port, str) and not isinstance(port, Template) and port.isascii() and port.isdigit():
            item.error(Code.VALUE, f"`port: {port!r}` is the name of a port, and no number", "port", instead=f"write `port: {port}`")
            return None
        if scheme is not None and scheme not in SCHEMES and not isinstance(scheme, Template):
            item.error(
                Code.VALUE, f"there is no scheme {scheme!r}: Traefik drops the route", "scheme", instead=f"one of {', '.join(SCHEMES)}"
            )
            return None
        return None if namespace == "" else Asked(item, parent, name, namespace, port, scheme)

    def _balancer(self, asked: Asked, spans: Spans, dynamic: Callable[[], str]) -> dict[str, Tree] | None:
        item, catalogue = asked.node, self.catalogue
        servers = servers_of(asked, catalogue, self.known, tcp=False)
        spans[("servers",)] = named = item.spot_of("name")
        for index in range(len(servers or ())):
            spans[("servers", index)] = named
        tree: dict[str, Tree] = {"servers": list(servers or ())}
        if not item.present(_SETTINGS):
            return None if servers is None else tree
        reader = catalogue.reader(asked.parent, spans)
        sticky = take_sticky(item, ("sticky",), reader, dynamic(), split=False)
        native = item.boolean("nativeLB")
        if sticky is not None and native:
            said = "with nativeLB there is one server, the Service itself: the cookie pins nothing, kube-proxy draws the pod"
            item.report(
                warning(Code.NATIVE_LB, said, item.path, instead="leave nativeLB out; read without `sticky`", span=item.span_of("nativeLB"))
            )
        elif sticky is not None:
            tree["sticky"] = sticky
        for key in (key for key, on in (("nativeLB", native), ("nodePortLB", item.boolean("nodePortLB"))) if on):
            said = f"`{key}`: kube-proxy draws the pod for each connection; read as if Traefik drew it"
            item.report(info(Code.ASSUMED, said, (*item.path, key), span=item.key_span_of(key)))
        for key, own, keys in _CHECKS:
            if (held := item.map(own)) is not None:
                reader.mark((key,), item, own)
                tree[key] = take(held, keys, (key,), reader)
        tree |= take(item, _BALANCER_KEYS, (), reader)
        if tree.get("strategy") == "RoundRobin":
            tree["strategy"] = "wrr"
        if not self._refer(asked, tree, reader.spans):
            return None
        return None if servers is None or not self._checked(asked, tree) else tree

    def _refer(self, asked: Asked, tree: dict[str, Tree], spans: Spans) -> bool:
        """Takes what a use names; False where one of it is not there."""
        item, catalogue = asked.node, self.catalogue
        transport = item.text("serversTransport")
        if transport:
            kind = "ServersTransportTCP" if self.tcp else "ServersTransport"
            found = catalogue.look_up(kind, asked.parent, transport, None, item, "serversTransport")
            if found is None:
                return False
            tree["servers_transport"] = found
            spans[("servers_transport",)] = item.spot_of("serversTransport")
        if self.tcp:
            return True
        names = [catalogue.refer("Middleware", asked.parent, each) for each in item.list("middlewares")]
        if names:
            tree["middlewares"] = list(names)
            for index in range(len(names)):
                spans[("middlewares", index)] = item.spot_of("middlewares", index)
            spans[("middlewares",)] = item.spot_of("middlewares")
        return None not in names

    def _checked(self, asked: Asked, tree: dict[str, Tree]) -> bool:
        """Traefik drops a route with an active health check on anything but an ExternalName (kubernetes_http.go:531)."""
        if "health_check" not in tree:
            return True
        obj = self.catalogue.find("Service", self._home(asked), asked.service)
        if obj is None:
            said = f"`healthCheck` works for ExternalName Services only; {asked.service!r} is not here, and taken for one"
            asked.node.report(info(Code.ASSUMED, said, (*asked.node.path, "healthCheck"), span=asked.node.key_span_of("healthCheck")))
            return True
        backend = self.known.get(obj.obj)
        if backend is not None and backend.external is None:
            said = f"`healthCheck` works for ExternalName Services only, and {obj.obj.where} is none: Traefik drops the route"
            asked.node.error(Code.VALUE, said, "healthCheck", instead="leave it out: Kubernetes checks its pods; or use passiveHealthCheck")
            return False
        return True

    def _home(self, asked: Asked) -> str:
        catalogue = self.catalogue
        return catalogue.home(asked.parent) if asked.namespace is None else catalogue.options.home(asked.namespace)

    def _tcp_balancer(self, asked: Asked, spans: Spans) -> dict[str, Tree] | None:
        item = asked.node
        servers = servers_of(asked, self.catalogue, self.known, tcp=True)
        tls, proxy = item.boolean("tls"), item.map("proxyProtocol")
        item.known("terminationDelay")
        for key in ("nativeLB", "nodePortLB"):
            item.boolean(key)
        spans[("servers",)] = named = item.spot_of("name")
        own: dict[str, Tree] = {} if tls is None else {"tls": tls}
        listed: list[Tree] = [{**server, **own} for server in servers or () if isinstance(server, dict)]
        for index in range(len(listed)):
            spans[("servers", index)] = named
        tree: dict[str, Tree] = {"servers": listed}
        if proxy is not None:
            tree["proxy_protocol"] = proxy.integer("version", 1, 2) or 2  # Traefik's default
            spans[("proxy_protocol",)] = item.spot_of("proxyProtocol")
        found = self._refer(asked, tree, spans)
        return tree if servers is not None and found else None


# TraefikServices -------------------------------------------------------------------------------------------------------


def take_traefik_services(backends: Backends) -> None:
    """Every TraefikService, in the order of the stream. What hangs on a lost one is left out by whoever names it."""
    catalogue = backends.catalogue
    things = list(catalogue.of("TraefikService"))
    backends.taken |= {thing.name for thing in things}
    for thing in things:
        thing.lost = not _take(thing, backends)


def _take(thing: Named, backends: Backends) -> bool:
    obj, catalogue = thing.obj, backends.catalogue
    spec = obj.node.map("spec")
    if spec is None:
        return False
    spec.known(*_NO_NOUN, why="the model has no such service, and what goes there is left out")
    weighted = spec.map("weighted")
    if weighted is None:
        return False
    home = catalogue.home(obj)
    dynamic = service_id(home, str(obj.name), catalogue.options)
    spans = Spans({(): obj.node.spot})
    reader = catalogue.reader(obj, spans)
    items = weighted.list("services")
    sticky = take_sticky(weighted, ("sticky",), reader, dynamic, split=True)
    single = items[0].value if len(items) == 1 and isinstance(items[0].value, dict) else {}
    alias = sticky is None and single.get("kind") in (None, "", "Service") and "weight" not in single and bool(single)
    named = thing.name if alias else ""
    targets = [use_child(backends, item, obj, dynamic, index, named) for index, item in enumerate(items)]
    if not items:
        weighted.error(Code.VALUE, f"{obj.where} has no services", instead="add one")
    if None in targets or not items:
        return False
    if alias:
        return True
    split = entries_of([target for target in targets if target is not None], spans)
    spans[("split",)] = weighted.spot_of("services")
    backends.add(thing.name, {"split": split, **({} if sticky is None else {"sticky": sticky})}, spans)
    return True


def entries_of(targets: list[Target], spans: Spans) -> list[Tree]:
    """The variants of a split. One that stands there twice, with the same settings, has both shares."""
    found: dict[str, dict[str, Tree]] = {}
    for target in targets:
        weight: Tree = 1 if target.weight is None else target.weight
        before = found.get(target.to)
        if before is not None and isinstance(weight, int) and isinstance(before["weight"], int):
            before["weight"] += weight
            said = f"{target.to!r} stands in this split already: its weights are added up"
            target.node.report(info(Code.ASSUMED, said, target.node.path, span=target.node.span))
            continue
        at: Path = ("split", len(found))
        found[target.to] = {"to": target.to, "weight": weight}
        spans[at] = target.node.spot
        spans[(*at, "to")] = target.node.spot_of("name")
        if target.weight is not None:
            spans[(*at, "weight")] = target.node.spot_of("weight")
    return list(found.values())


def use_child(backends: Backends, item: Taking, parent: KubeObject, holder: str, index: int, name: str = "") -> Target | None:
    """An item among several, or of a TraefikService: Traefik gives it a name of its own."""
    value = item.value if isinstance(item.value, dict) else {}
    options = backends.catalogue.options
    namespace = value.get("namespace")
    home = options.home(namespace if isinstance(namespace, str) and namespace else parent.namespace)
    dynamic = partial(child_name, holder, home, str(value.get("name")), value.get("port"), index, options)
    return backends.use(item, parent, dynamic, child=not options.safe_naming, name=name)


# What hangs on what ------------------------------------------------------------------------------------------------------


def prune(tree: dict[str, Tree]) -> None:
    """Leaves out what leads to something that was lost, so that each loss is said once, at its own line."""
    changed = True
    while changed:
        changed = False
        for section in ("middlewares", "services", "tcp_services"):
            nouns = tree[section]
            assert isinstance(nouns, dict)
            for name in [name for name, noun in nouns.items() if any(_missing(tree, where, to) for where, to in named_by(noun, section))]:
                del nouns[name]
                changed = True


def _missing(tree: dict[str, Tree], section: str, name: str) -> bool:
    nouns = tree[section]
    return "@" not in name and isinstance(nouns, dict) and name not in nouns


_NAMING = frozenset(("middlewares", "chain", "split", "servers_transport", "tls"))


def named_by(noun: Tree, section: str) -> Iterator[tuple[str, str]]:
    """What the tree of a noun names, by section."""
    if not isinstance(noun, dict) or _NAMING.isdisjoint(noun):
        return
    middlewares = "tcp_middlewares" if section in ("tcp_services", "tcp_routes") else "middlewares"
    services = "tcp_services" if section in ("tcp_services", "tcp_routes") else "services"
    chain, split, tls = noun.get("chain"), noun.get("split"), noun.get("tls")
    listed = [noun.get("middlewares"), chain.get("middlewares") if isinstance(chain, dict) else None]
    yield from ((middlewares, str(name)) for names in listed if isinstance(names, list) for name in names)
    yield from ((services, str(entry["to"])) for entry in (split if isinstance(split, list) else ()) if isinstance(entry, dict))
    if isinstance(transport := noun.get("servers_transport"), str):
        yield "servers_transports", transport
    if isinstance(tls, dict) and isinstance(options := tls.get("options"), str) and options != "default":
        yield "tls_options", options
