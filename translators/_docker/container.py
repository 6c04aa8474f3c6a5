"""What Traefik makes of one container: whether it looks at it, what it drops it for, and what it fills in.

After Traefik 3.7 (pkg/provider/docker/config.go, shared_labels.go, pkg/provider/configuration.go), each as observed on 3.7.15:
a container with a label that Traefik refuses is dropped as a whole; a router without a service goes to the only one of its
container; a container without routers gets one by the default rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pinfeather.model.diagnostics import Code, Diagnostic, Fix, Severity, Span, error, info, nearest, warning
from pinfeather.translators._docker.containers import Container, Yard
from pinfeather.translators._docker.label_fixes import element_fix, sticky_fix
from pinfeather.translators._docker.pieces import Piece, below, children, with_fields, without_server
from pinfeather.translators._syntax.labels import Fault, Grown, Label, Shaped, shaped
from pinfeather.translators._syntax.paerser import parse_int
from pinfeather.translators._syntax.plain_labels import tree_of
from pinfeather.translators._syntax.tree import NOWHERE, Mark, Tree, span_of_spot
from pinfeather.translators._traefik.schema import ABOUT, EXTRA, ROOT, ROUTING, Struct

SECTIONS = ("routers", "services", "middlewares")
_OLD = ("frontend", "frontends", "backend", "port", "protocol", "weight", "domain", "servicename")
_ENABLED = ("traefik.enable", "true")
_PARTS = 32
"""Of one key; only what plugins are told is ever so deep. Written in any format it stays above the depth that is read there."""
_OTHERS_OF_OURS = ("constraint-label", "tags", "docker", "swarm")
"""What people put beside it for `--providers.docker.constraints`, and what the other of the two providers looks at."""


class Instance(NamedTuple):
    """How one Traefik is configured, as far as it matters here."""

    version: tuple[int, int]
    provider: str = "docker"
    exposed_by_default: bool = True
    default_rule: str = ""


Pieces = dict[tuple[str, str], dict[str, Piece]]


class ContainerReading:
    """What one container says. None where Traefik drops it."""

    def __init__(self, container: Container, labels: list[Label], yard: Yard, instance: Instance, *, placed: bool) -> None:
        self.container = container
        self.labels = labels
        self.yard = yard
        self.instance = instance
        self.placed = placed
        """Whether marks are wanted."""
        self.routing: list[Label] = []
        self.about: list[Label] = []
        self.rest: list[Label] = []
        about = ABOUT[instance.provider]
        for label in labels:
            low = label.key.lower()
            held = self.routing if low.startswith(ROUTING) else self.about if low.startswith(about) else self.rest
            held.append(label)

    def pieces(self) -> Pieces | None:
        for label in self.routing:
            if label.key.count(".") >= _PARTS:
                said = f"the label {label.key[:60]!r} … has more than {_PARTS} parts"
                self._say(error(Code.TOO_DEEP, said, span=self._span(label), instead="say it with fewer"))
                return None
        if self.rest:
            self._say_unread()
        if [label[:2] for label in self.about] != [_ENABLED]:
            extra = self._shaped(self.about, EXTRA[self.instance.provider])
            if extra.faults:
                self._rejected(extra.faults)
                return None
            if not self._enabled(extra.found):
                return None
        found = self._shaped(self.routing, ROOT)
        for first, last in found.twice:
            said = f"{first.key!r} and {last.key!r} are one label to Traefik, which ignores case: {last.value!r} wins"
            self._say(warning(Code.LABEL_TWICE, said, span=self._span(last), instead="keep one"))
        for label, value in found.switched:
            if value.lower() != "false":
                said = f"{value!r} at {label.key!r} switches it off: Traefik takes `true` alone for yes"
                self._say(warning(Code.SETTING_IGNORED, said, span=self._span(label), instead="write true"))
        if found.faults:
            self._rejected(found.faults)
            return None
        return self._filled_in(found.found)

    def _shaped(self, labels: list[Label], shape: Struct) -> Shaped:
        by_default = self.yard.variables.by_default
        if self.placed:
            return shaped(labels, "traefik", shape, self.instance.version, by_default, self.yard.mark)
        return tree_of(labels, "traefik", shape, self.instance.version, by_default)

    def _span(self, label: Label) -> Span:
        return span_of_spot(label.spot)

    def _say(self, finding: Diagnostic) -> None:
        self.yard.found.append(finding)

    def _say_unread(self) -> None:
        """Labels below `traefik.` that Traefik looks at neither way."""
        rest = self.rest
        old = [label for label in rest if label.key.split(".")[1].lower() in _OLD]
        if old:
            said = f"labels of Traefik 1 ({old[0].key}): Traefik has not looked at them since version 2"
            instead = "write traefik.http.routers.NAME.rule and traefik.http.services.NAME.loadbalancer.server.port"
            self._say(warning(Code.LABELS_IGNORED, said, span=self._span(old[0]), instead=instead))
        for label in rest:
            second = label.key.split(".")[1].lower()
            if label in old or second in _OTHERS_OF_OURS:
                continue
            guess = nearest(second, ("http", "tcp", "udp", "docker", "enable", "swarm"))
            hint = f"did you mean `traefik.{guess}`?" if guess else "it does nothing: take it out"
            self._say(
                warning(Code.LABELS_IGNORED, f"Traefik does not look at the label {label.key!r}", span=self._span(label), instead=hint)
            )

    def _enabled(self, extra: Grown | None) -> bool:
        tree = extra.tree if extra is not None and isinstance(extra.tree, dict) else {}
        enabled = tree.get("enable", self.instance.exposed_by_default)
        if not enabled and self.routing:
            why = "`traefik.enable` is false" if "enable" in tree else "it has no `traefik.enable=true`, and exposedByDefault is false"
            said = f"Traefik passes over {self._who}: {why}"
            self._say(warning(Code.LABELS_IGNORED, said, span=self._span(self.routing[0]), instead="add the label traefik.enable=true"))
        return bool(enabled)

    @property
    def _who(self) -> str:
        return f"the container {self.container.name!r}" if self.container.name else "the container"

    def _rejected(self, faults: tuple[Fault, ...]) -> None:
        """Reports each label that Traefik refuses, with what is gone for it."""
        named = re.compile(r"traefik\.(?:http|tcp)\.routers\.([^.]+)\.", re.IGNORECASE)
        routes = dict.fromkeys(found[1] for label in self.routing if (found := named.match(label.key)))
        gone = f"its routes are gone: {', '.join(routes)}" if routes else "it has no route then"
        sticky = [
            fault for fault in faults if re.match(r"traefik\.http\.middlewares\.[^.]+\.sticky(?:\.|$)", fault.label.key, re.IGNORECASE)
        ]
        if sticky:
            first = sticky[0]
            said = f"there is no middleware `sticky`: Traefik drops every label of {self._who}, {gone}"
            instead = "move it to the service: traefik.http.services.NAME.loadbalancer.sticky.cookie.name"
            fix = sticky_fix(self.container, self.yard, self.instance.version)
            fixes = () if fix is None else (fix,)
            self._say(Diagnostic(Code.STICKY_MIDDLEWARE, Severity.ERROR, said, (), instead, self._span(first.label), fixes))
        seen: set[str] = set()
        for fault in faults:
            if fault in sticky or fault.label.key in seen:
                continue
            seen.add(fault.label.key)
            said = f"Traefik refuses the label {fault.label.key!r} ({fault.message}), and with it every label of {self._who}: {gone}"
            instead = f"did you mean {fault.meant!r}?" if fault.meant else "write it as Traefik wants it, or take it out"
            edits = element_fix(fault, self.yard)
            repair = (Fix(f"write {fault.meant}", edits),) if edits else ()
            self._say(Diagnostic(Code.LABELS_REJECTED, Severity.ERROR, said, (), instead, self._span(fault.label), repair))

    # What Traefik fills in.

    def _filled_in(self, found: Grown | None) -> Pieces | None:
        pieces: Pieces = {}
        for side in ("http", "tcp"):
            if (said := below(found, side)) is None:
                continue
            for section in SECTIONS:
                if (held := below(said, section)) is not None:
                    pieces[side, section] = {name: Piece(child, key, self.container) for name, child, key in children(held)}
        udp = below(found, "udp") is not None
        if udp:
            for name, service, key in children(below(below(found, "udp"), "services")):
                if below(service, "loadBalancer") is None:
                    self._no_balancer(name, key)
                    return None
            self._say(info(Code.SCOPE, "UDP is not read", span=self._span(self.routing[-1])))
        tcp = bool(pieces.get(("tcp", "routers")) or pieces.get(("tcp", "services")))
        sides = ["tcp"] if tcp else []
        if not (tcp or udp) or any(pieces.get(("http", section)) for section in SECTIONS):
            sides.append("http")
        for side in sides:
            if not self._services(side, pieces) or not self._routers(side, pieces):
                return None
        return pieces

    def _services(self, side: str, pieces: Pieces) -> bool:
        services = pieces.setdefault((side, "services"), {})
        if not services:
            services[self._own_name] = Piece(Grown({"loadBalancer": {}}, self._mark), self._mark, self.container, made=True)
        for name, piece in services.items():
            balancer = below(piece.grown, "loadBalancer")
            if balancer is None:
                self._no_balancer(name, piece.key_mark)
                return False
            server = self._server(name, balancer, piece)
            if server is None:
                return False
            services[name] = Piece(without_server(piece.grown), piece.key_mark, self.container, (server,), piece.made)
        return True

    def _no_balancer(self, name: str, mark: Mark) -> None:
        said = (
            f"the service {name!r} has no load balancer (weighted, mirroring and failover services do not exist in labels): Traefik "
            f"drops every label of {self._who}"
        )
        self._say(error(Code.LABELS_REJECTED, said, span=self.yard.span(mark), instead="define it in a file, and name it NAME@file"))

    @property
    def _own_name(self) -> str:
        """What Traefik calls the router and the service that it makes by itself."""
        return self.container.title or self.container.name or "container"

    @property
    def _mark(self) -> Mark:
        return self.yard.mark(self.container.spot) if self.placed else NOWHERE

    def _server(self, name: str, balancer: Grown, piece: Piece) -> Grown | None:
        """The one server of the container, as Traefik makes it; None where it drops the container."""
        given = below(balancer, "server")
        tree = dict(given.tree) if given is not None and isinstance(given.tree, dict) else {}
        mark = given.mark if given is not None else piece.key_mark
        if "url" in tree:
            if "port" in tree or "scheme" in tree:
                said = f"the service {name!r} has a URL and a port or a scheme: Traefik drops every label of {self._who}"
                url = below(given, "url")
                span = self.yard.span(url.mark if url is not None else mark)
                self._say(error(Code.LABELS_REJECTED, said, span=span, instead="keep the URL, or the others"))
                return None
            return given
        port: Tree = tree.pop("port", None)
        scheme = tree.pop("scheme", None)
        if not port:
            port = self._first_port(name, mark)
            if port == 0:
                return None
        elif isinstance(port, str) and (number := parse_int(port)) is not None:
            port = number
        inner: dict[str, Tree] = {"name": self.container.name, "port": port or None, "scheme": scheme}
        container: dict[str, Tree] = {key: value for key, value in inner.items() if value is not None}
        made: dict[str, Tree] = {"container": container, **tree}
        if not self.placed:
            return Grown(made, NOWHERE)
        marks = {key: child.mark for key, child, _ in children(given)} if given is not None else {}
        places = [each for key in container for each in (marks.get(key, mark), marks.get(key, mark))]
        own = (*mark[:4], tuple(places))
        beside = [each for key in tree for each in (marks.get(key, mark), marks.get(key, mark))]
        return Grown(made, (*mark[:4], (mark, own, *beside)))

    def _first_port(self, name: str, mark: Mark) -> int | None:
        """The port that Traefik takes where none is written; None: unknown, 0: there is none."""
        span = self.yard.span(mark)
        if self.yard.swarm or self.container.ports == ():
            said = f"no port is known for the service {name!r}: Traefik drops every label of {self._who}"
            instead = f"add the label traefik.http.services.{name}.loadbalancer.server.port"
            self._say(error(Code.LABELS_REJECTED, said, span=span, instead=instead))
            return 0
        port = min(self.container.ports) if self.container.ports else None
        what = (
            f"{port}, the lowest that is written for {self._who}" if port else "the lowest that its image exposes, which is not known here"
        )
        said = f"the service {name!r} has no port: Traefik takes {what}"
        self._say(info(Code.ASSUMED, said, span=span, instead="add the label …loadbalancer.server.port"))
        return port

    def _routers(self, side: str, pieces: Pieces) -> bool:
        routers = pieces.setdefault((side, "routers"), {})
        services = pieces[side, "services"]
        if not routers and side == "http":
            if len(services) > 1:
                said = f"{self._who} has several services and no router: Traefik makes none by its default rule"
                self._say(info(Code.ASSUMED, said, span=self._span(self.labels[0])))
            else:
                routers[self._own_name] = Piece(Grown({}, self._mark), self._mark, self.container)
        for name in list(routers):
            piece = routers[name]
            tree = dict(piece.grown.tree) if isinstance(piece.grown.tree, dict) else {}
            if tree.get("rule") and tree.get("service") and not self.placed:
                continue
            added: dict[str, Tree] = {}
            if not tree.get("rule"):
                tree.pop("rule", None)
                rule = self._default_rule(name, side, self.yard.span(piece.key_mark))
                if rule is None:
                    del routers[name]
                    continue
                added["rule"] = rule
            if not tree.get("service"):
                tree.pop("service", None)
                if len(services) > 1:
                    said = f"the router {name!r} names no service, and {self._who} has several: Traefik leaves the router out"
                    span = self.yard.span(piece.key_mark)
                    self._say(error(Code.VALUE, said, span=span, instead=f"add the label traefik.{side}.routers.{name}.service"))
                    del routers[name]
                    continue
                added["service"] = next(iter(services))
            routers[name] = Piece(with_fields(piece.grown, tree, added, piece.key_mark), piece.key_mark, self.container)
        _only_used(routers, services, self._own_name)
        return True

    def _default_rule(self, name: str, side: str, span: Span) -> str | None:
        if side == "tcp":
            said = f"the TCP router {name!r} has no rule: Traefik leaves it out"
            self._say(error(Code.RULE, said, span=span, instead="add the rule HostSNI(`*`)"))
            return None
        title = self.container.title
        if not title:
            said = f"the router {name!r} has no rule: Traefik makes one of the container's name, which is not known here"
            self._say(error(Code.RULE, said, span=span, instead="write the rule, or say --project"))
            return None
        rule = run_default_rule(self.instance.default_rule, title, self.container.name or title, self.container.labels)
        if rule is None:
            said = f"the default rule {self.instance.default_rule!r} is a template that is not run here: the router {name!r} is left out"
            self._say(error(Code.RULE, said, span=span, instead="write the rule as a label"))
            return None
        self._say(
            info(
                Code.ASSUMED,
                f"the router {name!r} has no rule: Traefik's default rule makes it {rule}",
                span=span,
                instead="write the rule",
            )
        )
        return rule


def _only_used(routers: Mapping[str, Piece], services: dict[str, Piece], own: str) -> None:
    """The service that Traefik makes by itself is read only where a router goes there."""
    if own in services and services[own].made:
        targets = {str(piece.grown.tree.get("service")) for piece in routers.values() if isinstance(piece.grown.tree, dict)}
        if own not in targets:
            del services[own]


_ACTIONS = re.compile(r"\{\{-?\s*(?P<body>[^{}]*?)\s*-?\}\}")
_INDEX = re.compile(r'index\s+\.Labels\s+["`]([^"`]+)["`]')


def run_default_rule(template: str, title: str, name: str, labels: Iterable[Label]) -> str | None:
    """What Traefik's template for rules makes; None for one with more in it than names and labels."""
    known = {
        "normalize .Name": title, ".Name": title, "trimPrefix `/` .Name": title, "normalize .ContainerName": title,
        ".ContainerName": name,
    }  # fmt: skip
    texts = {label.key: label.value for label in labels}
    failed = False

    def run(found: re.Match[str]) -> str:
        nonlocal failed
        body = " ".join(found["body"].split())
        if body in known:
            return known[body]
        if (wanted := _INDEX.fullmatch(body)) is not None:
            return texts.get(wanted[1], "")
        failed = True
        return ""

    made = _ACTIONS.sub(run, template or "Host(`{{ normalize .Name }}`)")
    return None if failed or "{{" in made or not made else made
