"""One Voyager Ingress, read: rules, rules in frontends, TCP, TLS, and the order in which HAProxy asks them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pinfeather.model.diagnostics import Code, Span, error, info, warning
from pinfeather.translators._haproxy.annotations import HSTS, Notes, notes_of
from pinfeather.translators._haproxy.backends import Backends, Object, Servers, harmless, take_port
from pinfeather.translators._haproxy.extras import take_headers
from pinfeather.translators._haproxy.frontend import HEAD, KEPT, Block, blocks_of
from pinfeather.translators._haproxy.plan import HTTP, HTTPS, RESERVED, Place, Sorted, acl_name
from pinfeather.translators._syntax.kube import KubeObject
from pinfeather.translators._syntax.taking import Taking
from pinfeather.translators._syntax.tree import Spans, Tree

_PODS = (
    "configVolumes", "loadBalancerSourceRanges", "resources", "nodeSelector", "affinity", "schedulerName", "tolerations",
    "imagePullSecrets", "priorityClassName", "priority", "securityContext", "proxySecurityContext", "externalIPs", "livenessProbe",
    "readinessProbe", "terminationGracePeriodSeconds", "coordinator", "lifecycle",
)  # fmt: skip
"""About the proxy's own pods: `affinity` here is where they run, `priority` how they are scheduled."""


class Own(NamedTuple):
    """A path of a rule: a route that Voyager makes."""

    node: Taking
    place: Place
    named: bool
    """Whether the rule says its port."""
    tls: Tree
    to: str | None
    name: str | None


class Ruled(NamedTuple):
    """A route of a frontend's rules, on one port."""

    block: Block
    port: int
    span: Span


class Ingress:
    """The reading of one Ingress."""

    def __init__(
        self,
        owner: KubeObject,
        tree: Object,
        spans: Spans,
        noted: Mapping[tuple[str, str], Notes],
        servers: Servers,
        given: Mapping[str, int],
        secret: str,
    ) -> None:
        self.notes = notes_of(owner, "Ingress")
        self.tree = tree
        self.old = owner.version != "v1"
        services, tcp_services = tree["services"], tree["tcp_services"]
        assert isinstance(services, dict)
        assert isinstance(tcp_services, dict)
        self.backends = Backends(self.notes, services, tcp_services, noted, servers, spans, self.old)
        self.points = {port: name for name, port in given.items()}
        self.secret = secret
        self.secrets: dict[str, str | None] = {}
        self.own: list[Own] = []
        self.ruled: list[Ruled] = []
        self.tcp: list[Own] = []
        self.rest: Own | None = None
        self.headers: dict[int, dict[str, Tree]] = {}
        """The middlewares that the rules of a port say, by name."""
        self.secure: set[int] = set()
        """Ports that speak TLS."""
        self.blocked: set[int] = set()
        """Ports of which nothing is read: a rule in front of all routes could not be."""
        self.answers: list[tuple[int, str | None]] = []

    def take(self) -> None:
        node = self.notes.owner.node.map("spec")
        if node is None:
            self.notes.owner.node.error(Code.VALUE, "this Ingress has no spec", instead="write `spec: {rules: […]}`")
            return
        self._tls(node)
        for rule in node.list("rules"):
            self._rule(rule)
        backend = "backend" if self.old else "defaultBackend"
        if isinstance(node.value, dict) and node.value.get(backend) is not None:
            taken = self.backends.take(node, backend, default=True)
            self.rest = Own(node, Place(None, "", HTTP), False, None, taken.service, taken.route)
            self.answers.append((HTTP, None))
        for held in node.list("frontendRules"):
            self._frontend(held)
        for key in _PODS:
            node.tree(key)
        if self.secrets and self.notes.written.get(HSTS, "").lower() not in ("false", "0", "f"):
            said = "HAProxy sends Strict-Transport-Security and redirects port 80 to HTTPS by itself: neither is read"
            instead = f'add both in the target, or annotate `{HSTS}: "false"`'
            self.notes.say(warning(Code.ASSUMED, said, span=node.span_of("tls"), instead=instead))
        self._order()
        self._assumed(node)

    # Parts of the spec.

    def _tls(self, spec: Taking) -> None:
        for item in spec.list("tls"):
            secret = item.text("secretName")
            ref = item.map("ref") if self.old else None
            if ref is not None:
                kind, name = ref.text("kind"), ref.text("name")
                ref.tree("apiVersion")
                if kind == "Secret" or not kind:
                    secret = name
                else:
                    said = f"a certificate of kind {kind!r} is not read: its Secret is not known"
                    ref.error(Code.UNSUPPORTED, said, "kind", instead="name the Secret")
            if secret is None:
                item.error(Code.VALUE, "this entry of `tls` names no Secret", instead="write its name")
            for host in item.text_list("hosts"):
                self.secrets[host.lower()] = None if secret == self.secret else secret

    def _secure(self, host: str | None, node: Taking) -> Tree:
        """The TLS of a rule: its host stands in `tls`, itself or as `*.` before it."""
        off = node.boolean("noTLS")
        if host is None or off:
            return None
        for known in (host, f"*.{host}"):
            if known in self.secrets:
                secret = self.secrets[known]
                return {"secret": secret} if secret is not None else {}
        return None

    def _rule(self, rule: Taking) -> None:
        host = (rule.text("host") or "").lower()
        http, tcp = rule.map("http"), rule.map("tcp")
        if (http is None) == (tcp is None):
            rule.error(Code.VALUE, "a rule has either `http` or `tcp`", instead="write one of them")
            for part in (http, tcp):
                if part is not None:
                    part.forget()
            return
        node = http if http is not None else tcp
        assert node is not None
        known = None if host in ("", "*") else host
        port, tls = take_port(node, "port", old=self.old), self._secure(known, node)
        lost = port == 0 or (isinstance(node.value, dict) and node.value.get("address") is not None)
        node.known("address", why="where HAProxy listens is not in the model, so this rule is not read")
        node.out_of_scope("nodePort", "alpn", "proto")
        number = port or (HTTPS if tls is not None else HTTP)
        if not lost:
            self.answers.append((number, known if http is not None else None))
        if tcp is not None:
            self._tcp_rule(tcp, known, port, tls, lost=lost)
            return
        for path in node.list("paths"):
            self._path(path, Place(known, path.text("path") or "", number), port is not None, tls, lost=lost)

    def _path(self, node: Taking, place: Place, named: bool, tls: Tree, *, lost: bool) -> None:
        taken = self.backends.take(node, "backend")
        if lost or (place.host or "").endswith(f".{RESERVED}"):
            return
        if place.path and not place.path.startswith("/"):
            node.error(Code.VALUE, f"no path begins with {place.path!r}", "path", instead="write it with a leading '/'")
            return
        if any(sign in place.path for sign in "*^$()[]|\\"):
            said = f"Voyager takes the path {place.path!r} for a prefix, to the letter, whatever its documentation says of regexes"
            node.report(warning(Code.ASSUMED, said, span=node.span_of("path"), instead="write the prefix that is meant"))
        if tls is not None:
            self.secure.add(place.port)
        self.own.append(Own(node, place, named, tls, taken.service, taken.route))

    def _tcp_rule(self, node: Taking, host: str | None, port: int | None, tls: Tree, *, lost: bool) -> None:
        taken = self.backends.take(node, "backend", tcp=True)
        if port is None:
            node.error(Code.VALUE, "a TCP rule has no port: Voyager wants one", instead="add `port`")
        elif not lost:
            self.tcp.append(Own(node, Place(host, "", port), True, tls, taken.service, taken.route))

    def _frontend(self, node: Taking) -> None:
        port = take_port(node, "port", old=self.old)
        if isinstance(node.value, dict) and node.value.get("auth"):
            node.known("auth", why="it protects the port, so no route of it is read")
            self.blocked.add(port or 0)
        kept: list[tuple[int, str]] = []
        lines = node.text_list("rules")
        self.headers[port or 0], said = take_headers(lines)
        for number, line in enumerate(lines):
            if number in said:
                continue
            if line.startswith(f"{HEAD}entry-point "):
                self.points[port or 0] = line.removeprefix(f"{HEAD}entry-point ")
                points = self.tree["entry_points"]
                assert isinstance(points, dict)
                points[self.points[port or 0]] = port or 0
            elif line.strip() not in KEPT:
                kept.append((number, line))
        blocks, opaque = blocks_of([line for _, line in kept])
        for number in opaque:
            index, line = kept[number]
            self._opaque(node, port, index, line)
        if port:
            self.ruled += [Ruled(block, port, node.span_of("rules", kept[at][0])) for at, block in blocks]

    def _opaque(self, node: Taking, port: int | None, index: int, line: str) -> None:
        mild = harmless(line)
        then = "" if mild else f"; it could refuse requests or send them elsewhere, so no route of port {port} is read"
        if not mild:
            self.blocked.add(port or 0)
        span = node.span_of("rules", index)
        said = f"the raw rule {line[:80]!r} is not read{then}"
        node.report(error(Code.UNSUPPORTED, said, instead="say what it does in the target", span=span))

    # The order.

    def _order(self) -> None:
        """Voyager's routes in the order in which they are asked; as they stand where Voyager's sort would not change it."""
        seen: dict[tuple[int, str | None, str], Own] = {}
        gone: list[Own] = []
        for each in self.own:
            key = (each.place.port, each.place.host, acl_name(each.place.path))
            first = seen.setdefault(key, each)
            if first is each:
                continue
            if first.place.path == each.place.path:
                said = f"this host, path and port stand in line {first.node.span.line} already: Voyager refuses the Ingress"
                each.node.error(Code.NAME_CLASH, said, instead="take one out")
                gone.append(each)
            else:
                paths = f"{first.place.path!r} and {each.place.path!r}"
                said = f"Voyager calls {paths} by one name (`/` and `-` are one to it): requests of both go to one"
                each.node.error(Code.COLLISION, said, instead="take another path for one; neither is read")
                gone += [first, each]
        self.own = [each for each in self.own if not any(each is other for other in gone)]
        held = Sorted()
        for each in reversed(self.own):
            if not held.takes(each.place):
                self.own.sort(key=lambda own: (own.place.host is None, (own.place.host or "").startswith("*"), -len(own.place.path)))
                break
            held.add(each.place)

    def _assumed(self, spec: Taking) -> None:
        """Says how ports became entry points, where the file does not."""
        span = spec.span_of("rules")
        if any(not own.named for own in self.own):
            said = "a rule without a port: HAProxy listens on 80, or on 443 where `tls` has its host; read as the default entry points"
            self.notes.say(info(Code.ASSUMED, said, span=span, instead="write `port` where that is not meant"))
        ports = {own.place.port for own in (*self.own, *self.tcp) if own.named} | {each.port for each in self.ruled}
        for port in sorted(ports - self.points.keys()):
            said = f"port {port} has no name: it is the entry point {self.entry_point(port)!r} here"
            self.notes.say(info(Code.ASSUMED, said, span=span, instead=f"say --entry-points with NAME={port} to call it otherwise"))

    def entry_point(self, port: int) -> str:
        return self.points.get(port, f"port-{port}")
