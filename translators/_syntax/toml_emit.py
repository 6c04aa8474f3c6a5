"""Trees to TOML: a table for each mapping, an array of tables for each list of mappings, the given order within both."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pinfeather.model.diagnostics import Path, dotted
from pinfeather.translators._syntax.tree import Tree

_BARE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\b": "\\b", "\f": "\\f"}


def emit(tree: Tree, *, header: str = "") -> str:
    """The file, ending in a newline. `header` becomes comment lines on top of it.

    Raises ValueError for what TOML cannot say: a root that is no mapping, None, half of a surrogate pair.
    """
    if not isinstance(tree, dict):
        raise ValueError("a TOML file is a mapping")
    lines = [_comment(line) for line in header.splitlines()]
    for number, line in enumerate(_table(tree, (), "")):
        if line.startswith("[") and (lines or number):
            lines.append("")
        lines.append(line)
    return "\n".join(lines) + "\n"


def _comment(line: str) -> str:
    shown = "".join(c if c.isprintable() else _escape(c) for c in line)
    return shown if shown.startswith("#") else f"# {shown}".rstrip()


def _table(pairs: dict[str, Tree], path: Path, name: str) -> Iterator[str]:
    """A table's own values, then the tables below it. A header that would stand over nothing but tables is left out."""
    below = {key: value for key, value in pairs.items() if _is_table(value) or _is_tables(value)}
    own = {key: value for key, value in pairs.items() if key not in below}
    if name and (own or not below):
        yield f"[{name}]"
    for key, value in own.items():
        yield f"{_key(key)} = {_inline(value, (*path, key))}"
    for key, value in below.items():
        inner = f"{name}.{_key(key)}" if name else _key(key)
        if isinstance(value, dict):
            yield from _table(value, (*path, key), inner)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                yield f"[[{inner}]]"
                yield from _item(item, (*path, key, index), inner)


def _item(item: Tree, path: Path, name: str) -> Iterator[str]:
    lines = _table(item, path, name) if isinstance(item, dict) else iter(())
    header = f"[{name}]"
    yield from (line for line in lines if line != header)  # `[[name]]` has opened it


def _is_table(value: Tree) -> bool:
    return isinstance(value, dict)


def _is_tables(value: Tree) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _inline(value: Tree, path: Path) -> str:
    if value is None:
        raise ValueError(f"TOML has no null: {dotted(path)}")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return "[" + ", ".join(_inline(item, (*path, index)) for index, item in enumerate(value)) + "]"
    pairs = ", ".join(f"{_key(key)} = {_inline(child, (*path, key))}" for key, child in value.items())
    return f"{{ {pairs} }}" if pairs else "{}"


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _text(key)


def _text(text: str) -> str:
    return '"' + "".join(c if c.isprintable() and c not in '"\\' else _escape(c) for c in text) + '"'


def _escape(character: str) -> str:
    code = ord(character)
    if 0xD800 <= code < 0xE000:
        raise ValueError(f"half of a surrogate pair (U+{code:04X}) cannot be written")
    if character in _ESCAPES:
        return _ESCAPES[character]
    return f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"
