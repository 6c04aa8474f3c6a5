"""An edit, made in a text that somebody else wrote: three trees (before, after, and as it was found) become one. Pure.

Lists are matched by what their items have in common. That may be wrong; whoever uses the result must look whether it means what it should.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from pydantic import JsonValue

Tree = dict[str, JsonValue]
_ABSENT = object()


def merged(before: JsonValue, after: JsonValue, found: JsonValue) -> JsonValue:
    """`found`, with what has changed from `before` to `after`."""
    if after == before:
        return found
    if found == before:
        return after
    if isinstance(before, dict) and isinstance(after, dict) and isinstance(found, dict):
        return dict(_fields(before, after, found))
    if isinstance(before, list) and isinstance(after, list) and isinstance(found, list) and len(before) == len(found):
        return _items(before, after, found)
    return after


def _fields(before: Tree, after: Tree, found: Tree) -> Iterator[tuple[str, JsonValue]]:
    for key in dict.fromkeys((*found, *after)):
        was, now, there = before.get(key, _ABSENT), after.get(key, _ABSENT), found.get(key, _ABSENT)
        if was is now is _ABSENT or was == now:
            if there is not _ABSENT:
                yield key, found[key]
        elif now is not _ABSENT:
            yield key, after[key] if was is _ABSENT or there is _ABSENT else merged(before[key], after[key], found[key])


def _items(before: list[JsonValue], after: list[JsonValue], found: list[JsonValue]) -> list[JsonValue]:
    if not all(isinstance(each, dict) for each in (*before, *after, *found)):
        return after
    theirs = matches(before, found)  # of each before: its found one
    ours = matches(after, before)
    items: dict[int, JsonValue] = {}
    for index, item in enumerate(after):
        was = ours.get(index)
        items[index] = item if was is None or was not in theirs else merged(before[was], item, found[theirs[was]])
    if ours == {index: index for index in range(len(before))} and len(after) == len(before):
        place = {index: theirs.get(index, index) for index in range(len(before))}
        return [items[index] for index in sorted(items, key=place.__getitem__)]
    return list(items.values())


def matches(ones: Sequence[JsonValue], others: Sequence[JsonValue]) -> dict[int, int]:
    """Of each item in `ones` the number of the one in `others` that has most in common with it; each is given once."""
    leaves = [Counter(_leaves(each)) for each in others]
    scores = []
    for index, one in enumerate(ones):
        own = Counter(_leaves(one))
        for other, theirs in enumerate(leaves):
            common = sum((own & theirs).values())
            if common:
                scores.append((-common, abs(index - other), index, other))
    found: dict[int, int] = {}
    for _, _, index, other in sorted(scores):
        if index not in found and other not in found.values():
            found[index] = other
    return found


def _leaves(tree: JsonValue, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(tree, dict):
        for key, each in tree.items():
            yield from _leaves(each, f"{path}.{key}")
    elif isinstance(tree, list):
        for each in tree:
            yield from _leaves(each, f"{path}[]")
    else:
        yield path, repr(tree)


def joined(trees: Sequence[Tree]) -> Tree | None:
    """Several objects as one: what they have alike, and their lists one after the other. None where they differ otherwise."""
    if not trees:
        return None
    whole = dict(trees[-1])
    metadata, specs = whole.get("metadata"), [each.get("spec") for each in trees]
    alike = [{key: value for key, value in each.items() if key not in ("metadata", "spec")} for each in trees]
    heads = [
        {key: value for key, value in head.items() if key != "name"} for each in trees if isinstance(head := each.get("metadata"), dict)
    ]
    if not isinstance(metadata, dict) or any(each != alike[0] for each in alike) or any(each != heads[0] for each in heads):
        return None
    spec: Tree = {}
    for key in dict.fromkeys(key for each in specs if isinstance(each, dict) for key in each):
        values = [each.get(key) for each in specs if isinstance(each, dict)]
        if all(value == values[0] for value in values):
            spec[key] = values[0]
        elif all(isinstance(value, list) for value in values):
            spec[key] = [item for value in values if isinstance(value, list) for item in value]
        else:
            return None
    return {**whole, "spec": spec}
