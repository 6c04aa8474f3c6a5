"""The document's text with other weights: nothing but the scalars of the weights is written, and it is read back before it is believed.

Pure, from bytes to bytes. Comments, quotes, line ends, a byte order mark and the order of keys stay as they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, cast

from pinfeather import _render
from pinfeather._fixes import apply
from pinfeather._sources import UsageError
from pinfeather.model.canary import SplitEntry
from pinfeather.model.diagnostics import Code, Diagnostic, Edit, Fix, Path, Report, Severity, Span, nearest, span_at
from pinfeather.model.document import Document
from pinfeather.model.noun import Template
from pinfeather.model.services import Split
from pinfeather.translators import canonical
from pinfeather.translators._syntax import yaml
from pinfeather.translators._syntax.repair import lines_of, on_one_line
from pinfeather.translators.contract import File, Source

_NUMBER = re.compile(r"\+?[0-9]+|0x[0-9a-fA-F]+|0o[0-7]+")
_OTHER = {
    "&": "has an anchor, and what names it would change, too",
    "*": "stands elsewhere (it is an alias)",
    "!": "has a tag",
}
_BOM = "\ufeff"


class Subject(NamedTuple):
    """Whose split it is: a route's, or that of a service that is one."""

    kind: str
    """`route` or `split`."""
    name: str

    def __str__(self) -> str:
        return f"the {self.kind} {self.name!r}"


class Text(NamedTuple):
    """A canonical document without errors, and its bytes."""

    name: str
    data: bytes
    document: Document
    reading: yaml.Reading
    lines: list[str]

    def place(self, path: Path) -> str:
        """`FILE:LINE:COLUMN` of what stands at a path."""
        span = span_at(self.reading.spans, path)
        return f"{self.name}:{span.line}:{span.column}" if span is not None and span.line else self.name


class Target(NamedTuple):
    """The entries of a split, and which of them is raised."""

    base: Path
    services: tuple[str, ...]
    weights: tuple[int, ...]
    raised: int

    def named(self, weights: Sequence[int]) -> dict[str, int]:
        return dict(zip(self.services, weights, strict=True))


def read(name: str, data: bytes) -> Text:
    """Raises UsageError for what is no canonical document, and for one with errors, with all of them."""
    file = File(name, data)
    parsed = canonical.TRANSLATOR.parse(Source((file,)), canonical.TRANSLATOR.options())
    wrong = [finding for finding in parsed.diagnostics if finding.severity is Severity.ERROR]
    if parsed.document is None or wrong:
        if not canonical.recognise(file):
            raise UsageError(f"{name}: it is no canonical document (`pinfeather: v1`); `pinfeather convert --to pinfeather` makes one")
        said = _render.text(Report.of(wrong)).rstrip("\n")
        raise UsageError(f"{name} has errors, so nothing was done:\n{said}")
    lines = lines_of(data.decode("utf-8").removeprefix(_BOM))
    return Text(name, data, parsed.document, yaml.read(data, name, yaml.CORE)[0], lines)


def find(text: Text, subject: Subject, to: str) -> Target:
    """The split of a route or of a service, and its entry `to`. Raises UsageError with the place and what to do."""
    base, entries = (_of_route if subject.kind == "route" else _of_service)(text, subject.name)
    services = tuple(str(entry.to) for entry in entries)
    for index, entry in enumerate(entries):
        if isinstance(entry.weight, Template):
            place = text.place((*base, index, "weight"))
            raise UsageError(f"{place}: the weight of {entry.to!r} is a template ({entry.weight}): it is raised where its value is written")
    if to not in services:
        hint = _meant(to, services) or f"it has {', '.join(services)}"
        raise UsageError(f"{text.place(base)}: {to!r} is no entry of this split; {hint}")
    return Target(base, services, tuple(int(entry.weight) for entry in entries), services.index(to))


def _of_route(text: Text, name: str) -> tuple[Path, tuple[SplitEntry, ...]]:
    document = text.document
    names = [route.name for route in document.routes]
    if name not in names:
        if any(route.name == name for route in document.tcp_routes):
            raise UsageError(f"{text.name}: {name!r} is a TCP route, and verify cannot ask a running proxy for TCP")
        hint = _meant(name, names) or f"it has {', '.join(names[:10]) or 'none'}"
        raise UsageError(f"{text.name}: there is no route {name!r}; {hint}")
    index = names.index(name)
    route = document.routes[index]
    if not route.split:
        behind = document.services.get(str(route.to))
        hint = f"the service {route.to!r} is one: --split {route.to}" if isinstance(behind, Split) else "write a `split` for its `to`"
        raise UsageError(f"{text.place(('routes', index, 'to'))}: the route {name!r} has no split; {hint}")
    return ("routes", index, "split"), route.split


def _of_service(text: Text, name: str) -> tuple[Path, tuple[SplitEntry, ...]]:
    services = text.document.services
    splits = [each for each, service in services.items() if isinstance(service, Split)]
    service = services.get(name)
    if isinstance(service, Split):
        return ("services", name, "split"), service.split
    if service is not None:
        raise UsageError(f"{text.place(('services', name))}: the service {name!r} is no split")
    hint = _meant(name, splits) or f"it has {', '.join(splits[:10]) or 'none'}"
    raise UsageError(f"{text.name}: there is no split {name!r}; {hint}")


def _meant(word: str, known: Sequence[str]) -> str:
    guess = nearest(word, known)
    return f"did you mean {guess!r}?" if guess else ""


def edited(text: Text, target: Target, weights: Sequence[int]) -> bytes:
    """The same bytes with these weights in the entries of `target`.

    Raises UsageError where a weight is no scalar of its own, or where the edit would change anything else.
    """
    changed = {service: str(new) for service, old, new in zip(target.services, target.weights, weights, strict=True) if old != new}
    if not changed:
        return text.data
    data = _written(text, target, changed)
    _read_back(text, target, weights, data)
    return data


def spelt(text: Text, target: Target) -> dict[str, str]:
    """How each weight is written, of those that can be edited. With them a later text is put back: `restored`."""
    found = {service: _scalar(text, target, index)[1] for index, service in enumerate(target.services)}
    return {service: written for service, written in found.items() if written is not None and _NUMBER.fullmatch(written)}


def restored(text: Text, target: Target, spellings: Mapping[str, str]) -> bytes:
    """The bytes with the weights as they were written. Whether that is the former text, its digest says. Raises UsageError."""
    now = spelt(text, target)
    changed = {service: spelling for service, spelling in spellings.items() if now.get(service) != spelling}
    return _written(text, target, changed) if changed else text.data


def _written(text: Text, target: Target, changed: Mapping[str, str]) -> bytes:
    edits = tuple(_edits(text, target, changed))
    decoded = text.data.decode("utf-8")
    finding = Diagnostic(Code.OPTION, Severity.INFO, "", fixes=(Fix("", edits),))
    applied = apply({text.name: decoded.removeprefix(_BOM)}, [finding])
    if not applied.findings:
        raise UsageError(f"{text.place(target.base)}: the weights of this split cannot be edited; write each as a plain number")
    return (_BOM * decoded.startswith(_BOM) + applied.texts[text.name]).encode("utf-8")


def _edits(text: Text, target: Target, changed: Mapping[str, str]) -> Iterator[Edit]:
    for index, service in enumerate(target.services):
        if service not in changed:
            continue
        path = (*target.base, index, "weight")
        span, written = _scalar(text, target, index)
        if span is None:
            weight = target.weights[index]
            raise UsageError(f"{text.place(path)}: {service!r} has no weight that could be edited; write `weight: {weight}` there")
        if written is None or _NUMBER.fullmatch(written) is None:
            why = _OTHER.get((written or "")[:1], "is no plain number")
            raise UsageError(f"{text.place(path)}: the weight of {service!r} {why}; write it out there")
        yield Edit(span, changed[service], written)


def _scalar(text: Text, target: Target, index: int) -> tuple[Span | None, str | None]:
    """Where the weight of an entry stands, and what stands there."""
    path = (*target.base, index, "weight")
    if text.reading.marks_at(path)[2] != len(path):
        return None, None
    span = text.reading.span_at(path)
    return span, on_one_line(text.lines, span)


def _read_back(text: Text, target: Target, weights: Sequence[int], data: bytes) -> None:
    """Raises UsageError unless exactly these weights are others in what was written."""
    # By way of JSON: there an alias is a value of its own, so that one edit which changes two places is seen.
    wanted = json.loads(json.dumps(text.reading.value))
    entries = wanted
    for step in target.base:
        entries = entries[step]
    for entry, old, new in zip(cast("list[dict[str, int]]", entries), target.weights, weights, strict=True):
        if old != new:
            entry["weight"] = new
    if json.dumps(wanted) != json.dumps(read(text.name, data).reading.value):
        raise UsageError(f"{text.place(target.base)}: an alias names what is edited here, so that more would change; write it out")
