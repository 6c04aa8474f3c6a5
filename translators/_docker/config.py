"""What Traefik's Docker provider makes of all containers together: things of one name in several containers are one if they are
alike, else none; and everything that is left as one tree, as a file of the file provider would say it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from pinfeather.model.diagnostics import Code, error, info, warning
from pinfeather.translators._docker.container import SECTIONS, ContainerReading, Instance
from pinfeather.translators._docker.containers import Container, LabelReading, Yard
from pinfeather.translators._docker.pieces import Piece, children, mapping
from pinfeather.translators._syntax.labels import VARIABLE, Grown, Label
from pinfeather.translators._syntax.tree import NOWHERE, Mark, Tree, span_of_spot

_OURS = "traefik."
NONE_ROUTER = "pinfeather-none"
NONE_RULE = "Path(`/`) && !Path(`/`)"
"""A router that holds for no request: it keeps Traefik from making one by its default rule. See `docker_labels.py`."""


@dataclass
class Config:
    """What all containers say together, by side (`http`, `tcp`), section and name."""

    instance: Instance
    placed: bool = False
    """Whether the pieces have their marks."""
    pieces: dict[tuple[str, str], dict[str, Piece]] = field(default_factory=dict)
    lost: dict[str, set[str]] = field(default_factory=dict)
    servers: dict[tuple[str, str, str], dict[str, Grown]] = field(default_factory=dict)
    """Of services on several containers, by what each says."""
    unlabelled: list[Container] = field(default_factory=list)
    foreign: list[Label] = field(default_factory=list)
    """Labels of other programs."""

    def of(self, side: str, section: str) -> dict[str, Piece]:
        return self.pieces.setdefault((side, section), {})


def configuration(yard: Yard, instance: Instance) -> Config:
    """Everything that Traefik takes from the containers of a run; the rest is reported."""
    said = len(yard.found)
    config = _configured(yard, instance, placed=False)
    if len(yard.found) > said:  # each finding has its place
        del yard.found[said:]
        config = _configured(yard, instance, placed=True)
    _say_others(config, yard)
    return config


def _configured(yard: Yard, instance: Instance, *, placed: bool) -> Config:
    config = Config(instance, placed)
    for container in yard.containers:
        labels = _plain_keys(container, yard)
        own = [label for label in labels if label.key[:8].lower() == _OURS]
        if len(own) != len(labels):
            config.foreign += [label for label in labels if label.key[:8].lower() != _OURS]
        if container.passed_over:
            _say_passed_over(container, yard)
        if not own:
            config.unlabelled.append(container)
            continue
        found = ContainerReading(container, own, yard, instance, placed=placed).pieces()
        for place, things in (found or {}).items():
            known = config.of(*place)
            lost = config.lost.get(".".join(place), ())
            for name, piece in things.items():
                if name in known:
                    _merge(config, place, name, piece, yard)
                elif name not in lost:
                    known[name] = piece
    return config


def _plain_keys(container: Container, yard: Yard) -> Sequence[Label]:
    """A name has no place for a variable: it is read by its default."""
    labels = container.labels
    if not yard.variables.marked or not any(VARIABLE[0] in label.key for label in labels):
        return labels
    return [label._replace(key=yard.variables.by_default(label.key)) for label in labels]


def _say_passed_over(container: Container, yard: Yard) -> None:
    ours = [label for label in container.passed_over if label.key[:8].lower() == _OURS]
    if ours:
        span = span_of_spot(ours[0].spot)
        said = (
            "Traefik's provider for a swarm looks at `deploy.labels` alone, not at the labels of the container"
            if yard.swarm
            else "Traefik's Docker provider looks at the labels of the container, not at `deploy.labels`: those are a swarm's"
        )
        instead = "move them below `deploy`" if yard.swarm else "move them to the service's own `labels`, or say --swarm true"
        yard.found.append(warning(Code.LABELS_IGNORED, said, span=span, instead=instead))


def _say_others(config: Config, yard: Yard) -> None:
    foreign, unlabelled = config.foreign, config.unlabelled
    if foreign:
        roots = sorted({label.key.split(".")[0] if label.key.count(".") else label.key for label in foreign})
        said = f"labels of other programs, left alone: {len(foreign)} ({', '.join(roots[:6])}{'…' if len(roots) > 6 else ''})"
        yard.found.append(info(Code.SCOPE, said, span=span_of_spot(foreign[0].at_key)))
    if unlabelled:
        names = ", ".join(container.name or "one without a name" for container in unlabelled[:8])
        also = (
            ": where Traefik takes every container (exposedByDefault), it also serves these by its default rule"
            if config.instance.exposed_by_default
            else ""
        )
        said = f"without labels for Traefik, left alone: {names}{also}"
        yard.found.append(info(Code.SCOPE, said, span=span_of_spot(unlabelled[0].spot)))


# Several containers ----------------------------------------------------------------------------------------------------


def _merge(config: Config, place: tuple[str, str], name: str, piece: Piece, yard: Yard) -> None:
    """A thing that another container has too. The two are one if they are alike; the servers of a service are added up."""
    things = config.of(*place)
    first = things[name]
    if first.grown.tree == piece.grown.tree:
        if piece.servers:
            things[name] = _with_servers(first, piece, config.servers.setdefault((*place, name), {}))
        return
    del things[name]
    config.lost.setdefault(".".join(place), set()).add(name)
    one, other = yard.span(first.key_mark), yard.span(piece.key_mark)
    what = place[1].removesuffix("s")
    which = _difference(first.grown.tree, piece.grown.tree)
    said = (
        f"the {what} {name!r} is not the same in {first.container.name!r} ({one.file}, line {one.line}) and in {piece.container.name!r}"
        f"{f' ({which} differs)' if which else ''}: Traefik deletes it"
    )
    yard.found.append(error(Code.NAME_CLASH, said, span=other, instead="write the same labels on both, or give one another name"))


def _with_servers(first: Piece, piece: Piece, known: dict[str, Grown]) -> Piece:
    """The service with the servers of another container too. `known`: those that it has, by what they say."""
    if not known:
        known.update((_said(server), server) for server in first.servers)
        first = first._replace(servers=known.values())
    for server in piece.servers:
        known.setdefault(_said(server), server)
    return first


def _said(server: Grown) -> str:
    assert isinstance(server.tree, dict)
    return repr(sorted(server.tree.items()))


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
    whole = _whole(config, yard)
    place = whole.mark if config.placed else partial(_placed, yard, config.instance)
    return LabelReading(whole.tree, place, file, yard=yard)


def _placed(yard: Yard, instance: Instance) -> Mark:
    """The mark of the whole, of which nobody has asked anything before: what was read without places is read again with them."""
    return _whole(_configured(replace(yard, found=[]), instance, placed=True), yard).mark


def _whole(config: Config, yard: Yard) -> Grown:
    sides: list[tuple[str, Grown, Mark]] = []
    for side in ("http", "tcp"):
        sections: list[tuple[str, Grown, Mark]] = []
        for section in SECTIONS:
            things = [
                (name, _linked(_served(piece), side, config, yard), piece.key_mark) for name, piece in config.of(side, section).items()
            ]
            if section == "routers":
                things = [each for each in things if not _holds_nothing(each[0], each[1].tree)]
            if things:
                sections.append((section, mapping(things), things[0][2]))
        if sections:
            sides.append((side, mapping(sections), sections[0][2]))
    whole = mapping(sides)
    return Grown(whole.tree, (0, 0, 0, 0, whole.mark[4]))


def _linked(grown: Grown, side: str, config: Config, yard: Yard) -> Grown:
    """References in which a variable stands, by the name that is meant where that is defined: names have no variables."""
    if not yard.variables.marked or not isinstance(grown.tree, dict):
        return grown
    if not (_marked(grown.tree.get("service")) or _marked(grown.tree.get("middlewares"))):
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


def _marked(names: Tree) -> bool:
    """Whether a variable stands in a name, or in one of several."""
    return any(map(_marked, names)) if isinstance(names, list) else isinstance(names, str) and VARIABLE[0] in names


def _holds_nothing(name: str, tree: Tree) -> bool:
    return name == NONE_ROUTER and isinstance(tree, dict) and tree == {"rule": NONE_RULE, "service": "noop@internal"}


def _served(piece: Piece) -> Grown:
    """A service with its servers in it."""
    if not piece.servers:
        return piece.grown
    if piece.key_mark is NOWHERE and isinstance(piece.grown.tree, dict) and isinstance(held := piece.grown.tree["loadBalancer"], dict):
        return Grown({**piece.grown.tree, "loadBalancer": {**held, "servers": [each.tree for each in piece.servers]}}, NOWHERE)
    things: list[tuple[str, Grown, Mark]] = []
    for key, child, key_mark in children(piece.grown):
        if key == "loadBalancer":
            servers = Grown([each.tree for each in piece.servers], (*key_mark[:4], tuple(each.mark for each in piece.servers)))
            child = mapping([*children(child), ("servers", servers, key_mark)])
        things.append((key, child, key_mark))
    made = mapping(things)
    return Grown(made.tree, (*piece.key_mark[:4], made.mark[4]))
