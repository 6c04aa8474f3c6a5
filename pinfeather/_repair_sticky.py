"""The fix of the middleware that does not exist, in Traefik's files: its `sticky` goes to the services behind the routers that name it.

YAML, in block and flow style; what cannot be told for sure gets no edit. For labels their reader has the fix.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pinfeather.model.diagnostics import Diagnostic, Edit, Path, Span
from pinfeather.translators._syntax import yaml
from pinfeather.translators._syntax.repair import on_one_line
from pinfeather.translators._syntax.tree import Reading, Tree

TITLE = "move the stickiness into the service"


def sticky_moved(finding: Diagnostic, lines: Mapping[str, list[str]]) -> tuple[Edit, ...]:
    """The edits, or none."""
    span = finding.span
    held = lines.get(span.file) if span is not None else None
    if span is None or held is None or span.file.endswith(".toml"):
        return ()
    reading = yaml.read("".join(held), span.file, yaml.GO_YAML_V3)[0]
    if reading.broken or not isinstance(reading.value, dict) or not isinstance(reading.value.get("http"), dict):
        return ()
    return _in_file(reading, held, span)


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
