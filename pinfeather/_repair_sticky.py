"""The fix of the middleware that does not exist: its `sticky` goes to the services behind the routers that name it.

Of Traefik's files and of compose files in YAML, in block and flow style. Containers whose routers and services are alike but for
their names get one name: Traefik then makes one router and one service of them, with a server a container, which is what the
author of two sticky replicas means. What cannot be told for sure gets no edit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pinfeather.model.diagnostics import Diagnostic, Edit, Path, Span
from pinfeather.translators._syntax import yaml
from pinfeather.translators._syntax.repair import on_one_line
from pinfeather.translators._syntax.tree import Reading, Tree

TITLE = "move the stickiness into the service"
_PART = re.compile(
    r"traefik\.http\.(?P<section>routers|services|middlewares)\.(?P<name>[^.\s=:\"']+)(?:\.(?P<rest>[^\s=:\"']+))?", re.IGNORECASE
)


def sticky_moved(finding: Diagnostic, lines: Mapping[str, list[str]]) -> tuple[Edit, ...]:
    """The edits, or none."""
    span = finding.span
    held = lines.get(span.file) if span is not None else None
    if span is None or held is None or span.file.endswith(".toml"):
        return ()
    reading = yaml.read("".join(held), span.file, yaml.GO_YAML_V3)[0]
    if reading.broken or not isinstance(reading.value, dict):
        return ()
    if isinstance(reading.value.get("http"), dict):
        return _in_file(reading, held, span)
    return _in_compose(reading, held, span)


# Labels ----------------------------------------------------------------------------------------------------------------


class _Label(NamedTuple):
    """One label of Traefik's routing, where its scalar or entry stands."""

    section: str
    name: str
    rest: str
    value: str
    span: Span
    container: str


def _in_compose(reading: Reading, lines: list[str], at: Span) -> tuple[Edit, ...]:
    containers = _containers(reading)
    every = [label for labels in containers.values() for label in labels]
    name = next((label.name for label in every if label.span.line == at.line and _is_sticky(label)), None)
    if name is None:
        return ()
    plans = [
        _plan(labels, name) for labels in containers.values() if any(_is_sticky(label, name) or _uses(label, name) for label in labels)
    ]
    if not plans or any(plan is None for plan in plans):
        return ()
    edits: list[Edit] = []
    first = plans[0]
    for plan in plans:
        assert plan is not None
        assert first is not None
        target = first if plan.alike == first.alike and plan.container != first.container else plan
        for label in plan.labels:
            made = _relabelled(label, plan, target, name, lines)
            if made is None:
                return ()
            edits += made
    return tuple(edits)


class _Plan(NamedTuple):
    """One container: its router, its service, and what must be the same where two are made one."""

    container: str
    router: str
    service: str
    labels: tuple[_Label, ...]
    alike: tuple[tuple[str, str, str], ...]


def _is_sticky(label: _Label, name: str | None = None) -> bool:
    return label.section == "middlewares" and (label.rest + ".").startswith("sticky.") and name in (None, label.name)


def _uses(label: _Label, name: str) -> bool:
    return label.section == "routers" and label.rest == "middlewares" and name in _listed(label.value)


def _listed(value: str) -> list[str]:
    return [part.strip().removesuffix("@docker") for part in value.split(",")]


def _plan(labels: Sequence[_Label], name: str) -> _Plan | None:
    """What is to be done with one container; None where it is not clear."""
    routers = {label.name for label in labels if label.section == "routers"}
    users = {label.name for label in labels if _uses(label, name)}
    services = {label.name for label in labels if label.section == "services"}
    if len(users) != 1 or not any(_is_sticky(label, name) for label in labels):
        return None
    (router,) = users
    named = next(
        (
            label.value.removesuffix("@docker")
            for label in labels
            if (label.section, label.name, label.rest) == ("routers", router, "service")
        ),
        None,
    )
    if named is None and len(services) > 1:
        return None
    service = named or next(iter(services), router)
    if "@" in service or any(
        label.section == "services" and label.name == service and label.rest.startswith("loadbalancer.sticky") for label in labels
    ):
        return None
    alike = sorted(
        (label.section, label.rest, "" if label.rest in ("service", "middlewares") else label.value)
        for label in labels
        if label.name in (router, service, name) or label.section == "middlewares"
    )
    lonely = len(routers) == 1 and len(services) <= 1
    return _Plan(labels[0].container, router, service, tuple(labels), tuple(alike) if lonely else ((labels[0].container, "", ""),))


def _relabelled(label: _Label, plan: _Plan, target: _Plan, name: str, lines: list[str]) -> tuple[Edit, ...] | None:
    """The edits of one label; None where they cannot be made."""
    if _is_sticky(label, name):
        return _renamed(label, f"traefik.http.services.{target.service}.loadbalancer.{label.rest}", None, lines)
    if _uses(label, name):
        left = [part.strip() for part in label.value.split(",") if part.strip().removesuffix("@docker") != name]
        if not left:
            return _deleted(label.span, lines)
        return _renamed(label, _key(label, target.router), ",".join(left), lines)
    if label.section == "routers" and label.name == plan.router:
        value = target.service if label.rest == "service" else None
        return _renamed(label, _key(label, target.router), value if value != label.value else None, lines)
    if label.section == "services" and label.name == plan.service:
        return _renamed(label, _key(label, target.service), None, lines)
    return ()


def _key(label: _Label, name: str) -> str:
    return f"traefik.http.{label.section}.{name}" + (f".{label.rest}" if label.rest else "")


def _renamed(label: _Label, key: str, value: str | None, lines: list[str]) -> tuple[Edit, ...] | None:
    """Another key, and perhaps another value, within the scalar or the entry as it is written."""
    written = on_one_line(lines, label.span)
    found = _PART.search(written) if written is not None else None
    if written is None or found is None:
        return None
    text = written[: found.start()] + key + written[found.end() :]
    if value is not None:
        begin = found.start() + len(key)
        if text[begin:].count(label.value) != 1:
            return None
        text = text[:begin] + text[begin:].replace(label.value, value)
    return () if text == written else (Edit(label.span, text, written),)


def _containers(reading: Reading) -> dict[str, list[_Label]]:
    tree = reading.value
    services = tree.get("services") if isinstance(tree, dict) else None
    found: dict[str, list[_Label]] = {}
    for container, service in services.items() if isinstance(services, dict) else ():
        labels = service.get("labels") if isinstance(service, dict) else None
        pairs: list[tuple[str, str, Span | None]] = []
        at = ("services", container, "labels")
        if isinstance(labels, list):
            texts = [(index, item) for index, item in enumerate(labels) if isinstance(item, str)]
            pairs = [(*_cut(item), reading.spans.get((*at, index))) for index, item in texts]
        elif isinstance(labels, dict):
            pairs = [(key, _text(value), _entry(reading, (*at, key))) for key, value in labels.items()]
        for key, value, span in pairs:
            part = _PART.fullmatch(key)
            if part is not None and span is not None:
                rest = (part["rest"] or "").lower()
                found.setdefault(container, []).append(_Label(part["section"].lower(), part["name"], rest, value, span, container))
    return found


def _cut(item: str) -> tuple[str, str]:
    key, _, value = item.partition("=")
    return key, value


def _text(value: Tree) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def _entry(reading: Reading, path: Path) -> Span | None:
    key, value = reading.key_spans.get(path), reading.spans.get(path)
    return None if key is None or value is None else key._replace(end_line=value.end_line, end_column=value.end_column)


def _deleted(span: Span, lines: list[str]) -> tuple[Edit, ...] | None:
    """Takes an item of a list or an entry of a mapping out: its line, or in flow style itself with one comma."""
    written = on_one_line(lines, span)
    if written is None:
        return None
    line = lines[span.line - 1]
    before, after = line[: span.column - 1], line[span.end_column - 1 :].rstrip("\r\n")
    if re.fullmatch(r"\s*(?:-\s+)?", before) and re.fullmatch(r"\s*(?:#.*)?", after):
        if re.fullmatch(r"\s*-\s+.*-\s+", before) or not line.endswith(("\n", "\r")):
            return None
        return (Edit(Span(span.file, span.line, 1, span.line + 1, 1), "", line),)
    behind, ahead = re.match(r"\s*,\s*", after), re.search(r"\s*,\s*$", before)
    if behind is not None:
        end = span.end_column + behind.end()
        return (Edit(span._replace(end_column=end), "", line[span.column - 1 : end - 1]),)
    if ahead is not None:
        return (Edit(span._replace(column=ahead.start() + 1), "", line[ahead.start() : span.end_column - 1]),)
    return (Edit(span, "", written),) if before.rstrip().endswith(("[", "{")) and after.lstrip().startswith(("]", "}")) else None


# Files -----------------------------------------------------------------------------------------------------------------


def _in_file(reading: Reading, lines: list[str], at: Span) -> tuple[Edit, ...]:
    path = next((path for path, span in reading.key_spans.items() if span == at and len(path) == 4 and path[1] == "middlewares"), None)
    tree = reading.value
    assert isinstance(tree, dict)
    http = tree["http"]
    if path is None or not isinstance(http, dict):
        return ()
    name = str(path[2])
    middlewares, routers, services = (http.get(key) for key in ("middlewares", "routers", "services"))
    if not isinstance(middlewares, dict) or not isinstance(routers, dict) or not isinstance(services, dict):
        return ()
    if not isinstance(middlewares[name], dict) or len(middlewares[name]) != 1:  # type: ignore[arg-type]
        return ()
    users = {key: router for key, router in routers.items() if isinstance(router, dict) and name in _names(router.get("middlewares"))}
    targets = dict.fromkeys(str(router.get("service")).removesuffix("@file") for router in users.values())
    if not targets:
        return ()
    steps = [
        _without(("http", "middlewares", name) if len(middlewares) > 1 else ("http", "middlewares"), reading, lines),
        *(_unused(("http", "routers", key, "middlewares"), name, router, reading, lines) for key, router in users.items()),
        *(_pinned(service, services.get(service), path, reading, lines) for service in targets),
    ]
    return () if any(step is None for step in steps) else tuple(edit for step in steps for edit in step or ())


def _names(value: Tree) -> list[str]:
    return [str(item).removesuffix("@file") for item in value] if isinstance(value, list) else []


def _without(path: Path, reading: Reading, lines: list[str]) -> tuple[Edit, ...] | None:
    """Takes an entry of a block mapping out, with all of its lines."""
    key, value = reading.key_spans.get(path), reading.spans.get(path)
    if (
        key is None
        or value is None
        or lines[key.line - 1][: key.column - 1].strip()
        or lines[value.end_line - 1][value.end_column - 1 :].split("#")[0].strip()
    ):
        return None
    end = value.end_line if value.end_column > 1 else value.end_line - 1
    gone = lines[key.line - 1 : end]
    if not gone[-1].endswith(("\n", "\r")):
        return (Edit(Span(key.file, key.line, 1, end, len(gone[-1]) + 1), "", "".join(gone)),)
    return (Edit(Span(key.file, key.line, 1, end + 1, 1), "", "".join(gone)),)


def _unused(path: Path, name: str, router: Mapping[str, Tree], reading: Reading, lines: list[str]) -> tuple[Edit, ...] | None:
    """The router without the middleware."""
    names = _names(router.get("middlewares"))
    if len(names) == 1:
        return _without(path, reading, lines)
    span = reading.spans.get((*path, names.index(name)))
    return None if span is None else _deleted(span, lines)


def _pinned(name: str, service: Tree, path: Path, reading: Reading, lines: list[str]) -> tuple[Edit, ...] | None:
    """The service with the lines of `sticky`, indented for their new place."""
    balancer = service.get("loadBalancer") if isinstance(service, dict) else None
    at: Path = ("http", "services", name, "loadBalancer")
    key, value, source = reading.key_spans.get(at), reading.spans.get(at), reading.spans.get(path)
    if not isinstance(balancer, dict) or "sticky" in balancer or key is None or value is None or source is None or value.line == key.line:
        return None
    first = reading.key_spans[path].line
    end = source.end_line if source.end_column > 1 else source.end_line - 1
    region = lines[first - 1 : end]
    old = reading.key_spans[path].column - 1
    if any(line[:old].strip() for line in region):
        return None
    indent = " " * (value.column - 1)
    text = "".join(indent + line[old:].rstrip("\r\n") + "\n" if line.strip() else "\n" for line in region)
    return (Edit(Span(key.file, key.line + 1, 1, key.line + 1, 1), text),)
