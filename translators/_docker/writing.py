"""A document as labels of containers and, for what labels cannot say, as a file for the file provider beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from pinfeather.model.document import Document
from pinfeather.model.middlewares import Middleware
from pinfeather.model.noun import Noun, Template
from pinfeather.model.services import LoadBalancer, Server, TcpLoadBalancer, TcpServer
from pinfeather.translators._docker.config import NONE_ROUTER, NONE_RULE
from pinfeather.translators._docker.layout import Side, layout
from pinfeather.translators._syntax.label_pairs import pairs
from pinfeather.translators._syntax.labels import VARIABLE
from pinfeather.translators._syntax.tree import Tree
from pinfeather.translators._syntax.variables import Variables
from pinfeather.translators._traefik.routing import Rules
from pinfeather.translators._traefik.schema import ROOT, Named, Shape, Struct
from pinfeather.translators._traefik.writing import file_tree, present

Branch = dict[str, Tree]
FILE = "file"


class Written(NamedTuple):
    """Key and text of each label, by container, `$` written `$$`; and the tree of the file beside them."""

    labels: Mapping[str, tuple[tuple[str, str], ...]]
    beside: Branch


def written(document: Document, version: tuple[int, int], provider: str) -> Written:
    """The whole document in two parts, each naming what stands in the other one (`x@docker`, `x@file`)."""
    variables = Variables({})
    marked = _with_marks(_with_ordered_trees(document), variables) if _holds_template(document) else _with_ordered_trees(document)
    placed = layout(marked, version)
    tree = file_tree(marked, Rules(version, templates=True))
    containers: dict[str, _Said] = {}
    beside: Branch = {}
    for name in ("http", "tcp"):
        part = tree.get(name, {})
        assert isinstance(part, dict)
        left = _Split(part, placed.side(name), provider, variables, containers, name).beside(marked)
        beside |= present({name: left})
    if "tls" in tree:
        beside["tls"] = tree["tls"]
    return Written({container: _in_order(said) for container, said in sorted(containers.items())}, beside)


Pairs = list[tuple[str, str]]
_Said = dict[tuple[str, str], dict[str, Pairs]]
"""What one container says: its labels by side, section and name."""
_NONE: Pairs = [
    (f"traefik.http.routers.{NONE_ROUTER}.rule", NONE_RULE),
    (f"traefik.http.routers.{NONE_ROUTER}.service", "noop@internal"),
]


def _in_order(said: _Said) -> tuple[tuple[str, str], ...]:
    """As it will be after it was read: routers by priority, everything else by name."""
    found = [("traefik.enable", "true")]
    for side in ("http", "tcp"):
        routers = said.get((side, "routers"))
        if routers is not None:
            for texts in routers.values():
                found += texts
        elif side == "http" and ("http", "services") in said:
            found += _NONE
        for section in ("services", "middlewares"):
            for _, texts in sorted(said.get((side, section), {}).items()):
                found += texts
    return tuple(found)


def _with_ordered_trees(document: Document) -> Document:
    """What is carried to the letter with its keys in order: Traefik sorts labels, so no other order comes back."""

    if not any(each.other is not None for each in (*document.middlewares.values(), *document.tcp_middlewares.values())):
        return document

    def ordered(middleware: Middleware) -> Middleware:
        other = middleware.other
        if other is None:
            return middleware
        return middleware.model_copy(update={"other": other.model_copy(update={"config": _by_key(other.config)})})

    sections = ("middlewares", "tcp_middlewares")
    return document.model_copy(
        update={section: {name: ordered(each) for name, each in getattr(document, section).items()} for section in sections}
    )


def _by_key(tree: Tree) -> Tree:
    if isinstance(tree, dict):
        return {key: _by_key(child) for key, child in sorted(tree.items(), key=lambda each: (each[0].lower(), each[0]))}
    return [_by_key(item) for item in tree] if isinstance(tree, list) else tree


def _escaped(text: str, variables: Variables) -> str:
    if type(text) is str and VARIABLE[0] not in text:
        return text.replace("$", "$$")
    restored = variables.restored(text)
    return restored if isinstance(restored, Template) else text.replace("$", "$$")


class _Split:
    """One side, HTTP or TCP, taken apart."""

    def __init__(
        self,
        tree: Mapping[str, Tree],
        placed: Side,
        provider: str,
        variables: Variables,
        containers: dict[str, _Said],
        side: str,
    ) -> None:
        self.tree = tree
        self.placed = placed
        self.provider = provider
        self.variables = variables
        self.containers = containers
        self.side = side

    def beside(self, document: Document) -> Branch:
        """Puts into labels what goes there, and returns the rest."""
        left: Branch = {}
        for section, held, change in (
            ("routers", self.placed.routers, self._router),
            ("services", self.placed.services, self._service),
            ("middlewares", self.placed.middlewares, self._middleware),
        ):
            things = self.tree.get(section, {})
            assert isinstance(things, dict)
            rest: Branch = {}
            for name, tree in things.items():
                assert isinstance(tree, dict)
                on = held.get(name)
                made = change(tree, in_labels=on is not None)
                if on is None:
                    rest[name] = made
                elif section == "services":
                    self._put_service(document, name, made, on)
                else:
                    texts = self._texts(section, name, made)
                    for container in on:
                        self._of(container, section)[name] = texts
            left |= present({section: rest})
        transports = self.tree.get("serversTransports", {})
        assert isinstance(transports, dict)
        return left | present({"serversTransports": transports})

    def _of(self, container: str, section: str) -> dict[str, Pairs]:
        """What a container says in a section so far."""
        return self.containers.setdefault(container, {}).setdefault((self.side, section), {})

    def _texts(self, section: str, name: str, tree: Branch) -> Pairs:
        shape = _SHAPES[self.side, section]
        variables = self.variables
        return [
            (_escaped(key, variables), _escaped(text, variables))
            for key, text in pairs(tree, shape, f"traefik.{self.side}.{section}.{name}")
        ]

    def _refer(self, name: Tree, held: Mapping[str, object], *, in_labels: bool) -> Tree:
        """A reference as it is written where it stands."""
        if not isinstance(name, str) or "@" in name or isinstance(name, Template) or (name in held) is in_labels:
            return name
        return f"{name}@{self.provider if name in held else FILE}"

    def _references(self, names: Tree, held: Mapping[str, object], *, in_labels: bool) -> list[Tree]:
        assert isinstance(names, list)
        return [self._refer(name, held, in_labels=in_labels) for name in names]

    def _router(self, tree: Branch, *, in_labels: bool) -> Branch:
        made = {**tree, "service": self._refer(tree["service"], self.placed.services, in_labels=in_labels)}
        if "middlewares" in tree:
            made["middlewares"] = self._references(tree["middlewares"], self.placed.middlewares, in_labels=in_labels)
        tls = tree.get("tls")
        if isinstance(tls, dict) and tls.get("options") not in (None, "default"):
            made["tls"] = {**tls, "options": self._refer(tls["options"], {}, in_labels=in_labels)}
        return made

    def _service(self, tree: Branch, *, in_labels: bool) -> Branch:
        made = dict(tree)
        if "middlewares" in tree:
            made["middlewares"] = self._references(tree["middlewares"], self.placed.middlewares, in_labels=in_labels)
        balancer, split = tree.get("loadBalancer"), tree.get("weighted")
        if isinstance(balancer, dict) and "serversTransport" in balancer:
            made["loadBalancer"] = {**balancer, "serversTransport": self._refer(balancer["serversTransport"], {}, in_labels=in_labels)}
        if isinstance(split, dict) and isinstance(entries := split.get("services"), list):
            named = [
                {**entry, "name": self._refer(entry["name"], self.placed.services, in_labels=in_labels)}
                for entry in entries
                if isinstance(entry, dict)
            ]
            made["weighted"] = {**split, "services": list(named)}
        return made

    def _middleware(self, tree: Branch, *, in_labels: bool) -> Branch:
        chain, errors = tree.get("chain"), tree.get("errors")
        if isinstance(chain, dict) and "middlewares" in chain:
            return {"chain": {**chain, "middlewares": self._references(chain["middlewares"], self.placed.middlewares, in_labels=in_labels)}}
        if isinstance(errors, dict) and isinstance(errors.get("service"), str):
            named = self.tree.get("services", {})
            assert isinstance(named, dict)
            if errors["service"] in named:
                return {"errors": {**errors, "service": self._refer(errors["service"], self.placed.services, in_labels=in_labels)}}
        return tree

    def _put_service(self, document: Document, name: str, tree: Branch, on: tuple[str, ...]) -> None:
        """The service as each of its containers says it: with the one server that this container is."""
        service = (document.tcp_services if self.side == "tcp" else document.services)[name]
        assert isinstance(service, LoadBalancer | TcpLoadBalancer)
        held: tuple[Server | TcpServer, ...] = service.servers
        balancer = tree["loadBalancer"]
        assert isinstance(balancer, dict)
        servers = balancer["servers"]
        assert isinstance(servers, list)
        rest = {key: value for key, value in balancer.items() if key != "servers"}
        references = [(each.container, server) for each, server in zip(held, servers, strict=True)]
        by_name = {ref.name: (ref, server) for ref, server in reversed(references) if ref is not None}
        for container in on:
            ref, server = by_name[container]
            assert isinstance(server, dict)
            one: Branch = {}
            if ref.port is not None:
                one["port"] = str(ref.port)
            if ref.scheme is not None:
                one["scheme"] = ref.scheme
            one |= server
            made = {"server": one, **rest} if one else dict(rest)
            if not made:  # something has to name the service
                made = {"proxyProtocol": False} if self.side == "tcp" else {"sticky": False}
            self._of(container, "services")[name] = self._texts("services", name, {**tree, "loadBalancer": made})


def _shape(side: str, section: str) -> Shape:
    inside = ROOT.fields[side]
    assert isinstance(inside, Struct)
    named = inside.fields[section]
    assert isinstance(named, Named)
    return named.shape


_SHAPES = {(side, section): _shape(side, section) for side in ("http", "tcp") for section in ("routers", "services", "middlewares")}


def _holds_template(document: Document) -> bool:
    """Whether a template stands anywhere that `_with_marks` looks at: few documents have one."""
    waiting: list[object] = [document]
    while waiting:
        value = waiting.pop()
        kind = type(value)
        if isinstance(value, tuple):
            held: Iterable[object] = value
        elif isinstance(value, dict):
            held = value.values()
        elif _is_noun(kind):  # type: ignore[arg-type] # a class can be hashed
            held = vars(value).values()
        elif isinstance(value, Template):
            return True
        else:
            continue
        if not _PLAIN.issuperset(map(type, held)):
            waiting += [each for each in held if type(each) not in _PLAIN and each is not _EMPTY]
    return False


_PLAIN = frozenset((str, int, bool, float, type(None)))
_EMPTY: tuple[object, ...] = ()


@lru_cache(maxsize=512)
def _is_noun(kind: type[Any]) -> bool:
    """To ask pydantic whether a value is a noun costs more than all else here."""
    return issubclass(kind, Noun)


N = TypeVar("N")


def _with_marks(value: N, variables: Variables) -> N:
    """The same with each variable in a template as a mark, so that a `$` beside it can be told from it."""
    if isinstance(value, Template):
        return Template(variables.filled(value)[0])  # type: ignore[return-value]
    if isinstance(value, Noun):
        fields = {name: getattr(value, name) for name in type(value).model_fields}
        changed = {name: new for name, old in fields.items() if (new := _with_marks(old, variables)) is not old}
        return value.model_copy(update=changed) if changed else value
    if isinstance(value, tuple):
        made = tuple(_with_marks(item, variables) for item in value)
        return made if any(new is not old for new, old in zip(made, value, strict=True)) else value  # type: ignore[return-value]
    if isinstance(value, dict):
        new = {key: _with_marks(item, variables) for key, item in value.items()}
        return new if any(new[key] is not value[key] for key in value) else value  # type: ignore[return-value]
    return value
