"""Bytes to text, the same for every syntax: strict UTF-8, and no character that an editor hides or a reader drops."""

from __future__ import annotations

import re

from pinfeather.model.diagnostics import Code, Diagnostic, Span, error

_REFUSED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def lines_in(text: str) -> int:
    """How many line ends there are: `\\n`, `\\r\\n` and a lone `\\r` each count once, as YAML 1.2 has it."""
    carriage = text.count("\r")
    return text.count("\n") + (carriage - text.count("\r\n") if carriage else 0)


def position(text: str, index: int) -> tuple[int, int]:
    """Line and column of a character, from 1."""
    before = text[:index]
    return lines_in(before) + 1, index - max(before.rfind("\n"), before.rfind("\r"))


def too_large(limit: int, span: Span) -> Diagnostic:
    return error(Code.TOO_LARGE, f"larger than {limit} bytes", span=span, instead="split it, or raise the limit")


def decode(text: str | bytes, file: str, limit: int) -> str | Diagnostic:
    """The text without its byte order mark, or the one reason why it is none. `limit` is in bytes of UTF-8.

    NUL and the other control characters (all but tab and line ends), surrogates, U+2028 and U+2029 (a line end to
    YAML 1.1, none to 1.2) and a byte order mark in the middle are refused where they stand bare; escaped is fine.
    """
    if len(text) > limit or (isinstance(text, str) and not text.isascii() and _utf8_length(text) > limit):
        return too_large(limit, Span(file))
    if isinstance(text, bytes):
        raw, text = text, ""
        if raw.startswith(_UTF16):
            return error(Code.ENCODING, "this is UTF-16", span=Span(file, 1, 1), instead="save it as UTF-8")
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as fault:
            before = raw[: fault.start].decode("utf-8").removeprefix("\ufeff")
            line, column = position(before, len(before))
            message = f"the byte 0x{raw[fault.start]:02X} is not UTF-8"
            return error(Code.ENCODING, message, span=Span(file, line, column), instead="save it as UTF-8")
    text = text.removeprefix("\ufeff")
    if (found := _REFUSED.search(text)) is not None:
        line, column = position(text, found.start())
        message = f"the character U+{ord(found[0]):04X} cannot stand here"
        span = Span(file, line, column, line, column + 1)
        return error(Code.ENCODING, message, span=span, instead="remove it, or write it as an escape")
    return text


def _utf8_length(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
