"""Splits: their weights, and whether anybody stays where the draw sent them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pinfeather.model.canary import SplitEntry
from pinfeather.model.diagnostics import Code, Diagnostic, Path, info, warning
from pinfeather.model.document import Document
from pinfeather.model.noun import Template
from pinfeather.model.reach import below
from pinfeather.model.routes import Route
from pinfeather.model.services import LoadBalancer, Split


class _Place(NamedTuple):
    path: Path
    noun: Route | Split
    entries: tuple[SplitEntry, ...]


def _places(document: Document) -> Iterator[_Place]:
    for index, route in enumerate(document.routes):
        if route.split:
            yield _Place(("routes", index), route, route.split)
    for name, service in document.services.items():
        if isinstance(service, Split):
            yield _Place(("services", name), service, service.split)


def _one_child(document: Document) -> Iterator[Diagnostic]:
    for path, noun, entries in _places(document):
        if len(entries) == 1 and noun.sticky is not None:
            said = "a variant cookie over one variant pins nothing: stickiness to a server belongs into its service"
            yield warning(Code.STICKY_ONE, said, (*path, "sticky"), instead=f"move `sticky` into the service {entries[0].to!r}")


def _unpinned(document: Document) -> Iterator[Diagnostic]:
    for path, noun, entries in _places(document):
        drawn = [entry.to for entry in entries if entry.weight != 0]
        if noun.sticky is not None or len(drawn) < 2:
            continue
        pinned = next((name for name in below(document, drawn) if _pins(document, name)), None)
        if pinned is not None:
            said = f"the service {pinned!r} pins clients to its servers, but the split above draws their version anew at each request"
            yield warning(Code.SPLIT_UNPINNED, said, (*path, "split"), instead="give the split a cookie of its own, with another name")


def _pins(document: Document, name: str) -> bool:
    service = document.services[name]
    return isinstance(service, LoadBalancer) and service.sticky is not None


def _percent(document: Document) -> Iterator[Diagnostic]:
    for path, _, entries in _places(document):
        weights = [entry.weight for entry in entries]
        if len(weights) < 2 or any(isinstance(weight, Template) for weight in weights):
            continue
        numbers = [int(weight) for weight in weights]
        if sum(numbers) != 100 and 90 <= sum(numbers) <= 110 and max(numbers) >= 50:
            said = f"the weights sum to {sum(numbers)}, not to 100: they are shares of their sum, not percent"
            yield info(Code.WEIGHT_SUM, said, (*path, "split"), instead="let them sum to 100 if you mean percent")


def _zero(document: Document) -> Iterator[Diagnostic]:
    for path, noun, entries in _places(document):
        for number, entry in enumerate(entries):
            if entry.weight == 0 and noun.sticky is not None and noun.weight_zero == "drop":
                said = f"{entry.to!r} has weight 0: its clients are sent elsewhere at once"
                yield info(
                    Code.WEIGHT_ZERO,
                    said,
                    (*path, "split", number),
                    instead="say `weight_zero: keep` to let them stay, where the proxy can",
                )
    for name, service in document.services.items():
        if isinstance(service, LoadBalancer) and service.sticky is not None:
            for number, server in enumerate(service.servers):
                if server.weight == 0:
                    said = f"the server {server.key!r} has weight 0: its clients are sent elsewhere at once"
                    yield info(Code.WEIGHT_ZERO, said, ("services", name, "servers", number), instead="take it out, or let it drain before")


CHECKS = (_one_child, _unpinned, _percent, _zero)
