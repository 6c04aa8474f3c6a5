"""Words of a shell's line: read as the wire has them, one character a byte, and written so that a shell reads the same. Nothing is
executed or expanded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable


class LineError(ValueError):
    """A line that asks for nothing; the message says what is wrong with it and what to do."""


_SAFE = re.compile(r"[A-Za-z0-9@%+=:,./_-]+")


def shell(words: Iterable[str]) -> str:
    """Words, one character a byte, as one line for a shell."""
    return " ".join(map(_quoted, words))


def wire(text: str) -> str:
    """A text as the wire has it: one character a byte."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def text_of(wire: str) -> str:
    """What the bytes of a word say in UTF-8."""
    return wire.encode("latin-1").decode("utf-8", "surrogateescape")


def _quoted(wire: str) -> str:
    if _SAFE.fullmatch(wire):
        return wire
    if wire.isascii() and wire.isprintable():
        return "'" + wire.replace("'", "'\\''") + "'"
    return "$'" + "".join(map(_escaped, wire)) + "'"


def _escaped(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    return character if character.isascii() and character.isprintable() else f"\\x{ord(character):02x}"


# Words: plain, 'as it is', "with \\ before $ ` \" \\", and $'with \x41'.
_WORDS = re.compile(
    r"""(?P<space>\s+)|(?P<joined>\\\n)|\$'(?P<ansi>(?:[^'\\]|\\.)*)'|'(?P<single>[^']*)'|"(?P<double>(?:[^"\\]|\\.)*)\"|\\(?P<one>.)|(?P<plain>[^\s'"\\]+)""",
    re.DOTALL,
)
_ANSI = re.compile(r"\\(?:x([0-9A-Fa-f]{1,2})|(.))", re.DOTALL)
_CONTROL = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "e": "\x1b"}
_DOUBLE = re.compile(r"\\([$`\"\\]|\n)")


def words_of(line: str) -> list[str]:
    """The words of a line, as the wire has them. Raises LineError for a quote without its end."""
    words: list[str] = []
    open_word = False
    at = 0
    while at < len(line):
        found = _WORDS.match(line, at)
        if found is None:
            raise LineError(f"the quote at column {at + 1} has no end")
        at = found.end()
        kind, text = found.lastgroup, found[found.lastgroup or 0]
        if kind in ("space", "joined"):
            open_word = open_word and kind == "joined"
            continue
        if kind == "ansi":
            part = _ANSI.sub(lambda it: chr(int(it[1], 16)) if it[1] else _CONTROL.get(it[2], it[2]), wire(text))
        elif kind == "double":
            part = wire(_DOUBLE.sub(lambda it: "" if it[1] == "\n" else it[1], text))
        else:
            part = wire(text)
        if open_word:
            words[-1] += part
        else:
            words.append(part)
        open_word = True
    return words
