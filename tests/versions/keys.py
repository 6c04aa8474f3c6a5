"""A label for every key of `traefik_schema`, each about a thing of its own: what a version does not know of them, its log says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pinfeather.translators._traefik import schema
from pinfeather.translators._traefik.nouns import Kind

_VALUES = {Kind.TEXT: "x", Kind.INTEGER: "1", Kind.BOOLEAN: "true", Kind.DURATION: "1s", Kind.TEXTS: "x"}
At = tuple[str, ...]
_ALONE_SINCE = {"contentType": (3, 0)}
"""Keys that an older version knows, but not with nothing below them."""


def _labels(shape: schema.Shape, at: At, since: schema.Version) -> Iterator[tuple[At, str, schema.Version]]:
    """Each key that can be said, with a value, and the version that the table says brought it."""
    if isinstance(shape, schema.Struct):
        if shape.may_be_true:
            yield at, "true", max(since, _ALONE_SINCE.get(at[-1], since))
        for key, below in shape.fields.items():
            if key:
                yield from _labels(below, (*at, key), max(since, shape.since.get(key, since)))
    elif isinstance(shape, schema.Named):
        yield from _labels(shape.shape, (*at, "NAME"), since)
    elif isinstance(shape, schema.Listed):
        yield from _labels(shape.shape, (*at[:-1], f"{at[-1]}[0]"), since)
    elif isinstance(shape, schema.Dropped):
        if shape.shape is not None:
            yield from _labels(shape.shape, at, since)
    elif isinstance(shape, schema.Anything):
        yield (*at, "NAME", "key"), "x", since
    else:
        yield at, _VALUES[shape], since


KEYS: Mapping[str, tuple[str, schema.Version]] = {
    ".".join(at): (value, since) for at, value, since in _labels(schema.ROOT, ("traefik",), (2, 11))
}
"""By key (`traefik.http.routers.NAME.rule`): a value, and the first version as the table has it."""


def labels() -> dict[str, str]:
    """A label for each, with a name of its own where the first name stands."""
    return {label_of(key): value for key, (value, _) in KEYS.items()}


_NUMBERS = {key: number for number, key in enumerate(KEYS)}


def label_of(key: str) -> str:
    return key.replace("NAME", f"x{_NUMBERS[key]}", 1)
