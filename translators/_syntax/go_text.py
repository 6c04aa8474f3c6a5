"""Go's string literals, as rules hold them: a text in backquotes, raw, or in double quotes, with escapes.

After the Go specification ("String literals", Go 1.26) and `strconv.Unquote`. A raw literal cannot hold a backquote and
loses every carriage return; a byte order mark or a NUL in the source is refused by Go's scanner.
"""

from __future__ import annotations

import unicodedata

_SIMPLE = {"a": 0x07, "b": 0x08, "f": 0x0C, "n": 0x0A, "r": 0x0D, "t": 0x09, "v": 0x0B, "\\": 0x5C, '"': 0x22}
_HEX = {"x": 2, "u": 4, "U": 8}
_UNPRINTED = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})


class LiteralError(Exception):
    """A text that is no string literal. `offset` counts from the literal's first quote."""

    def __init__(self, message: str, offset: int, instead: str) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.instead = instead


def quote_go(text: str) -> str:
    """The literal of a text: in backquotes, as people write it, where every character is plain, else escaped.

    Raises ValueError for a lone surrogate, which no text of Go can hold.
    """
    if "`" not in text and (_plain(text) or not any(unicodedata.category(c) in _UNPRINTED for c in text)):
        return f"`{text}`"
    return '"' + "".join(map(_escaped, text)) + '"'


def _plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _escaped(character: str) -> str:
    code = ord(character)
    if character in '"\\':
        return "\\" + character
    if 0x20 <= code < 0x7F:
        return character
    if code <= 0x7F:
        return f"\\x{code:02x}"
    if 0xD800 <= code < 0xE000:
        raise ValueError(f"U+{code:04X} is half a character")
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def unquote_go(literal: str) -> str:
    """The text of a literal, both quotes included. Raises LiteralError, also for bytes that are no UTF-8."""
    quote = literal[:1]
    if quote not in ("`", '"') or len(literal) < 2 or literal[-1] != quote:
        raise LiteralError("this is no text in quotes", 0, "write it in backquotes, `like this`")
    body = literal[1:-1]
    if quote == "`":
        if (at := body.find("`")) >= 0:
            raise LiteralError("a backquote cannot stand between backquotes", at + 1, 'write the text in double quotes, "like this"')
        return body.replace("\r", "")
    return _unescaped(body)


def _unescaped(body: str) -> str:
    out = bytearray()
    at = 0
    while at < len(body):
        character = body[at]
        if character in '"\n':
            what = "a line end" if character == "\n" else "a double quote"
            raise LiteralError(f"{what} cannot stand between double quotes", at + 1, 'escape it: \\" or \\n')
        if character != "\\":
            out += character.encode("utf-8", "surrogatepass")
            at += 1
            continue
        value, taken = _escape(body, at)
        out += value
        at += taken
    try:
        return out.decode("utf-8")
    except UnicodeDecodeError:
        raise LiteralError("the bytes of this text are not UTF-8", 0, "write characters, or \\u and \\U escapes") from None


def _escape(body: str, at: int) -> tuple[bytes, int]:
    """The bytes of the escape that begins at a backslash, and its length in characters."""
    kind = body[at + 1 : at + 2]
    if kind in _SIMPLE:
        return bytes([_SIMPLE[kind]]), 2
    if kind in _HEX:
        size, base, start = _HEX[kind], 16, at + 2
    elif kind and kind in "01234567":
        size, base, start = 3, 8, at + 1
    else:
        raise LiteralError(
            f"\\{kind} is no escape of Go", at + 1, "double the backslash (\\\\), or put the text into backquotes, where it stays as it is"
        )
    digits = body[start : start + size]
    if len(digits) < size or not all(d in "0123456789abcdefABCDEF"[: base if base == 8 else 22] for d in digits):
        raise LiteralError(f"the escape \\{kind} needs {size} digits", at + 1, "double the backslash (\\\\) if it is meant as one")
    code = int(digits, base)
    if kind in "uU":
        if code > 0x10FFFF or 0xD800 <= code < 0xE000:
            raise LiteralError(f"U+{code:X} is no character", at + 1, "write the character itself, or \\UNNNNNNNN")
        return chr(code).encode(), size + 2
    if code > 0xFF:
        raise LiteralError(f"\\{digits} is more than a byte", at + 1, "write \\000 to \\377")
    return bytes([code]), start + size - at
