"""Trees to YAML: block style, the given order, no anchors, the same bytes for the same tree.

A text stands bare only where no reader of YAML 1.1 or 1.2 can take it for anything else: a short list of what is safe,
not a list of what is not. Everything else is in double quotes, with escapes for what is not printable.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from functools import lru_cache

from pinfeather.translators._syntax.tree import Tree

_BARE = re.compile(r"[A-Za-z/](?:[A-Za-z0-9_./+@=-]++|[ ](?! *\Z)|:(?=[^ \s]))*+", re.ASCII)
_WORDS = frozenset(
    ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nil", "none", "nan", "inf", "infinity"]
)  # in any case; no reader takes all of them, some reader takes each
_LONGEST_WORD = max(map(len, _WORDS))
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_LONGEST_KEY = 1000  # a key that needs no `?` ends within 1,024 characters (YAML 1.2.2, 7.4.3)


def emit(tree: Tree, *, header: str = "") -> str:
    """One document, ending in a newline. `header` becomes comment lines on top of it.

    Raises ValueError for what YAML cannot say: half of a surrogate pair.
    """
    lines = [_comment(line) for line in header.splitlines()]
    _node(tree, "", "", lines)
    return "\n".join(lines) + "\n"


def emit_all(trees: Iterable[Tree], *, header: str = "") -> str:
    """A stream: every document behind a `---` of its own, the header on top. No documents: the header alone."""
    top = "".join(_comment(line) + "\n" for line in header.splitlines())
    return top + "".join("---\n" + emit(tree) for tree in trees)


def _comment(line: str) -> str:
    shown = "".join(c if c.isprintable() else _escape(c) for c in line)
    return shown if shown.startswith("#") else f"# {shown}".rstrip()


def _node(tree: Tree, lead: str, indent: str, lines: list[str]) -> None:
    """Writes `lead` and the tree behind it; what does not fit on that line goes below, at `indent`.

    `lead` ends in `:` (a key), in `-` (an item) or is empty (the document).
    """
    if isinstance(tree, str):
        if lead and "\n" in tree and _literal(tree):
            lines.append(f"{lead} |" if tree.endswith("\n") else f"{lead} |-")
            lines += [f"{indent}{line}" if line else "" for line in tree.removesuffix("\n").split("\n")]
            return
    elif tree and isinstance(tree, (dict, list)):
        begin = indent
        if lead[-1:] == "-":  # the first entry stands beside the dash
            begin = f"{lead} "
        elif lead:
            lines.append(lead)
        _inside(tree, begin, indent, lines)
        return
    lines.append(f"{lead} {_scalar(tree)}" if lead else _scalar(tree))


def _inside(tree: dict[str, Tree] | list[Tree], begin: str, indent: str, lines: list[str]) -> None:
    """The entries of a mapping or of a list, the first one behind `begin`."""
    below = f"{indent}  "
    if isinstance(tree, list):
        for item in tree:
            if isinstance(item, str) and "\n" not in item:
                lines.append(f"{begin}- {_text(item)}")
            else:
                _node(item, f"{begin}-", below, lines)
            begin = indent
        return
    for key, value in tree.items():
        name = _short(key)
        if len(name) > _LONGEST_KEY:
            lines.append(f"{begin}? {name}")
            begin, name = indent, ""
        if isinstance(value, str) and "\n" not in value:
            lines.append(f"{begin}{name}: {_text(value)}")
        else:
            _node(value, f"{begin}{name}:", below, lines)
        begin = indent


def _literal(text: str) -> bool:
    """Whether a text of several lines reads back from a literal block, the indent found by itself."""
    lines = text.removesuffix("\n").split("\n")
    return len(lines) > 1 and lines[0][:1] not in ("", " ") and lines[-1] != "" and all(map(str.isprintable, lines))


def _scalar(tree: Tree) -> str:
    if isinstance(tree, str):
        return _text(tree)
    if tree is None:
        return "null"
    if isinstance(tree, bool):
        return "true" if tree else "false"
    if isinstance(tree, float):
        return _float(tree)
    if isinstance(tree, int):
        return str(tree)
    return "{}" if isinstance(tree, dict) else "[]"


def _float(value: float) -> str:
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    mantissa, e, exponent = repr(value).partition("e")
    return f"{mantissa}{'' if '.' in mantissa else '.0'}{e}{exponent}"  # YAML 1.1 wants the dot


def _text(text: str) -> str:
    if _BARE.fullmatch(text) and (len(text) > _LONGEST_WORD or text.lower() not in _WORDS):
        return text
    return f'"{escaped(text)}"'


_short = lru_cache(maxsize=4096)(_text)
"""The same for keys, of which a file has the same ones over and over; its values differ."""


def escaped(text: str) -> str:
    """A text as it stands between double quotes. Raises ValueError for half of a surrogate pair."""
    if text.isprintable():
        return text.replace("\\", "\\\\").replace('"', '\\"')
    return "".join(c if c.isprintable() and c not in '"\\' else _escape(c) for c in text)


def _escape(character: str) -> str:
    code = ord(character)
    if 0xD800 <= code < 0xE000:
        raise ValueError(f"half of a surrogate pair (U+{code:04X}) cannot be written")
    if character in _ESCAPES:
        return _ESCAPES[character]
    width, letter = (2, "x") if code < 0x100 else (4, "u") if code < 0x10000 else (8, "U")
    return f"\\{letter}{code:0{width}X}"
