"""Cookie conditions in a proxy that has no matcher for cookies: a regex over the `Cookie` header, and back.

Traefik holds a `HeaderRegexp` against each `Cookie` header by itself, and the model lets any pair of any header do, so
both agree. A pair ends at `;`, and the blanks around it are no part of it; those around its `=` are. A header has none at
its ends, so that `^` and `;\\s*` say where a pair begins. What a regex of the user's may contain to stay exact inside one
value is decided by `cookie_regex_fits`; everything else must stay a condition on the header, or be refused.
"""

from __future__ import annotations

from typing import NamedTuple

from pinfeather.model.noun import TOKEN

_SPECIAL = frozenset(r"\.+*?()|[]{}^$")
_HEAD = r"(?:^|;)[ \t]*"
_TAIL = r"[ \t]*(?:;|$)"
# What people write for the same. A header's value holds no line end, so `\s` is a blank here.
_HEADS = tuple(
    group + blank + close
    for group in ("(?:^|;", "(^|;")
    for blank, close in ((")", r"[ \t]*"), (")", r"\s*"), (r"\s*", ")"), (r"[ \t]*", ")"))
)
_TAILS = tuple(blank + end for blank in (r"[ \t]*", r"\s*") for end in ("(?:;|$)", "(;|$)", "(?:$|;)", "($|;)"))
_SEARCHED = "[^;]*"


def quote_meta(text: str) -> str:
    """The regex that is found where the text is: Go's `regexp.QuoteMeta`."""
    return "".join("\\" + c if c in _SPECIAL else c for c in text)


def unquote_meta(pattern: str) -> str | None:
    """The one text that a regex stands for, if it is nothing but characters and escaped punctuation."""
    out: list[str] = []
    at = 0
    while at < len(pattern):
        if pattern[at] == "\\":
            at += 1
            if at == len(pattern) or not ("!" <= pattern[at] <= "~") or pattern[at].isalnum():
                return None
        elif pattern[at] in _SPECIAL:
            return None
        out.append(pattern[at])
        at += 1
    return "".join(out)


class CookiePattern(NamedTuple):
    """A cookie condition as texts: exactly one of `value` and `regex`."""

    name: str
    value: str | None = None
    regex: str | None = None


def write_value(name: str, value: str) -> str:
    """The regex over a `Cookie` header that holds if a cookie has exactly this value."""
    return f"{_HEAD}{quote_meta(name)}={quote_meta(value)}{_TAIL}"


def write_regex(name: str, regex: str) -> str | None:
    """The regex over a `Cookie` header that holds if the user's is found in a cookie's value, or None."""
    parts = _anchored(regex)
    if parts is None:
        return None
    start, inner, end = parts
    body = "".join("[^;]*" if atom == ".*" else atom for atom in inner)
    return f"{_HEAD}{quote_meta(name)}={'' if start else _SEARCHED}(?:{body}){_TAIL if end else ''}"


def cookie_regex_fits(regex: str) -> bool:
    """Whether a regex that is searched in a cookie's value can be searched in the whole header with the same answer.

    It may be made of characters, classes without blanks and `;`, groups, repetitions, `\\d`, `\\w`, and `.*` (not with
    `\\b` beside it); `^` and `$` only at its ends, and not with `|` outside a group.
    """
    return _anchored(regex) is not None


def read_pattern(pattern: str) -> CookiePattern | None:
    """The cookie condition that a regex over the `Cookie` header is, if it is one to the letter of its meaning."""
    head = next((head for head in _HEADS if pattern.startswith(head)), None)
    if head is None:
        return None
    quoted, equals, rest = pattern[len(head) :].partition("=")
    name = unquote_meta(quoted)
    if not equals or not name or not TOKEN.issuperset(name):
        return None
    for tail in _TAILS:
        if rest.endswith(tail) and (value := unquote_meta(rest.removesuffix(tail))) is not None:
            return CookiePattern(name, value=value) if ";" not in value and value == value.strip(" \t") else None
    for opening in (_SEARCHED, ""):
        if rest.startswith(opening + "(?:"):
            end = _TAIL if rest.endswith(")" + _TAIL) else ""
            inner = rest.removesuffix(end)[len(opening) + 3 : -1]
            regex = ("" if opening else "^") + inner.replace(_SEARCHED, ".*") + ("$" if end else "")
            return CookiePattern(name, regex=regex) if write_regex(name, regex) == pattern else None
    return None


def _anchored(regex: str) -> tuple[bool, list[str], bool] | None:
    """The regex as: bound to the start, its atoms, bound to the end. None if it cannot be embedded.

    With `.*` for the only atom that takes a blank, a match that runs into the blanks after a value can be cut back to
    the value, and one that crosses `;` cannot be, as `.*` is written `[^;]*`.
    """
    inner = regex.removeprefix("^")
    start = inner != regex
    ended = inner.endswith("$") and _trailing_backslashes(inner[:-1]) % 2 == 0
    atoms = _atoms(inner[:-1] if ended else inner)
    if atoms is None or (".*" in atoms and r"\b" in atoms):
        return None
    depth = 0
    for atom in atoms:
        depth += (atom[0] == "(" and atom != "(?i)") - (atom == ")")
        if depth < 0 or (atom == "|" and depth == 0 and (start or ended)):
            return None
    return (start, atoms, ended) if depth == 0 else None


def _trailing_backslashes(text: str) -> int:
    return len(text) - len(text.rstrip("\\"))


def _plain(character: str) -> bool:
    return character not in _SPECIAL and character not in " \t;" and character.isprintable()


def _atoms(regex: str) -> list[str] | None:
    atoms: list[str] = []
    at = 0
    while at < len(regex):
        length = _atom_length(regex, at)
        if length == 0:
            return None
        atoms.append(regex[at : at + length])
        at += length
    return atoms


_TWO = (r"\d", r"\w", r"\b", ".*")
_GROUPS = ("(?:", "(?i:", "(?i)")


def _atom_length(regex: str, at: int) -> int:
    """The length of the atom that begins at `at`, or 0 if it may not be embedded."""
    character = regex[at]
    if regex[at : at + 2] in _TWO:
        return 2
    if character == "\\":
        following = regex[at + 1 : at + 2]
        return 2 if following and "!" <= following <= "~" and not following.isalnum() and following != ";" else 0
    if character == "(":
        if regex[at + 1 : at + 2] == "?":
            return next((len(opening) for opening in _GROUPS if regex.startswith(opening, at)), 0)
        return 1
    if character == "[":
        return _class_length(regex, at)
    if character == "{":
        end = regex.find("}", at)
        return end - at + 1 if end > 0 and set(regex[at + 1 : end]) <= set("0123456789,") else 0
    return 1 if character in ")|*+?" or _plain(character) else 0


def _class_length(regex: str, at: int) -> int:
    """The length of `[a-z_.-]`: characters and ranges without blanks, `;`, escapes and inner classes, not negated."""
    end = regex.find("]", at + 1)
    body = regex[at + 1 : end]
    if end < 0 or not body or body[0] == "^" or any(c in "\\[" or c in " \t;" or not c.isprintable() for c in body):
        return 0
    for index in range(1, len(body) - 1):
        if body[index] == "-" and (body[index - 1] <= ";" <= body[index + 1] or body[index - 1] <= " "):
            return 0
    return end - at + 1
