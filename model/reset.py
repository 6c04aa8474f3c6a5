"""Fields back to their defaults, deep inside of a document."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import cast

from pinfeather.model.diagnostics import Path
from pinfeather.model.noun import Noun

Marks = dict[str | int | None, "Marks"]
"""What is below a place, by the next part of the path; under None that the place itself goes back."""


def reset(value: object, path: Path, fields: Iterable[Path]) -> object:
    """The same value with every field in `fields` back to its default. What holds none of them is the same object."""
    marks: Marks = {}
    for wanted in fields:
        here = marks
        for part in wanted[len(path) :]:
            here = here.setdefault(part, {})
        here[None] = {}
    return _reset(value, marks)


@cache
def _fields(noun: type[Noun]) -> Mapping[str | int | None, tuple[str, Callable[[], object]]]:
    """The fields by their key in a text, each with what makes its default. pydantic looks the signature of a factory up at each use."""
    return {
        info.alias or name: (name, cast("Callable[[], object]", info.default_factory or info.get_default))
        for name, info in noun.model_fields.items()
    }


def _reset(value: object, marks: Marks) -> object:
    if isinstance(value, Noun):
        update: dict[str, object] = {}
        fields = _fields(type(value))
        for key, below in marks.items():
            if key not in fields:
                continue
            name, default = fields[key]
            old = value.__dict__[name]
            new = default() if None in below else _reset(old, below)
            if new is not old:
                update[name] = new
        return value.model_copy(update=update) if update else value
    if isinstance(value, tuple):
        return tuple(_reset(item, marks[index]) if index in marks else item for index, item in enumerate(value))
    if isinstance(value, dict):
        return {key: _reset(item, marks[key]) if key in marks else item for key, item in value.items()}
    return value
