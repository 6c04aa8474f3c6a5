"""Fields back to their defaults, deep inside of a document."""

from __future__ import annotations

from pinfeather.model.diagnostics import Path
from pinfeather.model.noun import Noun


def reset(value: object, path: Path, fields: set[Path]) -> object:
    """The same value with every field in `fields` back to its default. What holds none of them is the same object."""
    holders = {wanted[:length] for wanted in fields for length in range(len(path), len(wanted) + 1)}
    return _reset(value, path, fields, holders)


def _reset(value: object, path: Path, fields: set[Path], holders: set[Path]) -> object:
    if path not in holders:
        return value
    if isinstance(value, Noun):
        update: dict[str, object] = {}
        for name, info in type(value).model_fields.items():
            here = (*path, info.alias or name)
            if here not in holders:
                continue
            old = getattr(value, name)
            new = info.get_default(call_default_factory=True) if here in fields else _reset(old, here, fields, holders)
            if new is not old:
                update[name] = new
        return value.model_copy(update=update) if update else value
    if isinstance(value, tuple):
        return tuple(_reset(item, (*path, index), fields, holders) for index, item in enumerate(value))
    if isinstance(value, dict):
        return {key: _reset(item, (*path, key), fields, holders) for key, item in value.items()}
    return value
