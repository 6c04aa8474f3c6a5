"""Traefik's labels on containers: compose files, `docker inspect`, `docker run`, plain lines; with a file for what labels cannot say.

    pinfeather convert shop.yaml --to docker-labels                 # writes compose.pinfeather.yml, and pinfeather.yml if it must
    pinfeather convert compose.yml --from docker-labels --to ingressroute
    docker inspect web api | pinfeather lint -

Reading. Several files are read together: compose files, merged as `docker compose -f a.yml -f b.yml` merges them, what
`docker compose config` prints as YAML or JSON, what `docker inspect` prints, command lines with `docker run`, lines of
`key=value`, and files of Traefik's file provider, whose things labels name with `@file`. A variable that compose would fill in
(`${DOMAIN:-shop.example}`) gets its value from `--env`, or stays a template: in a name, a yes or no or an entry point, which
have no place for one, its default is read. `$$` is `$`, as compose reads it.

What Traefik does with labels is done here too. One label that it does not know drops every label of that container: an
error, with the routes that are gone. Names of keys ignore case. A router without a service goes to the only service of its
container; one without a rule gets the default rule; a container without routers gets one by the default rule. One container is
one server; containers with the same service and otherwise the same labels are its servers together, else the service is deleted.
The last of labels of one key wins. Labels below `traefik.` that Traefik does not look at are named; those of other programs
are left alone, and so are containers without labels, TLS stores and UDP.

Writing. `compose.pinfeather.yml` holds labels only: `docker compose -f compose.yml -f compose.pinfeather.yml up`. A service of the
document goes to the labels of its containers (`servers: [{container: {name: web, port: 80}}]`), a router to every container that
it can reach, with the middlewares that it passes. Splits, services by URL, TLS options and servers transports go to
`pinfeather.yml`, for Traefik's file provider: a split names `stable@docker`, a router in labels `shop@file`. Every priority is
written. Where a container has a service and no router, a router that holds for nothing (`pinfeather-none`) keeps Traefik from
making one by its default rule. Kubernetes Services become containers of their name.

Who is bound to which variant stands in the cookie as a hash of the child's name as it is written (`identity`): `stable@docker`. A
server's value is made of the container's address, which nobody knows before it runs, and changes with it.

A name stands alone in a document, and two providers may have it: then the file's is called `NAME-file`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from pinfeather.model.build import build
from pinfeather.model.diagnostics import Code, Diagnostic, info, span_at
from pinfeather.model.document import Document
from pinfeather.model.features import Feature, Support
from pinfeather.model.services import LoadBalancer, Split
from pinfeather.translators._docker.compose import ComposeFiles
from pinfeather.translators._docker.config import configuration, reading_of
from pinfeather.translators._docker.container import Instance
from pinfeather.translators._docker.containers import RUN_LINE, Yard, kind_of, read_inspect, read_lines, read_run, readings_of
from pinfeather.translators._docker.layout import layout
from pinfeather.translators._docker.supports import label_table
from pinfeather.translators._docker.writing import written
from pinfeather.translators._syntax import yaml
from pinfeather.translators._syntax.decoding import decode
from pinfeather.translators._syntax.go_template import escape_actions
from pinfeather.translators._syntax.labels import VARIABLE
from pinfeather.translators._syntax.taking import TRAEFIK_LABELS, Taking
from pinfeather.translators._syntax.tree import LIMITS, Tree, span_of_spot
from pinfeather.translators._syntax.variables import MARKED, Variables, values_of
from pinfeather.translators._traefik.nouns import Reader
from pinfeather.translators._traefik.options import TraefikOptions
from pinfeather.translators._traefik.reading import Gathered, gather_file, gather_sections
from pinfeather.translators._traefik.writing import cookie_value
from pinfeather.translators.contract import Artifact, Emitted, File, Identity, Parsed, Source, TextFile, Translator


class DockerLabels(TraefikOptions):
    """Options of `docker-labels`."""

    shape: Literal["list", "map"] = "list"
    """How labels are written: `- key=value`, or `key: value`."""
    swarm: bool = False
    """Labels of services of a swarm, below `deploy`, instead of those of containers."""
    exposed_by_default: bool = True
    """Whether Traefik takes containers without `traefik.enable=true`: `providers.docker.exposedByDefault`."""
    default_rule: str = ""
    """The template of `providers.docker.defaultRule`; empty is Traefik's own, a host of the container's name."""
    project: str = ""
    """The name of the compose project; empty: what the file says, else its folder."""
    env: str = ""
    """Values of variables in compose files: KEY=VALUE lines, as in an env file."""

    @property
    def provider(self) -> str:
        return "swarm" if self.swarm and self.version >= (3, 0) else "docker"


def supports(options: DockerLabels) -> Mapping[Feature, Support]:
    return label_table(options.version, options.provider, swarm=options.swarm)


# Reading ---------------------------------------------------------------------------------------------------------------


def parse(source: Source, options: DockerLabels) -> Parsed:
    variables = Variables(values_of(options.env))
    yard = Yard(variables, options.swarm, options.project)
    gathered = Gathered()
    compose = ComposeFiles(yard)
    for file in source.files:
        _take(file, yard, compose, gathered, options)
    compose.finish()
    config = configuration(yard, Instance(options.version, options.provider, options.exposed_by_default, options.default_rule))
    _say_variables(yard)
    if yard.files and not (yard.found and not yard.containers):
        root = Taking.of(reading_of(config, yard, yard.files[0]), TRAEFIK_LABELS._replace(expressions=MARKED))
        reader = Reader(options.provider, options.version, gathered.spans, expressions=MARKED, texts=yard.texts, labels=True)
        gathered.roots.append(root)
        gathered.lost = config.lost
        gather_sections(root, reader, gathered)
    tree, spans, found = gathered.finish()
    found = (*yard.found, *found)
    document, faults = (None, ()) if tree is None else build(_restored(tree, variables) if _holds_mark(tree) else tree)
    named = (gathered.names.explained(fault.at(span_at(spans, fault.path))) for fault in faults)
    return Parsed(document, tuple(_in_letters(finding, variables) for finding in (*found, *named)), spans)


def _take(file: File, yard: Yard, compose: ComposeFiles, gathered: Gathered, options: DockerLabels) -> None:
    text = decode(file.text, file.name, LIMITS.stream_bytes)
    if isinstance(text, Diagnostic):
        yard.found.append(text)
        return
    kind = kind_of(text, file.name)
    if kind == "file":
        gather_file(file, "file", options.version, gathered)
        return
    yard.files.append(file.name)
    yard.texts[file.name] = text
    if kind == "run":
        read_run(text, file.name, yard)
    elif kind == "lines":
        read_lines(text, file.name, yard)
    else:
        for reading in readings_of(text, file.name, yard):
            if reading.value is not None and (kind == "inspect" or isinstance(reading.value, list)):
                read_inspect(reading, yard)
            else:
                compose.add(reading)


def _say_variables(yard: Yard) -> None:
    said: set[str] = set()
    for label, held in yard.interpolated:
        if label.key.lower().startswith("traefik.") and (new := [each for each in held if each not in said]):
            said.update(new)
            text = f"nobody has given {', '.join(new)} a value yet"
            instead = "give it with --env NAME=VALUE, or later with --bind"
            yard.found.append(info(Code.UNEXPANDED, text, span=span_of_spot(label.spot), instead=instead))


def _holds_mark(tree: Tree) -> bool:
    """Whether a variable without a value stands in a text: in most files there is none."""
    waiting = [tree]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            if VARIABLE[0] in value:
                return True
        elif isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return False


def _restored(tree: Tree, variables: Variables) -> Tree:
    """The tree with the letters of each variable that has no value."""
    if isinstance(tree, dict):
        return {key: _restored(child, variables) for key, child in tree.items()}
    if isinstance(tree, list):
        return [_restored(child, variables) for child in tree]
    if isinstance(tree, str):
        return variables.restored(tree)
    return tree


def _in_letters(finding: Diagnostic, variables: Variables) -> Diagnostic:
    return finding._replace(message=str(variables.restored(finding.message)), instead=str(variables.restored(finding.instead)))


# Beginnings of lines are looked for behind a line end, which is found sooner; the text gets one in front.
_COMPOSE = re.compile(r"""\n(?:(?:\{\s*)?["']?services["']?[ \t]*:|[ \t]+"services":)""")
_OURS = re.compile(r"""["' \t-]traefik\.(?:enable|http|tcp|udp|docker|frontend|port|backend)\b""", re.IGNORECASE)
_LINE = re.compile(r"\ntraefik\.[\w.\[\]-]+=", re.IGNORECASE)


def recognise(file: File) -> bool:
    text = file.text if isinstance(file.text, str) else file.text[: 1 << 20].decode("utf-8", "replace")
    text = f"\n{text}"
    if _LINE.search(text) is not None:
        return True
    held = _COMPOSE.search(text) is not None or RUN_LINE.search(text) is not None or ('"Config"' in text and '"Labels"' in text)
    return held and _OURS.search(text) is not None


# Writing ---------------------------------------------------------------------------------------------------------------


def emit(document: Document, options: DockerLabels) -> Emitted:
    made = written(document, options.version, options.provider)
    artifacts: list[Artifact] = []
    if made.labels or not made.beside:
        services: dict[str, Tree] = {name: _service(labels, options) for name, labels in made.labels.items()}
        artifacts.append(TextFile("compose.pinfeather.yml", yaml.emit({"services": services}), "yaml"))
    if made.beside:
        artifacts.append(TextFile("pinfeather.yml", escape_actions(yaml.emit(made.beside)), "yaml"))
    return Emitted(tuple(artifacts))


def _service(labels: tuple[tuple[str, str], ...], options: DockerLabels) -> Tree:
    held: Tree = [f"{key}={text}" for key, text in labels]
    if options.shape == "map":  # compose fills in values, and no keys
        held = {key.replace("$$", "$"): str(text) for key, text in labels}
    return {"deploy": {"labels": held}} if options.swarm else {"labels": held}


def identity(document: Document, options: DockerLabels) -> Identity:
    """By service, or by route for the split inside it: of children in labels with their provider, of servers those with a URL."""
    held = layout(document, options.version).http.services

    def value(child: str) -> str:
        return cookie_value(f"{child}@{options.provider}" if child in held else child)

    variants: dict[tuple[str, str], str] = {}
    servers: dict[tuple[str, str], str] = {}
    for route in document.routes:
        variants.update({(route.name, entry.to): value(entry.to) for entry in route.split})
    for name, service in document.services.items():
        if isinstance(service, LoadBalancer):
            servers.update({(name, server.key): cookie_value(server.key) for server in service.servers if server.url is not None})
        elif isinstance(service, Split):
            variants.update({(name, entry.to): value(entry.to) for entry in service.split})
    return Identity(variants, servers)


TRANSLATOR = Translator(
    name="docker-labels",
    doc=__doc__,
    options=DockerLabels,
    supports=supports,
    parse=parse,
    emit=emit,
    recognise=recognise,
    identity=identity,
    companions=("traefik-file",),
)
