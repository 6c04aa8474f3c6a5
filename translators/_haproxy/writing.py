"""A document as one Voyager Ingress, and the annotations of the Services that it makes sticky."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from pinfeather.model.document import Document
from pinfeather.model.metadata import Metadata
from pinfeather.model.normal import tcp_precedence
from pinfeather.model.services import KubernetesRef, LoadBalancer, TcpLoadBalancer
from pinfeather.model.sticky import Cookie
from pinfeather.translators._haproxy.annotations import ALLOWED, CHECK, COOKIE, HSTS, OBJECT, OURS, REDIRECT, Affinity, put_affinity
from pinfeather.translators._haproxy.extras import put_check, put_headers
from pinfeather.translators._haproxy.frontend import HEAD, KEPT, Block, Draw, binding, put_block
from pinfeather.translators._haproxy.plan import (
    HTTP,
    HTTPS,
    RESERVED,
    Draws,
    Ports,
    Step,
    agreed,
    carried,
    default_names,
    own_routes,
    places,
    steps,
    tcp_names,
)
from pinfeather.translators._haproxy.rules import put_cookie, put_variant
from pinfeather.translators._haproxy.targets import Targets, Use
from pinfeather.translators._syntax.kube import put_object
from pinfeather.translators._syntax.tree import Tree

Object = dict[str, Tree]


class Written(NamedTuple):
    """The Ingress, and patches of the Services."""

    services: list[Object]
    """Those of our own, with their EndpointSlices."""
    ingress: Object
    patches: list[Object]


def write(document: Document, given: Mapping[str, int], api: str, secret: str) -> Written:
    return _Writer(document, given, api, secret).write()


class _Writer:
    """The writing of one document: which backends are defined already, and what each says."""

    def __init__(self, document: Document, given: Mapping[str, int], api: str, secret: str) -> None:
        self.document = document
        self.api = api
        self.secret = secret
        self.ports = Ports(document, given)
        self.steps = steps(document)
        self.own = own_routes(self.steps, self.ports)
        self.targets = Targets(document)
        self.whole = _of_ingress(document)
        self.defined: set[str] = set()
        self.rules: list[Tree] = []
        self.listening: set[int] = set()
        self.tls_hosts: dict[str, dict[str, None]] = {}

    def write(self) -> Written:
        rules, own = self.steps[: len(self.steps) - self.own], self.steps[len(self.steps) - self.own :]
        for step in self.steps:
            if step.tls is not None:
                self.tls_hosts.setdefault(step.tls.secret or self.secret, {}).update(dict.fromkeys(step.hosts))
        self._own(own)
        frontends = self._frontends(rules)
        self._tcp()
        spec: Object = {}
        if self.tls_hosts:
            spec["tls"] = [self._tls(secret, hosts) for secret, hosts in self.tls_hosts.items()]
        if frontends:
            spec["frontendRules"] = frontends
        spec["rules"] = self.rules
        metadata = self._metadata()
        name = str(agreed(self.document, "object") or OBJECT)
        ingress = put_object(f"voyager.appscode.com/{self.api}", "Ingress", name, metadata, {"spec": spec})
        services = {self._name_of(each): each for each in self.targets.objects()}
        patches = {self._name_of(each): each for each in self._patches()}
        for key in services.keys() & patches.keys():  # of our own, so that there is nothing to patch
            services[key] = {**patches.pop(key), "spec": services[key]["spec"]}
        return Written(list(services.values()), ingress, list(patches.values()))

    @staticmethod
    def _name_of(made: Object) -> tuple[str, str, str]:
        head = made["metadata"]
        assert isinstance(head, dict)
        return str(made["kind"]), str(head.get("namespace", "")), str(head["name"])

    def _metadata(self) -> Metadata:
        fields = {field: found for field in ("namespace", "labels", "annotations", "dns") if (found := agreed(self.document, field))}
        metadata = Metadata.model_validate(fields)
        ours: Object = put_affinity(self.whole) if self.whole is not None else {}
        for middleware in self.document.middlewares.values():
            if middleware.ip_allow_list is not None:
                ours[f"{OURS}{ALLOWED}"] = " ".join(map(str, middleware.ip_allow_list.source_ranges))
        if self.tls_hosts:  # what Voyager does by itself, and the document does not say
            ours |= {HSTS: "false", REDIRECT: "false"}
        return metadata.model_copy(update={"annotations": {**metadata.annotations, **ours}})

    # Routes that Voyager makes.

    def _own(self, found: list[Step]) -> None:
        everything = [(step, place) for step in found for place in places(step, self.ports)]
        names = default_names((place.host, place.path) for _, place in everything)
        secure: set[str | None] = {host for hosts in self.tls_hosts.values() for host in hosts}
        for (step, place), name in zip(everything, names, strict=True):
            assert isinstance(step.to, str)
            self.listening.add(place.port)
            said = [] if len(step.hosts) < 2 and step.name == name else [f"{HEAD}route {step.name}"]
            path: Object = {"path": place.path} if place.path else {}
            plain = step.tls is None and bool({place.host, f"*.{place.host}"} & secure)  # as Voyager looks a host up
            self._rule(place.host, place.port if step.points else None, {**path, "backend": self._backend(step.to, said)}, plain=plain)

    def _rule(self, host: str | None, port: int | None, path: Object, *, plain: bool = False) -> None:
        """One more path, in the rule before if it is of the same host and port."""
        head: Object = {"port": port} if port is not None else {}
        head |= {"noTLS": True} if plain else {}
        last = self.rules[-1] if self.rules else None
        if isinstance(last, dict) and last.get("host") == host and isinstance(http := last.get("http"), dict):
            paths = http["paths"]
            if {**http, "paths": None} == {**head, "paths": None} and isinstance(paths, list):
                paths.append(path)
                return
        self.rules.append({**({"host": host} if host is not None else {}), "http": {**head, "paths": [path]}})

    def _backend(self, name: str, said: list[str], *, named: bool = True, tcp: bool = False) -> Object:
        """The use of a service: by name where it is the first, since HAProxy refuses a name that stands twice."""
        service = (self.document.tcp_services if tcp else self.document.services)[name]
        assert isinstance(service, LoadBalancer | TcpLoadBalancer)
        first = named and name not in self.defined
        rules = said if first else [*said, f"{HEAD}service {name}"]
        rules = [*rules, *(self._lines(name, service) if isinstance(service, LoadBalancer) else [])]
        if first:
            self.defined.add(name)
        ref = self.targets.ref("tcp_services" if tcp else "services", name)
        return self._reference(ref, name if first else None, rules)

    def _reference(self, ref: KubernetesRef, name: str | None, rules: list[str]) -> Object:
        own: Object = {"name": name} if name is not None else {}
        lines: Object = {"backendRules": list(rules)} if rules else {}
        return {**own, **_service(ref, self.targets.namespace, self.api), **lines}

    def _lines(self, name: str, service: LoadBalancer) -> Iterator[str]:
        """What only raw rules say of a service: its cookie, and what decides nothing here."""
        if (said := _said(service)) != "":
            yield f"{HEAD}said {said}"
        if service.health_check is not None:
            yield from put_check(service.health_check)
        cookie = service.sticky.cookie if service.sticky is not None else None
        if cookie is not None:
            affinity = self.whole or self._affinity(name)
            bare = Cookie.model_construct(name=affinity.cookie, hash=cookie.hash)
            if put_cookie(cookie) != put_cookie(bare):
                yield put_cookie(cookie)

    def _affinity(self, name: str) -> Affinity:
        """What the annotations of its Kubernetes Service say."""
        affinity = _of_group(self.targets.group["services", name])
        assert affinity is not None
        return affinity

    # Routes as rules.

    def _frontends(self, found: list[Step]) -> list[Tree]:
        lines: dict[int, list[str]] = {}
        first: dict[int, list[str]] = {}
        if carried(self.document):
            for name, port in self.document.entry_points.items():
                assert isinstance(port, int)
                first[port] = [f"{HEAD}entry-point {name}"]
        for index, step in enumerate(found):
            for port, place in self.ports.all(step.points, tls=step.tls is not None):
                lines.setdefault(port, []).extend(put_block(Block(index, step.name, place, step.asked, _goes(step.to))))
                self._declare(step, index, port)
        headers = self._headers()
        if headers:
            for port in self.listening or {HTTP}:
                lines[port] = [*headers, *lines.get(port, [])]
        ports = sorted({*first, *lines})
        return [{"port": port, "rules": [*first.get(port, []), *KEPT, *lines.get(port, [])]} for port in ports]

    def _headers(self) -> list[str]:
        """Those of every route, for each frontend."""
        routes, middlewares = self.document.routes, self.document.middlewares
        named = routes[0].middlewares if routes else sorted(middlewares)
        found = [(name, middlewares[name].headers) for name in named]
        return [line for name, headers in found if headers is not None for line in put_headers(name, headers)]

    def _declare(self, step: Step, index: int, port: int) -> None:
        """The backends that the rules of a step use, and one at least on each port, so that there is a frontend."""
        host = f"port-{port}.{RESERVED}"
        secure = step.tls is not None
        wanted = [step.to] if isinstance(step.to, str) else [entry.to for entry in step.to.split]
        for name in wanted:
            if name not in self.defined:
                self._declared(host, port, f"/{name}", self._backend(name, []), secure=secure)
        if isinstance(step.to, Draws) and step.to.cookie is not None:
            for entry in step.to.split:
                backend = binding(entry.to, index)
                if entry.binds and backend not in self.defined:
                    self.defined.add(backend)
                    self._declared(host, port, f"/{backend}", self._binding(backend, entry.to, step.to.cookie), secure=secure)
        if port not in self.listening:
            self._declared(host, port, f"/{wanted[0]}", self._backend(wanted[0], [], named=False), secure=secure)
        if step.tls is not None and not any(host in each for each in self.tls_hosts.values()):
            self.tls_hosts[step.tls.secret or self.secret][host] = None

    def _declared(self, host: str, port: int, path: str, backend: Object, *, secure: bool) -> None:
        self.listening.add(port)
        self._rule(host, None if port == (HTTPS if secure else HTTP) else port, {"path": path, "backend": backend})

    def _binding(self, backend: str, name: str, cookie: Cookie) -> Object:
        service = self.document.services[name]
        assert isinstance(service, LoadBalancer)
        said = _cookie_said(cookie)
        note = [f"{HEAD}variant {said}"] if said else []
        return self._reference(
            self.targets.ref("services", name), backend, [*self._lines(name, service), *note, *put_variant(cookie, name)]
        )

    # The rest.

    def _tls(self, secret: str, hosts: Iterable[str]) -> Object:
        if self.api == "v1":
            return {"hosts": list(hosts), "secretName": secret}
        return {"hosts": list(hosts), "ref": {"kind": "Secret", "name": secret}}

    def _tcp(self) -> None:
        routes = [self.document.tcp_routes[index] for index in tcp_precedence(self.document.tcp_routes)]
        names = tcp_names(self.ports.of(route.entry_points[0]) or 0 for route in routes)
        for route, name in zip(routes, names, strict=True):
            said = [] if route.name == name else [f"{HEAD}route {route.name}"]
            backend = self._backend(str(route.to), said, tcp=True)
            self.rules.append({"tcp": {"port": self.ports.of(route.entry_points[0]), "backend": backend}})

    def _patches(self) -> Iterator[Object]:
        for _, group in sorted(self.targets.uses.items()):
            ref = self.targets.ref(group[0].section, group[0].name)
            affinity = _of_group(group) if self.whole is None else None
            notes = {} if affinity is None else put_affinity(affinity)
            if any(isinstance(use.balancer, LoadBalancer) and use.balancer.health_check is not None for use in group):
                notes |= {CHECK: "true"}
            if not notes:
                continue
            where: Object = {"namespace": str(ref.namespace)} if ref.namespace else {}
            metadata: Object = {"name": str(ref.service), **where, "annotations": notes}
            yield {"apiVersion": "v1", "kind": "Service", "metadata": metadata}


def _service(ref: KubernetesRef, namespace: str | None, api: str) -> Object:
    name = str(ref.service) if ref.namespace in (None, namespace) else f"{ref.service}.{ref.namespace}"
    if api == "v1":
        return {"service": {"name": name, "port": {"number": ref.port} if isinstance(ref.port, int) else {"name": str(ref.port)}}}
    return {"serviceName": name, "servicePort": ref.port if isinstance(ref.port, int) else str(ref.port)}


def _goes(to: str | Draws) -> str | Draw:
    if isinstance(to, str):
        return to
    entries = tuple((entry.to, int(entry.weight), entry.binds) for entry in to.split)
    return Draw(entries, None if to.cookie is None else to.cookie.name, to.keeps)


# Who is sticky, and where that is said ---------------------------------------------------------------------------------


def _of_ingress(document: Document) -> Affinity | None:
    """The annotations of the Ingress, where all of its backends are sticky and of one hash; else the Services have them."""
    services = (*document.services.values(), *document.tcp_services.values())
    balancers = [each for each in services if isinstance(each, LoadBalancer | TcpLoadBalancer)]
    if not balancers or not all(each.sticky is not None for each in balancers):
        return None
    cookies = [each.sticky.cookie for each in balancers if each.sticky is not None and each.sticky.cookie is not None]
    if len({cookie.hash for cookie in cookies}) > 1:
        return None
    return _affinity(cookies)


def _of_group(group: list[Use]) -> Affinity | None:
    cookies = [use.balancer.sticky.cookie for use in group if use.balancer.sticky is not None and use.balancer.sticky.cookie is not None]
    return _affinity(cookies) if any(use.balancer.sticky is not None for use in group) else None


def _affinity(cookies: list[Cookie]) -> Affinity:
    """The name that most have; the others get a line of their own."""
    if not cookies:
        return Affinity(COOKIE, None)
    names = Counter(cookie.name for cookie in cookies)
    return Affinity(min(names, key=lambda name: (-names[name], name)), cookies[0].hash)


def _said(service: LoadBalancer) -> str:
    """What is written in the document and is no different from what Voyager does anyway."""
    server = service.servers[0]
    parts: Object = {
        "scheme": None if server.kubernetes is None else server.kubernetes.scheme,
        "weight": server.weight if isinstance(server.weight, int) else None,
        "pass_host_header": service.pass_host_header,
        "strategy": service.strategy,
    }
    text = _pairs(parts)
    cookie = service.sticky.cookie if service.sticky is not None else None
    more = "" if cookie is None else _cookie_said(cookie)
    return " ".join(part for part in (text, more) if part)


def _cookie_said(cookie: Cookie) -> str:
    return _pairs({name: False for name in ("secure", "http_only") if getattr(cookie, name) is False})


def _pairs(parts: Object) -> str:
    return " ".join(f"{key}={str(value).lower()}" for key, value in parts.items() if value is not None)
