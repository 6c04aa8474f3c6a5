"""Asks one version of Traefik: which documents it loads, serves and answers, and which keys it knows.

Traefik refuses all files of its folder for one key that it does not know. So what a version is thought to take is loaded
together, and what it is thought to refuse one after the other. Where a thought is wrong, its log tells the file, and that one
is left out: what is found does not depend on what is thought.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pinfeather.model.project import project
from pinfeather.testing.traefik import MISS, Json, Traefik, TraefikError
from pinfeather.translators import traefik_file
from pinfeather.translators._syntax import yaml
from pinfeather.translators._syntax.rule import Unsayable
from pinfeather.translators._syntax.tree import Tree
from pinfeather.translators._traefik.options import Version
from pinfeather.translators._traefik.routing import Rules
from pinfeather.translators._traefik.writing import file_tree
from tests.parts.docker import Container, DockerApi
from tests.parts.fixtures import StartTraefik
from tests.versions.asks import ASKS, WORDS, Call

NEWEST: Version = "3.7"
_FILE = re.compile(r"/(?P<file>[^/:\s]+\.yml): (?P<why>[^\n\"\\]+)")
_CONTAINER = re.compile(r"(?:field not found, node: |cannot be a standalone element)[^\"]*\" .*?container=k(?P<number>\d+)-")
_SECTIONS = ("routers", "services", "middlewares", "tcpRouters", "tcpServices", "tcpMiddlewares")
_MISSED = (MISS, 405)
"""What Traefik answers where no router takes a request; 2.11 says 405 where one would take it by another method."""
_GONE = "no such file or directory"


class Thought(NamedTuple):
    """What a version is thought not to take, before it is asked."""

    refused: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()


class Shown(NamedTuple):
    """What a version makes of a file that it has loaded."""

    wrong: tuple[str, ...]
    """What it says is wrong with routers, services and middlewares."""
    items: Mapping[tuple[str, ...], Json]
    """Every value that `/api/rawdata` shows of them, by where it is."""
    answers: tuple[str, ...]
    """For each call: `hit` or `missed`, and the cookies that came with it."""


class Found(NamedTuple):
    refused: Mapping[str, str]
    """By ask that makes it refuse its files: its words."""
    shown: Mapping[str, Shown]
    """By ask that is loaded."""
    unknown: frozenset[str]
    """Labels with a key that it does not know."""
    written_refused: Mapping[str, str]
    written: Mapping[str, Shown]
    """The same of what `traefik-file` writes for this very version, where that is something else than what was asked."""


# What is asked ---------------------------------------------------------------------------------------------------------


def asked(version: Version) -> dict[str, dict[str, Tree]]:
    """Each ask as the tree of a file, with all that the newest version can say, in the version's syntax of rules."""
    supports, rules = traefik_file.supports(traefik_file.TraefikFile()), Rules((2, 11) if version == "2.11" else (3, 7))
    made: dict[str, dict[str, Tree]] = {}
    for name, ask in ASKS.items():
        projection = project(ask.document, supports)
        if any(finding.code.startswith(("loss.", "carried.")) for finding in projection.diagnostics):
            continue
        try:
            made[name] = file_tree(projection.kept, rules)
        except Unsayable:
            continue
    return made


def written(version: Version) -> dict[str, str]:
    """Each ask as `traefik-file` writes it for the version, with losses."""
    options = traefik_file.TraefikFile(traefik=version)
    supports = traefik_file.supports(options)
    made = {name: traefik_file.emit(project(ask.document, supports).kept, options).files() for name, ask in ASKS.items()}
    return {name: file.text for name, (file,) in made.items()}


# Asking ----------------------------------------------------------------------------------------------------------------


def find(version: Version, start: StartTraefik, docker: DockerApi, labels: Mapping[str, str], thought: Thought) -> Found:
    """Starts the version once, and asks it everything."""
    files = {name: yaml.emit(tree) for name, tree in asked(version).items()}
    running = start({}, ("web", "db"), docker.arguments(), None if version == NEWEST else version)
    unknown = _unknown(running, docker, labels, thought.unknown)
    docker.run({})
    docker.in_force(running)
    refused: dict[str, str] = {}
    together = {name: text for name, text in files.items() if name not in thought.refused}
    refused |= _load(running, together)
    refused |= _one_by_one(running, {name: text for name, text in files.items() if name in thought.refused})
    loaded = [name for name in files if name not in refused]
    raw = running.rawdata()
    shown = {name: _shown(running, raw, name) for name in loaded}
    own = {name: text for name, text in written(version).items() if text != files.get(name)}
    for name in loaded:
        if name in own:
            (running.dynamic / _file(name)).unlink()
    told = _load(running, own)
    raw = running.rawdata()
    return Found(refused, shown, unknown, told, {name: _shown(running, raw, name) for name in own if name not in told})


def _unknown(running: Traefik, docker: DockerApi, labels: Mapping[str, str], thought: frozenset[str]) -> frozenset[str]:
    """Traefik passes over a container with a label that it does not know, and names it in its log."""

    def refused(groups: Sequence[Sequence[str]]) -> list[Sequence[str]]:
        """Those of some groups of labels, each a container, in which one is not known."""
        seen = len(_log(running))
        docker.run({f"k{at}": Container({name: labels[name] for name in group}, "127.0.0.1", (9,)) for at, group in enumerate(groups)})
        docker.in_force(running)
        return [groups[at] for at in sorted({int(found["number"]) for found in _CONTAINER.finditer(_log(running)[seen:])})]

    known = [name for name in labels if name not in thought]
    told = refused([known, *([name] for name in labels if name in thought)])
    if known in told:
        told.remove(known)
        few = refused([known[at : at + 8] for at in range(0, len(known), 8)])
        told += refused([[name] for group in few for name in group])
    return frozenset(name for group in told for name in group)


def _log(running: Traefik) -> str:
    text = (running.dynamic.parent / "traefik.log").read_text("utf-8", "replace")
    return re.sub(r"\x1b\[\d*m", "", text).replace('\\"', "'")


def _load(running: Traefik, files: Mapping[str, str]) -> dict[str, str]:
    """Puts files into the folder, and takes those out again that are refused; by name, why."""
    refused: dict[str, str] = {}
    new = {_file(name): text for name, text in files.items()}
    while (told := _told(running, new)) is not None:
        (running.dynamic / _file(told[0])).unlink()
        refused[told[0]], new = told[1], {}
    return refused


def _one_by_one(running: Traefik, files: Mapping[str, str]) -> dict[str, str]:
    """The same for files that are thought to be refused: each takes the place of the one before, so that nothing is loaded in between."""
    refused: dict[str, str] = {}
    last: Path | None = None
    for name, text in files.items():
        path = running.dynamic / _file(name)
        if last is None:
            told = _told(running, {path.name: text})
        else:
            hidden = running.dynamic / ".next.tmp"
            hidden.write_text(text, "utf-8")
            hidden.replace(last)
            last.rename(path)
            told = _told(running, {})
        if told is not None:
            refused[told[0]] = told[1]
        last = path if told is not None else None
    if last is not None:
        last.unlink()
    return refused


def _told(running: Traefik, new: Mapping[str, str]) -> tuple[str, str] | None:
    """Puts files into the folder; the first ask that is refused, and why; or None once all are in force."""
    names = {_file(name): name for name in ASKS}
    while True:
        try:
            running.write(new)
        except TraefikError as problem:
            told = _FILE.search(str(problem).replace('\\"', "'"))
            if told is None or told["file"] not in names:
                raise
            # It is told once more of a file that is out already; and of one that went while it was looking.
            if (running.dynamic / told["file"]).exists() and _GONE not in str(problem):
                return names[told["file"]], told["why"].strip()
            new = {}
        else:
            return None


def _file(name: str) -> str:
    return f"{WORDS[name]}.yml"


# What it shows ---------------------------------------------------------------------------------------------------------


def _shown(running: Traefik, raw: Mapping[str, Json], name: str) -> Shown:
    wrong: list[str] = []
    items: dict[tuple[str, ...], Json] = {}
    for section in _SECTIONS:
        held = raw.get(section)
        for called, item in held.items() if isinstance(held, dict) else ():
            if called.startswith(WORDS[name]) and called.endswith("@file") and isinstance(item, dict):
                errors = item.get("error", item.get("err"))
                wrong += [f"{section[:-1]}: {each}" for each in (errors if isinstance(errors, list) else [errors]) if each]
                items |= flat({section.lower(): {called.removesuffix("@file").lower(): item}})
    return Shown(tuple(wrong), items, tuple(_answer(running, call) for call in ASKS[name].calls))


def flat(tree: Mapping[str, Tree] | Json | Tree, at: tuple[str, ...] = ()) -> dict[tuple[str, ...], Json]:
    """The values of a tree by their keys, in lower case."""
    if isinstance(tree, Mapping):
        return {path: value for key, child in tree.items() for path, value in flat(child, (*at, key.lower())).items()}
    if isinstance(tree, list):
        return {path: value for number, child in enumerate(tree) for path, value in flat(child, (*at, str(number))).items()}
    return {at: tree}


def _answer(running: Traefik, call: Call) -> str:
    answer = running.request(call.target, host=call.host, method=call.method, headers=call.headers)
    cookies = sorted(re.sub(r"(?<==)[^;]*", "…", cookie, count=1) for cookie in answer.all("Set-Cookie"))
    return "; ".join(["missed" if answer.status in _MISSED else "hit", *(f"cookie {cookie}" for cookie in cookies)])


def differs(tree: Mapping[str, Tree], newest: Shown, other: Shown, *, rules: bool) -> Iterator[str]:
    """What of a file the newest version shows, and another does not, or not the same. `rules`: whether both were given the same ones."""
    spelled = {path[2:] for path in flat(tree)}  # below `http: {routers: …}`
    for (section, *rest), value in newest.items.items():
        path, name = (section, *rest), ".".join(rest[1:])
        if tuple(rest) not in spelled or (rest[-1] == "rule" and not rules):
            continue
        if path not in other.items:
            yield f"drops {name}"
        elif other.items[path] != value:
            yield f"makes {other.items[path]!r} of {name}"
