"""A document as Traefik's objects, in the order in which they are to be applied: what `ingressroute` and `helm-values` write."""

from __future__ import annotations

from collections.abc import Iterator

from pinfeather.model.document import Document
from pinfeather.model.normal import Rung
from pinfeather.model.noun import Noun, Template
from pinfeather.model.routes import Route, TcpRoute, Tls
from pinfeather.model.services import KubernetesRef, LoadBalancer, Split, TcpLoadBalancer
from pinfeather.translators._crd.backends import Spot, put_service_objects, spots_of
from pinfeather.translators._crd.catalogue import PROVIDER, CrdOptions
from pinfeather.translators._crd.middlewares import Refer, put_middleware_objects, put_object
from pinfeather.translators._crd.plan import Key, Plan, Written
from pinfeather.translators._syntax.tree import Tree
from pinfeather.translators._traefik.nouns import (
    DOMAIN,
    HEALTH_CHECK,
    LOAD_BALANCER,
    PASSIVE_HEALTH_CHECK,
    TLS_OPTIONS,
    put,
)
from pinfeather.translators._traefik.numbers import tcp_numbers
from pinfeather.translators._traefik.routing import Rules, put_observability, tcp_rule
from pinfeather.translators._traefik.services import put_sticky
from pinfeather.translators._traefik.supports import is_tcp_transport

CERTIFICATE = "cert-manager.io/v1"
_BALANCER_KEYS = tuple(key for key in LOAD_BALANCER if key.field != "servers_transport")
_TLS_OPTION_KEYS = tuple(key for key in TLS_OPTIONS if key.field != "client_auth_ca_files")
Fields = dict[str, Tree]


def object_trees(document: Document, options: CrdOptions, *, templates: bool = False) -> list[Tree]:
    """Every object, what is named before what names it. `templates`: those in the document are written to the letter."""
    return list(_Writer(Plan(document, options, templates).settle()).objects())


class _Writer:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.document = plan.document
        self.rules = Rules(plan.options.version, plan.templates)
        self.joint = "_" if plan.options.safe_naming else "-"

    def objects(self) -> Iterator[Tree]:
        document = self.document
        for section in ("services", "tcp_services"):
            for name in sorted(getattr(document, section)):
                if (spots := self._spots((section, name))) is not None:
                    yield from put_service_objects(name, self.plan.home((section, name)), spots, slices=self.plan.options.version > (3, 0))
        for name, options in document.tls_options.items():
            yield put_object("TLSOption", name, self.plan.home(("tls_options", name)), None, {"spec": put(options, _TLS_OPTION_KEYS)})
        for name, tree in document.servers_transports.items():
            kind = "ServersTransportTCP" if is_tcp_transport(tree) else "ServersTransport"
            yield put_object(kind, name, self.plan.home(("servers_transports", name)), None, {"spec": tree})
        for section, tcp in (("middlewares", False), ("tcp_middlewares", True)):
            for name, middleware in getattr(document, section).items():
                key: Key = (section, name)
                refer = self._referrer(key)
                yield from put_middleware_objects(object_of(middleware) or name, middleware, self.plan.home(key), refer, tcp=tcp)
        yield from self._traefik_services()
        yield from self._certificates()
        for written in self.plan.ingress_routes:
            yield self._ingress_route(written)
        numbers = tcp_numbers(document)
        for index, route in enumerate(document.tcp_routes):
            yield self._ingress_route_tcp(index, route, numbers[index])

    # References.

    def _reference(self, holder: Key, section: str, name: str) -> Fields:
        """How an object names another: with its namespace where that one says it."""
        if "@" in name:
            home = self.plan.options.home(self.plan.home(holder))
            own = name.removesuffix(f"@{PROVIDER}").removeprefix(f"{home}{self.joint}")
            return {"name": own if name == f"{home}{self.joint}{own}@{PROVIDER}" else name}
        said = self.plan.own((section, name))
        return {"name": self._written_name(section, name), **({"namespace": said} if said is not None else {})}

    def _written_name(self, section: str, name: str) -> str:
        """An object's name: what the noun is called, or the template that it was made of."""
        noun = getattr(self.document, section)[name]
        return object_of(noun) or name

    def _referrer(self, holder: Key) -> Refer:
        return lambda name: self._reference(holder, holder[0], name)

    def _middlewares(self, holder: Key, section: str, names: tuple[str, ...]) -> Fields:
        return {"middlewares": [self._reference(holder, section, name) for name in names]} if names else {}

    # Services.

    def _spots(self, key: Key) -> list[Spot] | None:
        """The servers by URL or address of a load balancer; None: it has none."""
        service = getattr(self.document, key[0])[key[1]]
        if isinstance(service, LoadBalancer):
            texts = [str(server.url) for server in service.servers if server.url is not None]
        elif isinstance(service, TcpLoadBalancer):
            texts = [str(server.address) for server in service.servers if server.address is not None]
        else:
            return None
        if not texts:
            return None
        spots = spots_of(texts, tcp=key[0] == "tcp_services")
        assert not isinstance(spots, str), "what no Service can say was taken out before"
        return spots

    def _item(self, holder: Key, name: str) -> Fields:
        """One item of `services`."""
        service = self.document.services.get(name)
        if service is None or isinstance(service, Split) or (name in self.plan.aliases and holder != ("services", name)):
            return {**self._reference(holder, "services", name), "kind": "TraefikService"}
        tree: Fields = {**self._place(holder, ("services", name)), **put_sticky(service.sticky)}
        if service.health_check is not None:
            tree["healthCheck"] = put(service.health_check, HEALTH_CHECK)
        if service.passive_health_check is not None:
            tree["passiveHealthCheck"] = put(service.passive_health_check, PASSIVE_HEALTH_CHECK)
        tree |= put(service, _BALANCER_KEYS)
        tree |= self._transport(holder, service.servers_transport)
        return tree | self._middlewares(holder, "middlewares", service.middlewares)

    def _transport(self, holder: Key, name: str | None) -> Fields:
        return {} if name is None else {"serversTransport": self._reference(holder, "servers_transports", name)["name"]}

    def _place(self, holder: Key, key: Key) -> Fields:
        """The Service that is meant, and its port."""
        spots = self._spots(key)
        if spots is not None:
            scheme = spots[0].scheme
            usual = "https" if spots[0].port == 443 else "http"
            said = {} if scheme in (usual, "tcp") else {"scheme": scheme}
            return {"name": str(key[1]), "port": spots[0].port, **said}
        ref = getattr(self.document, key[0])[key[1]].servers[0].kubernetes
        assert isinstance(ref, KubernetesRef)
        away = ref.namespace if ref.namespace is not None and ref.namespace != self.plan.home(holder) else None
        tree: Fields = {"name": ref.service, **({"namespace": away} if away else {}), "port": ref.port}
        return {**tree, **({"scheme": ref.scheme} if ref.scheme else {})}

    def _traefik_services(self) -> Iterator[Tree]:
        for name, key in self.plan.traefik_services:
            noun = self.document.services[str(key[1])] if key[0] == "services" else self.document.routes[int(key[1])]
            if isinstance(noun, LoadBalancer):
                weighted: Fields = {"services": [self._item(key, str(key[1]))]}
            else:
                weighted = self._weighted(key, noun)
            own = None if isinstance(noun, Route) else noun.metadata
            written = name if isinstance(noun, Route) else object_of(noun) or name
            yield put_object("TraefikService", written, self.plan.home(key), own, {"spec": {"weighted": weighted}})

    def _weighted(self, holder: Key, split: Split | Route) -> Fields:
        return {"services": self._entries(holder, split), **put_sticky(split.sticky)}

    def _entries(self, holder: Key, split: Split | Route) -> list[Tree]:
        return [{**self._item(holder, entry.to), "weight": entry.weight} for entry in split.split]

    # Routes.

    def _ingress_route(self, written: Written) -> Tree:
        key: Key = ("routes", written.route)
        route = self.document.routes[written.route]
        name = self.plan.route_names[written.rungs[-1]]
        spec: Fields = {**_entry_points(route), "routes": [self._rung(key, rung) for rung in written.rungs]}
        if route.tls is not None:
            spec["tls"] = self._tls(key, route.tls)
        return put_object("IngressRoute", object_of(route) or name, self.plan.home(key), route.metadata, {"spec": spec})

    def _rung(self, holder: Key, rung: Rung) -> Tree:
        route = self.plan.single(rung)
        number: Tree = route.priority if isinstance(route.priority, Template) else self.plan.numbers[rung]
        tree: Fields = {"match": self.rules.http(self.plan.match(rung)), "kind": "Rule", "priority": number}
        tree |= self._middlewares(holder, "middlewares", route.middlewares)
        if route.to is not None:
            tree["services"] = [self._item(holder, route.to)]
        elif rung.canary is None and rung.route in self.plan.split_names:
            tree["services"] = [{"name": self.plan.split_names[rung.route], "kind": "TraefikService"}]
        elif len(route.split) == 1:  # Traefik ignores the weight of one that stands alone
            tree["services"] = [self._item(holder, route.split[0].to)]
        else:
            tree["services"] = self._entries(holder, route)
        if route.observability is not None:
            tree["observability"] = put_observability(route.observability)
        return tree

    def _tls(self, holder: Key, tls: Tls) -> Fields:
        tree: Fields = {"passthrough": True} if tls.passthrough else {} if tls.passthrough is None else {"passthrough": False}
        if tls.secret is not None:
            tree["secretName"] = tls.secret
        if tls.options is not None:
            tree["options"] = self._reference(holder, "tls_options", tls.options)
        if tls.resolver is not None:
            tree["certResolver"] = tls.resolver
        if tls.domains:
            tree["domains"] = [put(domain, DOMAIN) for domain in tls.domains]
        return tree

    def _ingress_route_tcp(self, index: int, route: TcpRoute, number: int) -> Tree:
        key: Key = ("tcp_routes", index)
        split = self.document.tcp_services.get(route.to) if route.to is not None else route
        entries = split.split if isinstance(split, Noun) and not isinstance(split, TcpLoadBalancer) else ()
        weighted = [(entry.to, {"weight": entry.weight}) for entry in entries] if len(entries) > 1 else []
        alone = [(name, Fields()) for name in self.plan.tcp_targets(route)]
        items: list[Tree] = [{**self._tcp_item(key, name), **extra} for name, extra in (weighted or alone)]
        rule: Fields = {
            "match": tcp_rule(route, self.rules),
            "priority": route.priority if isinstance(route.priority, Template) else number,
            **self._middlewares(key, "tcp_middlewares", route.middlewares),
            "services": items,
        }
        spec: Fields = {**_entry_points(route), "routes": [rule]}
        if route.tls is not None:
            spec["tls"] = self._tls(key, route.tls)
        written = object_of(route) or route.name
        return put_object("IngressRouteTCP", written, self.plan.home(key), route.metadata, {"spec": spec})

    def _tcp_item(self, holder: Key, name: str) -> Fields:
        service = self.document.tcp_services[name]
        assert isinstance(service, TcpLoadBalancer)
        tree = self._place(holder, ("tcp_services", name))
        if (tls := service.servers[0].tls) is not None:
            tree["tls"] = tls
        if service.proxy_protocol is not None:
            tree["proxyProtocol"] = {"version": service.proxy_protocol}
        return {**tree, **self._transport(holder, service.servers_transport)}

    def _certificates(self) -> Iterator[Tree]:
        """One Certificate for each Secret that somebody renews, for all hosts that show it."""
        found: dict[tuple[str | None, str], tuple[Tls, dict[str, None]]] = {}
        for section in ("routes", "tcp_routes"):
            routes: tuple[Route | TcpRoute, ...] = getattr(self.document, section)
            for index, route in enumerate(routes):
                if route.tls is None or route.tls.secret is None or route.tls.issuer is None:
                    continue
                names = found.setdefault((self.plan.home((section, index)), route.tls.secret), (route.tls, {}))[1]
                names.update(dict.fromkeys(route.hosts if isinstance(route, Route) else route.sni))
        for (home, secret), (tls, names) in found.items():
            assert tls.issuer is not None
            head: Tree = {"name": secret, **({"namespace": home} if home else {})}
            issuer: Tree = {"name": tls.issuer.name, "kind": tls.issuer.kind}
            spec: Tree = {"secretName": secret, "dnsNames": list(names), "issuerRef": issuer}
            yield {"apiVersion": CERTIFICATE, "kind": "Certificate", "metadata": head, "spec": spec}


def _entry_points(route: Route | TcpRoute) -> Fields:
    return {"entryPoints": list(route.entry_points)} if route.entry_points else {}


def object_of(noun: object) -> str | None:
    """The template that an object's name is, if it is one."""
    metadata = getattr(noun, "metadata", None)
    name = None if metadata is None else metadata.object
    return name if isinstance(name, Template) else None
