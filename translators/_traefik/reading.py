"""The files of Traefik's file provider, read together: sections gathered by name, nouns made, what hangs on something lost left out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from pinfeather.model.diagnostics import Code, Diagnostic, Path, Span, error, info
from pinfeather.translators._syntax import yaml
from pinfeather.translators._syntax.decoding import decode, position
from pinfeather.translators._syntax.go_template import first_action, unescape_actions
from pinfeather.translators._syntax.taking import TRAEFIK_FILE, Taking
from pinfeather.translators._syntax.tree import LIMITS, Reading, Spans, Tree
from pinfeather.translators._traefik.ladders import Router
from pinfeather.translators._traefik.middlewares import take_middleware
from pinfeather.translators._traefik.names import Names
from pinfeather.translators._traefik.nouns import TLS_OPTIONS, Reader, take
from pinfeather.translators._traefik.routing import routes_of, say_assumed, take_router
from pinfeather.translators._traefik.services import take_service, take_tcp_service
from pinfeather.translators._traefik.supports import HTTP_TRANSPORT, TCP_TRANSPORT
from pinfeather.translators.contract import File

SECTIONS = ("routers", "services", "middlewares", "serversTransports")
_ALONE = frozenset(
    (
        "http", "tcp", "udp", "routers", "services", "middlewares", "serverstransports", "loadbalancer", "weighted", "headers",
        "customrequestheaders", "customresponseheaders", "observability", "passivehealthcheck",
    )
)  # fmt: skip
"""Keys under which an empty mapping makes Traefik 3.7 refuse the whole file, as observed."""
_TOML = re.compile(r"^[ \t]*(?:\[\[?[\w\".-]|[\w.-]+[ \t]*=)", re.MULTILINE)


class _Named(NamedTuple):
    """One thing of a section: its own name, what it says, and the reader of its provider."""

    name: str
    node: Taking
    reader: Reader


class Gathered:
    """Everything that a run has read, by provider, section and name; `finish` makes one document of it."""

    def __init__(self) -> None:
        self.things: dict[tuple[str, str], dict[str, _Named]] = {}
        self.roots: list[Taking] = []
        self.found: list[Diagnostic] = []
        self.spans = Spans()
        self.lost: dict[str, set[str]] = {}
        """Names of what was defined and cannot be read, by section: what leads there is left out without a word."""
        self.names = Names()
        self._sections: dict[str, dict[str, _Named]] = {}

    def at(self, provider: str, section: str) -> dict[str, _Named]:
        return self.things.setdefault((provider, section), {})

    def of(self, section: str) -> dict[str, _Named]:
        """What all providers have, by its name in the document."""
        return self._sections.get(section, {})

    def finish(self) -> tuple[Tree, Spans, tuple[Diagnostic, ...]]:
        """The document's tree (None: nothing could be read), where its values stand, and what there is to say."""
        if self.found and not self.roots:
            return None, self.spans, tuple(self.found)
        self.names = Names({place: tuple(things) for place, things in self.things.items()})
        known = {section: tuple(things) for (_, section), things in self.things.items()}
        resolve = self.names.resolve if self.names.several else None
        given = reader = None
        for (provider, section), things in self.things.items():
            named = self._sections.setdefault(section, {})
            for name, thing in things.items():
                own = self.names.own(provider, section, name)
                if reader is None or given is not thing.reader:  # the things of one file have one
                    given = thing.reader
                    reader = given._replace(known=known, resolve=resolve)
                named[own] = _Named(thing.name, thing.node, reader)
                if own != name:
                    said = f"{name!r} of {section} stands in labels and in a file, two things to Traefik: the file's is called {own!r} here"
                    thing.node.report(info(Code.ASSUMED, said, instead="give it another name", span=thing.node.key_span))
        tree = _document(self)
        left = [finding for root in self.roots for finding in root.finish()]
        return tree, self.spans, (*self.found, *left)


def read_files(files: Iterable[File], provider: str, version: tuple[int, int]) -> tuple[Tree, Spans, tuple[Diagnostic, ...]]:
    """The files of a file provider: the document's tree, where its values stand, and what there is to say."""
    gathered = Gathered()
    for file in files:
        gather_file(file, provider, version, gathered)
    return gathered.finish()


# Files -----------------------------------------------------------------------------------------------------------------


def gather_file(file: File, provider: str, version: tuple[int, int], gathered: Gathered) -> None:
    """Takes one file of the file provider in."""
    text = decode(file.text, file.name, LIMITS.stream_bytes)
    if isinstance(text, Diagnostic):
        gathered.found.append(text)
        return
    if (at := first_action(text)) is not None:
        line, column = position(text, at)
        gathered.found.append(
            error(
                Code.ACTION,
                "a Go-template action: what the file says is known only when Traefik has run it",
                span=Span(file.name, line, column, line, column + 2),
                instead="write the value itself, or {{`{{`}} for the two braces, in comments too",
            )
        )
        return
    text = unescape_actions(text)
    reading = _read(text, file.name, gathered.found)
    if reading is None:
        return
    gathered.found += _standalone(reading)
    root = Taking.of(reading, TRAEFIK_FILE)
    gathered.roots.append(root)
    reader = Reader(provider, version, gathered.spans, text)
    gather_sections(root, reader, gathered)
    if (tls := root.map("tls")) is not None:
        _add(tls.items("options"), "tls.options", reader, gathered)
        tls.out_of_scope("certificates", "stores")
    root.out_of_scope("udp")


def _read(text: str, name: str, found: list[Diagnostic]) -> Reading | None:
    """The one document of a file. Traefik reads a file of comments as an empty one, and of a YAML stream the first."""
    if name.lower().endswith(".toml") or (not name.lower().endswith((".yml", ".yaml")) and _is_toml(text)):
        from pinfeather.translators._syntax import toml  # few files are

        readings = [toml.read(text, name)]
    else:
        readings = yaml.read(text, name, yaml.GO_YAML_V3)
    first, *rest = readings
    if [finding.code for finding in first.diagnostics] == [Code.EMPTY] and text.strip():
        return None
    if rest:
        said = "a second document: Traefik reads the first one of a file and drops this one without a word"
        found.append(error(Code.SYNTAX, said, span=Span(name, rest[0].first_line, 1), instead="put it into a file of its own"))
    return first


def _is_toml(text: str) -> bool:
    first = next((line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")), "")
    return _TOML.match(first) is not None


def _standalone(reading: Reading) -> Iterator[Diagnostic]:
    """Empty mappings that make Traefik refuse the whole file."""

    def empty(value: Tree, path: Path) -> Iterator[Path]:
        pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, child in pairs:
            here = (*path, key)
            named = len(path) == 2 and str(path[1]).lower() in {section.lower() for section in SECTIONS}
            if child == {} and str(key).lower() in _ALONE and not named:
                yield here
            yield from empty(child, here)

    for path in empty(reading.value, ()):
        said = f"`{path[-1]}` is empty: Traefik refuses the whole file for it"
        yield error(Code.VALUE, said, span=reading.spans.get(path), instead="take it out")


def gather_sections(root: Taking, reader: Reader, gathered: Gathered) -> None:
    """Takes in what stands under `http` and `tcp`."""
    for side in ("http", "tcp"):
        if (node := root.map(side)) is None:
            continue
        for section in SECTIONS:
            _add(node.items(section), f"{side}.{section}", reader, gathered)


def _add(things: Iterable[tuple[str, Taking]], section: str, reader: Reader, gathered: Gathered) -> None:
    names = gathered.at(reader.provider, section)
    for name, node in things:
        if name not in names:
            names[name] = _Named(name, node, reader)
            continue
        node.forget()
        first = names[name].node.key_span
        said = f"{name!r} of {section} stands in {first.file}, line {first.line}, already: Traefik keeps one of them and drops the other"
        node.report(error(Code.NAME_CLASH, said, span=node.key_span, instead="give it another name, or take one out"))


# Nouns -----------------------------------------------------------------------------------------------------------------


def _document(gathered: Gathered) -> Tree:
    tree: dict[str, Tree] = {"pinfeather": "v1"}
    lost = gathered.lost

    def made(section: str, key: str, make: Callable[[str, _Named, Path], Tree]) -> dict[str, Tree]:
        found: dict[str, Tree] = {}
        for name, thing in gathered.of(section).items():
            noun = make(name, thing, (key, name))
            if noun is None:
                lost.setdefault(section, set()).add(name)
            else:
                found[name] = noun
        return found

    def transport(keys: tuple[str, ...]) -> Callable[[str, _Named, Path], Tree]:
        def make(_name: str, thing: _Named, at: Path) -> Tree:
            thing.reader.spans[at] = thing.node.spot
            written = list(thing.node.value) if isinstance(thing.node.value, dict) else []
            known = {key.lower(): key for key in keys}
            found = {known[key.lower()]: thing.node.tree(key) for key in written if key.lower() in known}
            for key in keys:
                thing.node.tree(key)  # asked for, so that a misspelt one is told from it
            return {key: value for key, value in found.items() if value is not None}

        return make

    tree["middlewares"] = made("http.middlewares", "middlewares", lambda _, t, at: take_middleware(t.node, at, t.reader, tcp=False))
    tree["tcp_middlewares"] = made("tcp.middlewares", "tcp_middlewares", lambda _, t, at: take_middleware(t.node, at, t.reader, tcp=True))
    tree["services"] = made("http.services", "services", lambda _, t, at: take_service(t.name, t.node, at, t.reader))
    tree["tcp_services"] = made("tcp.services", "tcp_services", lambda _, t, at: take_tcp_service(t.node, at, t.reader))
    tree["tls_options"] = made("tls.options", "tls_options", _tls_options)
    http, tcp = transport(HTTP_TRANSPORT), transport(TCP_TRANSPORT)
    tree["servers_transports"] = {
        **made("http.serversTransports", "servers_transports", http),
        **made("tcp.serversTransports", "servers_transports", tcp),
    }
    _one_transport(gathered)
    _follow(tree, lost)
    for side, key in (("http", "routes"), ("tcp", "tcp_routes")):
        routers = [take_router(name, t.node, t.reader, tcp=side == "tcp") for name, t in gathered.of(f"{side}.routers").items()]
        kept = [router for router in routers if router is not None and not _hangs(router, side, lost)]
        if side == "http":
            say_assumed(kept)
        tree[key] = list(routes_of(kept, key, gathered.spans, lift=side == "http"))
    return tree


def _tls_options(_name: str, thing: _Named, at: Path) -> Tree:
    thing.reader.spans[at] = thing.node.spot
    found = take(thing.node, TLS_OPTIONS, at, thing.reader)
    thing.node.known("disableSessionTickets", "preferServerCipherSuites")
    return found


def _one_transport(gathered: Gathered) -> None:
    """The model keeps the servers transports of both sides in one place."""
    http = gathered.of("http.serversTransports")
    for name, thing in gathered.of("tcp.serversTransports").items():
        if name in http:
            said = f"the servers transport {name!r} stands under http and under tcp"
            thing.node.report(error(Code.NAME_CLASH, said, span=thing.node.key_span, instead="give one of them another name"))


def _follow(tree: dict[str, Tree], lost: dict[str, set[str]]) -> None:
    """Leaves out what leads to something that was lost, so that each loss is said once, at its own line."""
    sides = (("http", "services", "middlewares"), ("tcp", "tcp_services", "tcp_middlewares"))
    for side, services, middlewares in sides:
        gone = lost.setdefault(f"{side}.services", set()), lost.setdefault(f"{side}.middlewares", set())
        changed = True
        while changed:
            changed = False
            for section, own, reaches in ((middlewares, gone[1], _chained), (services, gone[0], _targets)):
                nouns = tree[section]
                assert isinstance(nouns, dict)
                for name in [name for name, noun in nouns.items() if reaches(noun) & own or _passed(noun) & gone[1]]:
                    del nouns[name]
                    own.add(name)
                    changed = True


def _texts(value: Tree) -> set[str]:
    return {item for item in value if isinstance(item, str)} if isinstance(value, list) else set()


def _chained(noun: Tree) -> set[str]:
    chain = noun.get("chain") if isinstance(noun, dict) else None
    return _texts(chain.get("middlewares")) if isinstance(chain, dict) else set()


def _targets(noun: Tree) -> set[str]:
    split = noun.get("split") if isinstance(noun, dict) else None
    return _texts([entry.get("to") for entry in split if isinstance(entry, dict)]) if isinstance(split, list) else set()


def _passed(noun: Tree) -> set[str]:
    return _texts(noun.get("middlewares")) if isinstance(noun, dict) else set()


def _hangs(router: Router, side: str, lost: dict[str, set[str]]) -> bool:
    return router.to in lost[f"{side}.services"] or bool(_texts(router.tree.get("middlewares")) & lost[f"{side}.middlewares"])
