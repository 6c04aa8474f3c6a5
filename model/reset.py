"""Fields back to their defaults, deep inside of a document."""

from __future__ import annotations

from pinfeather.model.diagnostics import Path
from pinfeather.model.noun import Noun


def reset(value: object, path: Path, fields: set[Path]) -> object:
    """The same value with every field in `fields` back to its default. What holds none of them is the same object."""
    if not fields or not any(wanted[: len(path)] == path for wanted in fields):
        return value
    if isinstance(value, Noun):
        update: dict[str, object] = {}
        for name, info in type(value).model_fields.items():
            here = (*path, info.alias or name)
            old = getattr(value, name)
            new = info.get_default(call_default_factory=True) if here in fields else reset(old, here, fields)
            if new is not old:
                update[name] = new
        return value.model_copy(update=update) if update else value
    if isinstance(value, tuple):
        return tuple(reset(item, (*path, index), fields) for index, item in enumerate(value))
    if isinstance(value, dict):
        return {key: reset(item, (*path, key), fields) for key, item in value.items()}
    return value
