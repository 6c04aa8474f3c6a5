"""Several inputs make one document: what each of them holds, put together; a name that two of them give is an error with both places."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import ValidationError

from pinfeather.model.diagnostics import Code, Diagnostic, Path, Span, error, span_at
from pinfeather.model.document import Document, canary_name, problems
from pinfeather.model.routes import Route
from pinfeather.translators.contract import Parsed

_LISTS = ("routes", "tcp_routes")


def merged(parts: Sequence[Parsed]) -> Parsed:
    """One reading of several. No document where one of them has none, or where a name clashes; everything that was said is kept."""
    if len(parts) == 1:
        return parts[0]
    said = tuple(finding.at(span_at(part.spans, finding.path)) for part in parts for finding in part.diagnostics)
    passed = tuple(text for part in parts for text in part.passed)
    spans: dict[Path, Span] = {}
    places: dict[tuple[str, str], Span | None] = {}
    held: dict[str, dict[str, object]] = {}
    lists: dict[str, list[object]] = {name: [] for name in _LISTS}
    clashes: list[Diagnostic] = []
    for part in parts:
        if part.document is None:
            continue
        spans.update(_moved(part, {name: len(lists[name]) for name in _LISTS}))
        for section, name, value, path in _things(part.document):
            where = span_at(part.spans, path)
            before = held.get(section, {}).get(name)
            if before is not None and before != value:
                clashes.append(_clash(section, name, places[section, name], where, path))
            held.setdefault(section, {}).setdefault(name, value)
            places.setdefault((section, name), where)
        for name in _LISTS:
            lists[name] += getattr(part.document, name)
    if clashes or any(part.document is None for part in parts):
        return Parsed(None, (*said, *clashes), spans, passed)
    fields = {section: held.get(section, {}) for section in Document.model_fields if section not in (*_LISTS, "pinfeather")}
    try:
        document = Document.model_validate({**fields, **{name: tuple(found) for name, found in lists.items()}})
    except ValidationError:
        loose = Document.model_construct(**fields, **{name: tuple(found) for name, found in lists.items()})  # type: ignore[arg-type]
        return Parsed(None, (*said, *(finding.at(span_at(spans, finding.path)) for finding in problems(loose))), spans, passed)
    return Parsed(document, said, spans, passed)


def _things(document: Document) -> Iterator[tuple[str, str, object, Path]]:
    """Everything that has a name: its section, the name, what it is, and where it stands. Routes are never two of one name."""
    for section in Document.model_fields:
        value = getattr(document, section)
        if isinstance(value, dict):
            yield from ((section, name, noun, (section, name)) for name, noun in value.items())
        elif section in _LISTS:
            for index, route in enumerate(value):
                yield section, route.name, (id(route),), (section, index)
                if isinstance(route, Route):
                    for number in range(len(route.canaries)):
                        yield section, canary_name(route, number), (id(route), number), (section, index, "canaries", number)


def _clash(section: str, name: str, first: Span | None, second: Span | None, path: Path) -> Diagnostic:
    where = f"{first.file}, line {first.line}" if first is not None else "another input"
    said = f"{name!r} of `{section}` stands in {where}, already, and is something else there"
    return error(Code.NAME_CLASH, said, path, instead="give one of them another name", span=second)


def _moved(part: Parsed, offsets: dict[str, int]) -> Iterator[tuple[Path, Span]]:
    for path, span in part.spans.items():
        if len(path) > 1 and path[0] in offsets and isinstance(path[1], int):
            yield (path[0], path[1] + offsets[str(path[0])], *path[2:]), span
        elif path:
            yield path, span
