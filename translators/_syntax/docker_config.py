"""What Traefik's Docker provider makes of containers: which it looks at, what it drops, what it fills in, and how it merges them.

After Traefik 3.7 (pkg/provider/docker/config.go, shared_labels.go, pkg/provider/configuration.go), each as observed on 3.7.15:
a container with a label that Traefik refuses is dropped as a whole; a router without a service goes to the only one of its
container; a container without routers gets one by the default rule; things of one name in several containers are one if they
are alike, else none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pinfeather.model.diagnostics import Code, Diagnostic, Fix, Severity, Span, error, info, nearest, warning
from pinfeather.translators._syntax.containers import Container, LabelReading, Yard
from pinfeather.translators._syntax.label_fixes import element_fix, sticky_fix
from pinfeather.translators._syntax.labels import VARIABLE, Fault, Grown, Label, shaped
from pinfeather.translators._syntax.paerser import parse_int
from pinfeather.translators._syntax.traefik_schema import ABOUT, EXTRA, ROOT, ROUTING
from pinfeather.translators._syntax.tree import NOWHERE, Mark, Tree

NONE_ROUTER = "pinfeather-none"
NONE_RULE = "Path(`/`) && !Path(`/`)"
"""A router that holds for no request: it keeps Traefik from making one by its default rule. See `docker_labels.py`."""
_SECTIONS = ("routers", "services", "middlewares")
_OLD = ("frontend", "frontends", "backend", "port", "protocol", "weight", "domain", "servicename")
_OTHERS_OF_OURS = ("constraint-label", "tags", "docker", "swarm")
"""What people put beside it for `--providers.docker.constraints`, and what the other of the two providers looks at."""


class Instance(NamedTuple):
    """How one Traefik is configured, as far as it matters here."""

    version: tuple[int, int]
    provider: str = "docker"
    exposed_by_default: bool = True
    default_rule: str = ""


class Piece(NamedTuple):
    """One router, service or middleware of a container. `servers` was taken out of a service."""

    grown: Grown
    key_mark: Mark
    container: Container
    servers: tuple[Grown, ...] = ()
    made: bool = False
    """By Traefik itself: no label says it."""


@dataclass
class Config:
    """What all containers say together, by side (`http`, `tcp`), section and name."""

    pieces: dict[tuple[str, str], dict[str, Piece]] = field(default_factory=dict)
    lost: dict[str, set[str]] = field(default_factory=dict)

    def of(self, side: str, section: str) -> dict[str, Piece]:
        return self.pieces.setdefault((side, section), {})


def configuration(yard: Yard, instance: Instance) -> Config:
    """Everything that Traefik takes from the containers of a run; the rest is reported."""
    config = Config()
    unlabelled: list[Container] = []
    foreign: list[Label] = []
    for container in yard.containers:
        labels = tuple(_plain_key(label, yard) for label in container.labels)
        own = [label for label in labels if label.key.lower().startswith("traefik.")]
        foreign += [label for label in labels if label not in own]
        _say_passed_over(container, yard)
        if not own:
            unlabelled.append(container)
            continue
        found = _Reading(container, own, yard, instance).pieces()
        for place, things in (found or {}).items():
            for name, piece in things.items():
                _merge(config, place, name, piece, yard)
    _say_others(unlabelled, foreign, yard, instance)
    return config


def _plain_key(label: Label, yard: Yard) -> Label:
    """A name has no place for a variable: it is read by its default."""
    return label._replace(key=yard.variables.by_default(label.key)) if VARIABLE[0] in label.key else label


def _say_passed_over(container: Container, yard: Yard) -> None:
    ours = [label for label in container.passed_over if label.key.lower().startswith("traefik.")]
    if ours:
        span = yard.span(ours[0].mark)
        said = (
            "Traefik's provider for a swarm looks at `deploy.labels` alone, not at the labels of the container"
            if yard.swarm
            else "Traefik's Docker provider looks at the labels of the container, not at `deploy.labels`: those are a swarm's"
        )
        instead = "move them below `deploy`" if yard.swarm else "move them to the service's own `labels`, or say --swarm true"
        yard.found.append(warning(Code.LABELS_IGNORED, said, span=span, instead=instead))


def _say_others(unlabelled: list[Container], foreign: list[Label], yard: Yard, instance: Instance) -> None:
    if foreign:
        roots = sorted({label.key.split(".")[0] if label.key.count(".") else label.key for label in foreign})
        said = f"labels of other programs, left alone: {len(foreign)} ({', '.join(roots[:6])}{'…' if len(roots) > 6 else ''})"
        yard.found.append(info(Code.SCOPE, said, span=yard.span(foreign[0].at_key)))
    if unlabelled:
        names = ", ".join(container.name or "one without a name" for container in unlabelled[:8])
        also = (
            ": where Traefik takes every container (exposedByDefault), it also serves these by its default rule"
            if instance.exposed_by_default
            else ""
        )
        said = f"without labels for Traefik, left alone: {names}{also}"
        yard.found.append(info(Code.SCOPE, said, span=unlabelled[0].span))


# One container ---------------------------------------------------------------------------------------------------------

Pieces = dict[tuple[str, str], dict[str, Piece]]


class _Reading:
    """What one container says. None where Traefik drops it."""

    def __init__(self, container: Container, labels: list[Label], yard: Yard, instance: Instance) -> None:
        self.container = container
        self.labels = labels
        self.yard = yard
        self.instance = instance
        self.routing = [label for label in labels if label.key.lower().startswith(ROUTING)]
        self.about = [label for label in labels if label.key.lower().startswith(ABOUT[instance.provider])]

    def pieces(self) -> Pieces | None:
        self._say_unread()
        by_default = self.yard.variables.by_default
        extra = shaped(self.about, "traefik", EXTRA[self.instance.provider], self.instance.version, by_default)
        if extra.faults:
            self._rejected(extra.faults)
            return None
        if not self._enabled(extra.found):
            return None
        found = shaped(self.routing, "traefik", ROOT, self.instance.version, by_default)
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

    def _span(self, label: Label) -> Span:
        return self.yard.span(label.mark)

    def _say(self, finding: Diagnostic) -> None:
        self.yard.found.append(finding)

    def _say_unread(self) -> None:
        """Labels below `traefik.` that Traefik looks at neither way."""
        rest = [label for label in self.labels if label not in self.routing and label not in self.about]
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
            self._say(warning(Code.LABELS_IGNORED, f"Traefik does not look at the label {label.key!r}", span=self._span(label), instead=hint))

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
        sticky = [fault for fault in faults if re.match(r"traefik\.http\.middlewares\.[^.]+\.sticky(?:\.|$)", fault.label.key, re.IGNORECASE)]
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
            for section in _SECTIONS:
                held = below(below(found, side), section)
                if held is not None:
                    pieces[side, section] = {
                        name: Piece(child, key, self.container) for name, child, key in children(held)
                    }
        udp = below(found, "udp") is not None
        if udp:
            for name, service, key in children(below(below(found, "udp"), "services")):
                if below(service, "loadBalancer") is None:
                    self._no_balancer(name, key)
                    return None
            self._say(info(Code.SCOPE, "UDP is not read", span=self._span(self.routing[-1])))
        tcp = bool(pieces.get(("tcp", "routers")) or pieces.get(("tcp", "services")))
        sides = ["tcp"] if tcp else []
        if not (tcp or udp) or any(pieces.get(("http", section)) for section in _SECTIONS):
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
            server = self._server(side, name, balancer, piece)
            if server is None:
                return False
            services[name] = piece._replace(grown=_without_server(piece.grown), servers=(server,))
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
        return self.yard.mark(self.container.span)

    def _server(self, side: str, name: str, balancer: Grown, piece: Piece) -> Grown | None:
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
        container = {key: value for key, value in inner.items() if value is not None}
        marks = {key: child.mark for key, child, _ in children(given)} if given is not None else {}
        places = [each for key in container for each in (marks.get(key, mark), marks.get(key, mark))]
        own = (*mark[:4], tuple(places))
        made: dict[str, Tree] = {"container": container, **tree}
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
        what = f"{port}, the lowest that is written for {self._who}" if port else "the lowest that its image exposes, which is not known here"
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
            added: dict[str, Tree] = {}
            span = self.yard.span(piece.key_mark)
            if not tree.get("rule"):
                tree.pop("rule", None)
                rule = self._default_rule(name, side, span)
                if rule is None:
                    del routers[name]
                    continue
                added["rule"] = rule
            if not tree.get("service"):
                tree.pop("service", None)
                if len(services) > 1:
                    said = f"the router {name!r} names no service, and {self._who} has several: Traefik leaves the router out"
                    self._say(error(Code.VALUE, said, span=span, instead=f"add the label traefik.{side}.routers.{name}.service"))
                    del routers[name]
                    continue
                added["service"] = next(iter(services))
            routers[name] = piece._replace(grown=_with(piece.grown, tree, added, piece.key_mark))
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
        self._say(info(Code.ASSUMED, f"the router {name!r} has no rule: Traefik's default rule makes it {rule}", span=span, instead="write the rule"))
        return rule


def _only_used(routers: Mapping[str, Piece], services: dict[str, Piece], own: str) -> None:
    """The service that Traefik makes by itself is read only where a router goes there."""
    targets = {str(piece.grown.tree.get("service")) for piece in routers.values() if isinstance(piece.grown.tree, dict)}
    if own in services and own not in targets and services[own].made:
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


# Several containers ----------------------------------------------------------------------------------------------------


def _merge(config: Config, place: tuple[str, str], name: str, piece: Piece, yard: Yard) -> None:
    """Things of one name are one if they are alike; the servers of a service are added up."""
    things = config.of(*place)
    section = ".".join(place)
    if name in config.lost.get(section, ()):
        return
    first = things.get(name)
    if first is None:
        things[name] = piece
        return
    if first.grown.tree == piece.grown.tree:
        more = tuple(each for each in piece.servers if each.tree not in [one.tree for one in first.servers])
        things[name] = first._replace(servers=(*first.servers, *more))
        return
    del things[name]
    config.lost.setdefault(section, set()).add(name)
    one, other = yard.span(first.key_mark), yard.span(piece.key_mark)
    what = place[1].removesuffix("s")
    which = _difference(first.grown.tree, piece.grown.tree)
    said = (
        f"the {what} {name!r} is not the same in {first.container.name!r} ({one.file}, line {one.line}) and in {piece.container.name!r}"
        f"{f' ({which} differs)' if which else ''}: Traefik deletes it"
    )
    yard.found.append(error(Code.NAME_CLASH, said, span=other, instead="write the same labels on both, or give one another name"))


def _difference(one: Tree, other: Tree) -> str:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in [*one, *(key for key in other if key not in one)]:
            if one.get(key) != other.get(key):
                inner = _difference(one.get(key), other.get(key))
                return f"{key}.{inner}" if inner else key
    return ""


# One document of all ---------------------------------------------------------------------------------------------------


def reading_of(config: Config, yard: Yard, file: str) -> LabelReading:
    """Everything as one file of the file provider, in which servers may be containers."""
    sides: list[tuple[str, Grown, Mark]] = []
    for side in ("http", "tcp"):
        sections: list[tuple[str, Grown, Mark]] = []
        for section in _SECTIONS:
            things = [(name, _linked(_served(piece), side, config, yard), piece.key_mark) for name, piece in config.of(side, section).items()]
            if section == "routers":
                things = [each for each in things if not _holds_nothing(each[0], each[1].tree)]
            if things:
                sections.append((section, _mapping(things), things[0][2]))
        if sections:
            sides.append((side, _mapping(sections), sections[0][2]))
    whole = _mapping(sides)
    return LabelReading(whole.tree, (0, 0, 0, 0, whole.mark[4]), file, yard=yard)


def _linked(grown: Grown, side: str, config: Config, yard: Yard) -> Grown:
    """References in which a variable stands, by the name that is meant where that is defined: names have no variables."""
    if not isinstance(grown.tree, dict):
        return grown
    tree = dict(grown.tree)
    for key, section in (("service", "services"), ("middlewares", "middlewares")):
        names = config.of(side, section)

        def meant(text: Tree, names: Mapping[str, Piece] = names) -> Tree:
            plain = yard.variables.by_default(text) if isinstance(text, str) and VARIABLE[0] in text else text
            return plain if plain in names else text

        value = tree.get(key)
        if value is not None:
            tree[key] = [meant(each) for each in value] if isinstance(value, list) else meant(value)
    return Grown(tree, grown.mark)


def _holds_nothing(name: str, tree: Tree) -> bool:
    return name == NONE_ROUTER and isinstance(tree, dict) and tree == {"rule": NONE_RULE, "service": "noop@internal"}


def _served(piece: Piece) -> Grown:
    """A service with its servers in it."""
    if not piece.servers:
        return piece.grown
    things: list[tuple[str, Grown, Mark]] = []
    for key, child, key_mark in children(piece.grown):
        if key == "loadBalancer":
            servers = Grown([each.tree for each in piece.servers], (*key_mark[:4], tuple(each.mark for each in piece.servers)))
            child = _mapping([*children(child), ("servers", servers, key_mark)])
        things.append((key, child, key_mark))
    made = _mapping(things)
    return Grown(made.tree, (*piece.key_mark[:4], made.mark[4]))


def children(grown: Grown | None) -> list[tuple[str, Grown, Mark]]:
    """The entries of a mapping: key, value, and where the key stands."""
    if grown is None or not isinstance(grown.tree, dict):
        return []
    inner = grown.mark[4]
    if len(inner) != 2 * len(grown.tree):
        return [(key, Grown(child, grown.mark), grown.mark) for key, child in grown.tree.items()]
    return [(key, Grown(child, inner[2 * at + 1]), inner[2 * at]) for at, (key, child) in enumerate(grown.tree.items())]


def below(grown: Grown | None, key: str) -> Grown | None:
    return next((child for name, child, _ in children(grown) if name == key), None)


def _mapping(things: list[tuple[str, Grown, Mark]]) -> Grown:
    mark = things[0][2] if things else NOWHERE
    inner = tuple(each for _, child, key_mark in things for each in (key_mark, child.mark))
    return Grown({name: child.tree for name, child, _ in things}, (*mark[:4], inner))


def _without_server(service: Grown) -> Grown:
    things: list[tuple[str, Grown, Mark]] = []
    for key, child, key_mark in children(service):
        if key == "loadBalancer":
            held = _mapping([each for each in children(child) if each[0] != "server"])
            child = Grown(held.tree, (*key_mark[:4], held.mark[4]))
        things.append((key, child, key_mark))
    made = _mapping(things)
    return Grown(made.tree, (*service.mark[:4], made.mark[4]))


def _with(grown: Grown, kept: Mapping[str, Tree], added: Mapping[str, Tree], mark: Mark) -> Grown:
    things = [each for each in children(grown) if each[0] in kept]
    things += [(key, Grown(value, (*mark[:4], ())), mark) for key, value in added.items()]
    made = _mapping(things)
    return Grown(made.tree, (*mark[:4], made.mark[4]))
