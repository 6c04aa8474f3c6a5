"""Repairs of labels, as edits of the lines that they stand on: a key written right, and the middleware that there is not.

People take stickiness for a middleware (`traefik.http.middlewares.NAME.sticky.…`) and write a router and a service for each
replica. What they mean is one router, one service, and the same labels on each container: that is what the repair makes.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from pinfeather.model.diagnostics import Edit, Fix, Span
from pinfeather.translators._docker.containers import Container, Yard
from pinfeather.translators._syntax.labels import Fault, Label
from pinfeather.translators._syntax.paerser import split_list
from pinfeather.translators._syntax.repair import inside, lines_of
from pinfeather.translators._syntax.tree import span_of_spot

_STICKY = re.compile(r"traefik\.http\.middlewares\.(?P<name>[^.]+)\.sticky(?P<rest>\..*)?", re.IGNORECASE)
_ROUTER = re.compile(r"traefik\.http\.routers\.(?P<name>[^.]+)\.(?P<rest>.+)", re.IGNORECASE)
_SERVICE = re.compile(r"traefik\.http\.services\.(?P<name>[^.]+)\.(?P<rest>.+)", re.IGNORECASE)
_SINCE = {".cookie.maxage": (3, 0), ".cookie.path": (3, 3), ".cookie.domain": (3, 4)}


class _Meant(NamedTuple):
    """What a container with the middleware `sticky` was to be: its router, its service, and what makes two of them one."""

    middleware: str
    router: str
    service: str
    alike: tuple[str, str, str]


def element_fix(fault: Fault, yard: Yard) -> tuple[Edit, ...]:
    """The edit that writes the one element of a key as it was meant."""
    if not fault.meant or not fault.element:
        return ()
    old, new = f".{fault.element}", f".{fault.meant}"
    if fault.meant == "traefik":
        old, new = f"{fault.element}.", "traefik."
    elif fault.element.lower() == "servers" and (indexed := re.search(r"\.servers\[\d+\]", fault.label.key, re.IGNORECASE)):
        old = indexed[0]
    return _written(fault.label, old, new, yard)


def _written(label: Label, old: str, new: str, yard: Yard) -> tuple[Edit, ...]:
    span = span_of_spot(label.at_key)
    return inside(lines_of(yard.texts.get(span.file, "")), span, old, new)


def sticky_fix(container: Container, yard: Yard, version: tuple[int, int]) -> Fix | None:
    """The repair of one container; None where it cannot be told what was meant. Together they are one service."""
    meant = _meant(container)
    if meant is None:
        return None
    others = (found for each in yard.containers if (found := _meant(each)) is not None)
    leader = next(found for found in others if found.alike == meant.alike)
    edits: list[Edit] = []
    for label in container.labels:
        made = _repaired(label, meant, leader, version)
        if made == (label.key, label.value):
            continue
        change = _deleted(label, yard) if made is None else _edited(label, made, yard)
        if not change:
            return Fix("move the cookie to the service by hand")
        edits += change
    return Fix(f"give the service {leader.service!r} the cookie, with the same labels on each of its containers", tuple(edits))


def _meant(container: Container) -> _Meant | None:
    names = [found["name"] for label in container.labels if (found := _STICKY.fullmatch(label.key)) is not None]
    routers = _by_name(container, _ROUTER)
    services = list(_by_name(container, _SERVICE))
    for router, said in routers.items():
        passed = split_list(said.get("middlewares", ""))
        used = next((name for name in names if name in passed), None)
        service = said.get("service") or (services[0] if len(services) == 1 else router if not services else "")
        if used is not None and service:
            return _Meant(used, router, service, (used, said.get("rule", ""), said.get("entrypoints", "")))
    return None


def _by_name(container: Container, pattern: re.Pattern[str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for label in container.labels:
        if (match := pattern.fullmatch(label.key)) is not None:
            found.setdefault(match["name"], {})[match["rest"].lower()] = label.value
    return found


def _repaired(label: Label, meant: _Meant, leader: _Meant, version: tuple[int, int]) -> tuple[str, str] | None:
    """Key and text of a label in the repaired container; None: it goes."""
    if (found := _STICKY.fullmatch(label.key)) is not None and found["name"] == meant.middleware:
        rest = found["rest"] or ""
        if _SINCE.get(rest.lower(), (0, 0)) > version:
            return None
        return f"traefik.http.services.{leader.service}.loadbalancer.sticky{rest}", label.value
    if (found := _SERVICE.fullmatch(label.key)) is not None and found["name"] == meant.service:
        return f"traefik.http.services.{leader.service}.{found['rest']}", label.value
    if (found := _ROUTER.fullmatch(label.key)) is None or found["name"] != meant.router:
        return label.key, label.value
    key, rest = f"traefik.http.routers.{leader.router}.{found['rest']}", found["rest"].lower()
    if rest == "service":
        return key, leader.service
    if rest == "middlewares":
        left = [name for name in split_list(label.value) if name != meant.middleware]
        return (key, ",".join(left)) if left else None
    return key, label.value


def _edited(label: Label, made: tuple[str, str], yard: Yard) -> tuple[Edit, ...]:
    """One edit in a list, where key and text are one scalar; in a mapping one for each."""
    key, value = made
    if label.key_spot is None:
        return _written(label, f"{label.key}={label.value}", f"{key}={value}", yard) or _pieces(label, key, value, yard)
    span = span_of_spot(label.spot)
    lines = lines_of(yard.texts.get(span.file, ""))
    edits = _written(label, label.key, key, yard) if key != label.key else ()
    if value != label.value:
        edits = (*edits, *inside(lines, span, label.value, value))
    return edits


def _pieces(label: Label, key: str, value: str, yard: Yard) -> tuple[Edit, ...]:
    """The key alone, where the text is written with escapes."""
    return _written(label, f"{label.key}=", f"{key}=", yard) if value == label.value else ()


_ALONE_BEFORE = re.compile(r"[ \t]*(?:-[ \t]+)?(?:(?:--label|-l)[ =])?[\"']?")
_ALONE_BEHIND = re.compile(r"[\"']?[ \t]*(?:#.*|\\)?")


def _deleted(label: Label, yard: Yard) -> tuple[Edit, ...]:
    """Takes the whole line away, or the one part of a list in flow style."""
    begin, end = span_of_spot(label.at_key), span_of_spot(label.spot)
    lines = lines_of(yard.texts.get(begin.file, ""))
    if begin.line != end.end_line or not 0 < begin.line <= len(lines):
        return ()
    line = lines[begin.line - 1].rstrip("\r\n")
    before, behind = line[: begin.column - 1], line[end.end_column - 1 :]
    if _ALONE_BEFORE.fullmatch(before) and _ALONE_BEHIND.fullmatch(behind):
        return (Edit(Span(begin.file, begin.line, 1, begin.line + 1, 1), ""),)
    comma = re.match(r"[ \t]*,[ \t]*", behind)
    if comma is not None:
        return (Edit(begin._replace(end_line=end.end_line, end_column=end.end_column + comma.end()), ""),)
    leading = re.search(r",[ \t]*$", before)
    if leading is not None:
        return (Edit(Span(begin.file, begin.line, leading.start() + 1, end.end_line, end.end_column), ""),)
    return ()
