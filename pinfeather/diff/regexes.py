"""Texts in which a regex is found, and near misses: a few of each, checked by RE2. Not all there are, so who uses them says so.

The pattern is taken apart by the parser of Python's `re`, whose syntax is RE2's nearly everywhere; what it cannot read is taken for its
plain letters. What comes of it is believed only once RE2 has found the pattern in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice, product
from typing import Any

from pinfeather.model.noun import compile_regex

FEW = 6
"""Texts of each kind."""
_TRIED = 64


@lru_cache(maxsize=4096)
def members(pattern: str) -> tuple[str, ...]:
    """Texts in which the pattern is found, the simplest first."""
    holds = compile_regex(pattern)
    tried = dict.fromkeys((*islice(_made(pattern), _TRIED), _letters(pattern), "", "/", "a"))
    return tuple(islice((text for text in tried if holds(text)), FEW))


@lru_cache(maxsize=4096)
def near_misses(pattern: str) -> tuple[str, ...]:
    """Texts that nearly are members, and are none."""
    holds = compile_regex(pattern)
    tried: dict[str, None] = {}
    for text in members(pattern):
        tried |= dict.fromkeys((f"{text}x", f"x{text}", text[:-1], text[1:], text.swapcase(), ""))
    return tuple(islice((text for text in tried if not holds(text)), FEW))


def _letters(pattern: str) -> str:
    return "".join(character for character in pattern if character.isalnum() or character in "-_=./")


def _made(pattern: str) -> Iterator[str]:
    parser: Any = getattr(re, "_parser")  # noqa: B009 - not in the stubs; `sre_parse`, its public name, warns
    try:
        tree = parser.parse(pattern.replace("\\z", "\\Z"))
    except (re.error, OverflowError, RecursionError):
        return
    yield from _sequence(list(tree))


def _sequence(items: list[Any]) -> Iterator[str]:
    parts = [list(islice(_item(str(kind).rsplit(".", 1)[-1], value), 4)) for kind, value in items]
    if all(parts):
        yield from ("".join(chosen) for chosen in product(*parts))


def _item(kind: str, value: Any) -> Iterator[str]:
    if kind == "LITERAL":
        yield chr(value)
    elif kind == "NOT_LITERAL":
        yield "a" if chr(value) != "a" else "b"
    elif kind == "ANY":
        yield "a"
    elif kind == "IN":
        yield from _of_class(value)
    elif kind == "BRANCH":
        for branch in value[1]:
            yield from _sequence(list(branch))
    elif kind == "SUBPATTERN":
        yield from _sequence(list(value[3]))
    elif kind in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        least, most, inner = value
        once = list(islice(_sequence(list(inner)), 3))
        yield from (text * least for text in once[: 1 if least == 0 else 3])
        if int(most) > least:
            yield from (text * (least + 1) for text in once)
    else:  # anchors and the like take no room
        yield ""


_CLASSES = {
    "CATEGORY_DIGIT": "0",
    "CATEGORY_WORD": "a",
    "CATEGORY_SPACE": " ",
    "CATEGORY_NOT_DIGIT": "a",
    "CATEGORY_NOT_WORD": "-",
    "CATEGORY_NOT_SPACE": "a",
}


def _of_class(parts: list[Any]) -> Iterator[str]:
    negated = any(str(kind) == "NEGATE" for kind, _ in parts)
    inside: list[str] = []
    for kind, value in parts:
        match str(kind):
            case "LITERAL":
                inside.append(chr(value))
            case "RANGE":
                inside += [chr(value[0]), chr(value[1])]
            case "CATEGORY":
                inside.append(_CLASSES.get(str(value), "a"))
    if not negated:
        yield from inside[:3]
        return
    pattern = [(kind, value) for kind, value in parts if str(kind) != "NEGATE"]
    yield from (text for text in "a0-_/" if not any(_within(text, kind, value) for kind, value in pattern))


def _within(text: str, kind: Any, value: Any) -> bool:
    match str(kind):
        case "LITERAL":
            return bool(ord(text) == value)
        case "RANGE":
            return bool(value[0] <= ord(text) <= value[1])
        case _:
            return _CLASSES.get(str(value)) == text
