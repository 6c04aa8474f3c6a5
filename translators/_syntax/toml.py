"""TOML, both ways: `read` here, `emit` from `toml_emit.py`.

The values come from the standard library's tomllib. It says nothing of where they stand and bounds nothing, so
`toml_places.py` goes over the text first: it finds every key and value, keys that stand twice, and what is nested too deep.
Dates and times become texts (ISO 8601), as no document of ours has a place for anything else.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from datetime import date, datetime, time

from pinfeather.model.diagnostics import Code, Diagnostic, Path, Span, error
from pinfeather.translators._syntax.decoding import decode, position
from pinfeather.translators._syntax.toml_emit import emit
from pinfeather.translators._syntax.toml_places import Place, places
from pinfeather.translators._syntax.tree import LIMITS, NOWHERE, Limits, Mark, Reading, Tree

__all__ = ["LIMITS", "Limits", "Reading", "Tree", "emit", "read"]

_NOTHING = re.compile(r"(?:[ \t\r]*(?:#[^\n]*)?\n)*")
_LONG = re.compile(r"[-+]?[0-9][0-9_]{3000,}")
_AT = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)\Z")
_TWICE = ("Cannot overwrite", "Cannot declare", "Cannot redefine", "Cannot mutate", "Duplicate")


def read(text: str | bytes, file: str, limits: Limits = LIMITS) -> Reading:
    """The one document of a TOML file. Never raises for bad input."""
    decoded = decode(text, file, limits.document_bytes)
    if isinstance(decoded, Diagnostic):
        return Reading(None, NOWHERE, file, (decoded,))
    if _NOTHING.fullmatch(decoded + "\n"):
        nothing = error(Code.EMPTY, "there is nothing in it", span=Span(file, 1, 1), instead="write a document into it")
        return Reading(None, NOWHERE, file, (nothing,), text=decoded)
    root, found = places(decoded, file, limits)
    value: Tree = None
    if not found:
        try:
            loaded = tomllib.loads(decoded)
        except tomllib.TOMLDecodeError as fault:
            found = [_syntax_error(str(fault), decoded, file)]
        except ValueError:  # the interpreter's own bound on the digits of a number
            digits = _LONG.search(decoded)
            line, column = position(decoded, digits.start()) if digits else (0, 0)
            found = [error(Code.VALUE, "a number has too many digits", span=Span(file, line, column))]
        except RecursionError:
            found = [error(Code.TOO_DEEP, f"nested more than {limits.depth} deep", span=Span(file))]
        else:
            return _reading(loaded, root, decoded, file, limits)
    return Reading(value, NOWHERE, file, tuple(found), text=decoded)


def _reading(loaded: dict[str, object], root: Place, text: str, file: str, limits: Limits) -> Reading:
    found: list[Diagnostic] = []

    def report(code: Code, message: str, path: Path, mark: Mark) -> None:
        span = Span(file, mark[0] + 1, mark[1] + 1, mark[2] + 1, mark[3] + 1)
        found.append(error(code, message, path, span=span))

    value, mark = _plain(loaded, root, (), limits, report)
    return Reading(value, mark, file, tuple(found), text=text)


_Report = Callable[[Code, str, Path, Mark], None]


def _plain(value: object, place: Place, path: Path, limits: Limits, report: _Report) -> tuple[Tree, Mark]:
    """tomllib's value as a tree, and its places as marks in the value's own order."""
    inner: list[Mark] = []
    if len(path) > limits.depth:
        report(Code.TOO_DEEP, f"nested more than {limits.depth} deep", (), place.mark(()))
        return None, place.mark(())
    if isinstance(value, dict):
        pairs: dict[str, Tree] = {}
        for key, child in value.items():
            at = place.keys.get(key, place)
            pairs[key], mark = _plain(child, at, (*path, key), limits, report)
            inner += (at.key_mark, mark)
        return pairs, place.mark(inner)
    if isinstance(value, list):
        items: list[Tree] = []
        for index, child in enumerate(value):
            at = place.items[index] if index < len(place.items) else place
            item, mark = _plain(child, at, (*path, index), limits, report)
            items.append(item)
            inner.append(mark)
        return items, place.mark(inner)
    return _scalar(value, place.mark(()), path, limits, report), place.mark(())


def _scalar(value: object, mark: Mark, path: Path, limits: Limits, report: _Report) -> Tree:
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, int) and abs(value) >= 10**limits.digits:
        report(Code.VALUE, f"a number of more than {limits.digits} digits", path, mark)
        return None
    return value if isinstance(value, bool | int | float | str) else None


def _syntax_error(message: str, text: str, file: str) -> Diagnostic:
    at = _AT.search(message)
    line, column = text.count("\n") + 1, len(text) - text.rfind("\n")
    if at is not None and at[1] is not None:
        line, column = int(at[1]), int(at[2])
    sentence = message[: at.start()] if at is not None else message
    code = Code.DUPLICATE_KEY if sentence.startswith(_TWICE) else Code.SYNTAX
    sentence = sentence[:1].lower() + sentence[1:]
    return error(code, sentence, span=Span(file, line, column, line, column + 1))
