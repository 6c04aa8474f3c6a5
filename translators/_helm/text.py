"""Go template actions in a text that Helm's `tpl` fills in before anybody reads it as YAML, both ways.

Nothing is evaluated. To read, each expression is replaced by a word of its own length, so that the text is YAML and every column
stays where it was; in the values that come out, the words are expressions again: a text that holds one is a `Template`, to the
letter. An action that only prints braces (`{{ "{{" }}`) is those braces. To write, `{{` in a plain text becomes that action.
What decides or repeats (`if`, `range`, `with`, …), sets a variable, or writes lines of its own makes the text unreadable.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from pinfeather.model.bind import HELM
from pinfeather.model.noun import Template
from pinfeather.translators._syntax.tree import Tree
from pinfeather.translators._syntax.yaml_emit import escaped

ESCAPED = '{{ "{{" }}'
_COMMENT = re.compile(r"\{\{(?:- )?/\*(?:[^*]|\*(?!/))*\*/(?: -)?\}\}")
_CONTROL = re.compile(r"(?P<word>if|else|end|range|with|define|block|template|break|continue)\b|\$\w*[ \t]*:?=")
_LINES = re.compile(r"\b(?:n?indent|toYaml)\b")
_STRING = re.compile(r'"(?:\\.|[^"\\])*"|`[^`]*`')
_BARE = re.compile(r"\{\{(?!-)[^\r\n]*(?<!-)\}\}")
_ENDS = ("", "\n", "\r")
_PAGES = tuple(page for page in range(0xF0, 0x10F) if page != 0xFF)
"""Blocks of 4,096 private characters: words are made of one that a text does not use."""
_DIGITS = 4000


class Unread(NamedTuple):
    """Why a text is not read, and where that begins."""

    offset: int
    message: str
    instead: str
    others: tuple[tuple[int, str], ...] = ()
    """What decides further on in the text, and where: `range`."""


class Words(NamedTuple):
    """A text with a word for each expression, and what each word stands for."""

    text: str
    page: int
    expressions: tuple[str, ...]

    def restored(self, tree: Tree) -> Tree:
        """The same values with the expressions in them."""
        if not self.expressions:
            return tree
        if isinstance(tree, dict):
            return {str.__str__(key) if isinstance(key, Template) else key: value for key, value in self._pairs(tree)}
        if isinstance(tree, list):
            return [self.restored(item) for item in tree]
        return self._text(tree) if isinstance(tree, str) else tree

    def _pairs(self, tree: dict[str, Tree]) -> list[tuple[str, Tree]]:
        return [(self._text(key), self.restored(value)) for key, value in tree.items()]

    def _text(self, text: str) -> str:
        pattern = _word(self.page)
        numbers = [self._number(match[1]) for match in pattern.finditer(text)]
        if not numbers:
            return text
        if all(printed(self.expressions[number]) is not None for number in numbers):
            return pattern.sub(lambda match: printed(self.expressions[self._number(match[1])]) or "", text)
        return Template(pattern.sub(lambda match: self.expressions[self._number(match[1])], text))

    def _number(self, digits: str) -> int:
        high, low = (ord(digit) - (self.page << 12) - 2 for digit in digits)
        return high * _DIGITS + low


@lru_cache(maxsize=len(_PAGES))
def _word(page: int) -> re.Pattern[str]:
    base = page << 12
    return re.compile(f"{chr(base)}([{chr(base + 2)}-{chr(base + 1 + _DIGITS)}]{{2}}){chr(base + 1)}*")


def words_of(text: str) -> Words | Unread:
    """The text with a word for each expression, or the first reason why it cannot be read."""
    if "{{" not in text:
        return Words(text, 0, ())
    used = {ord(character) >> 12 for character in text if character >= "\U000f0000"}
    page = next((page for page in _PAGES if page not in used), None)
    if page is None:
        return Unread(0, "it uses all of Unicode's private characters", "take them out")
    known: dict[str, int] = {}
    pieces: list[str] = []
    at = 0
    while (start := text.find("{{", at)) >= 0:
        pieces.append(text[at:start])
        match = HELM.match(text, start)
        comment = _COMMENT.match(text, start)
        found = comment or match
        if found is None:
            return Unread(start, "an action that does not end, or that holds another one", 'write `{{ "{{" }}` for plain braces')
        at = found.end()
        if comment is not None:
            if _before(text, start) not in _ENDS or _after(text, at) not in _ENDS:
                return Unread(start, "a comment beside other text", "give it a line of its own")
            pieces.append(re.sub(r"[^\r\n]", " ", comment[0]))
            continue
        assert match is not None
        problem = _problem(text, match)
        if problem is not None:
            return problem
        number = known.setdefault(match[0], len(known))
        base = page << 12
        digits = chr(base + 2 + number // _DIGITS) + chr(base + 2 + number % _DIGITS)
        pieces.append(f"{chr(base)}{digits}".ljust(len(match[0]), chr(base + 1)))
    return Words("".join((*pieces, text[at:])), page, tuple(known))


def _problem(text: str, match: re.Match[str]) -> Unread | None:
    start, end, action = match.start(), match.end(), match[0]
    inner = _STRING.sub('""', match["inner"]).strip()
    if printed(action) is not None:
        return None
    shown = f"`{action if len(action) <= 60 else action[:57] + '…'}`"
    if control := _CONTROL.match(inner):
        what = "sets a variable" if control["word"] is None else "decides what stands here, when Helm renders it"
        return Unread(start, f"{shown} {what}", "render the chart first: `helm template`", tuple(_others(text, end)))
    if not inner or "\n" in action:
        return Unread(start, f"{shown} is empty, or goes over several lines", "write it in one line")
    if "\\" in inner:
        return Unread(start, f"{shown}: Helm refuses a backslash outside of a text", "put the value in single quotes, not in double ones")
    before, after = _before(text, start), _after(text, end)
    if _LINES.search(inner) or (before in _ENDS and after in _ENDS):
        return Unread(start, f"{shown} writes lines of its own", "render the chart first: `helm template`")
    takes_before = action.startswith("{{- ") and (before in _ENDS or before in ":-")
    if takes_before or (action.endswith(" -}}") and after in _ENDS):
        return Unread(start, f"{shown}: its trim mark takes away a blank or a line end that YAML needs", "leave the trim mark out")
    return None


def _others(text: str, at: int) -> Iterator[tuple[int, str]]:
    """Up to five further actions that decide or repeat; `else` and `end` belong to one of them."""
    found = 0
    for match in HELM.finditer(text, at):
        control = _CONTROL.match(match["inner"].strip())
        if control is not None and control["word"] not in (None, "else", "end") and found < 5:
            found += 1
            yield match.start(), control["word"]


def _before(text: str, start: int) -> str:
    """The character before the blanks before a place; the empty text where there is none."""
    while start > 0 and text[start - 1] in " \t":
        start -= 1
    return text[start - 1 : start]


def _after(text: str, end: int) -> str:
    while end < len(text) and text[end] in " \t":
        end += 1
    return text[end : end + 1]


def printed(action: str) -> str | None:
    """The braces that an action prints, if that is all that it does."""
    match = HELM.fullmatch(action)
    inner = match["inner"].strip() if match is not None else ""
    if not _STRING.fullmatch(inner) or action[2:4] == "- " or action[-4:-2] == " -":
        return None
    try:
        text = inner[1:-1] if inner[0] == "`" else str(json.loads(inner))
    except ValueError:
        return None
    return text if "{{" in text or "}}" in text else None


def holdable(template: str) -> bool:
    """Whether Helm fills this template in, and it would be read back to the letter."""
    if any(character >= "\U000f0000" for character in template):
        return False
    words = words_of(f"x{template}x")
    return isinstance(words, Words) and words.restored(words.text) == Template(f"x{template}x")


# Writing ---------------------------------------------------------------------------------------------------------------


class Holes:
    """Templates of a tree by name, so that an emitter of plain YAML can write the tree, and `filled` its text."""

    def __init__(self, text: str) -> None:
        number = 0
        while (word := f"Hole{number}x") in text:
            number += 1
        self._word = word
        self._values: list[str] = []

    def punched(self, tree: Tree, *, bare: bool = False) -> Tree:
        """The tree with a word for each template. `bare`: what stands here is a number."""
        if isinstance(tree, dict):
            return {key: self.punched(value, bare=key in NUMBERS) for key, value in tree.items()}
        if isinstance(tree, list):
            return [self.punched(item) for item in tree]
        if not isinstance(tree, Template):
            return tree
        self._values.append(str(tree) if bare and _BARE.fullmatch(tree) else quoted(tree))
        return f"{self._word}{len(self._values)}x"

    def filled(self, text: str) -> str:
        """The text with plain `{{` as an action that prints it, and each template in its place."""
        plain = text.replace("{{", ESCAPED)
        return re.sub(rf"{self._word}(\d+)x", lambda match: self._values[int(match[1]) - 1], plain)


NUMBERS = frozenset({"port", "priority", "weight", "maxAge"})
"""Keys below which a template is written bare, since a number is wanted there."""


def quoted(template: str) -> str:
    """A template as a scalar of YAML: in single quotes, or in double ones where a plain piece needs an escape."""
    plain = HELM.split(template)[::2]
    double = any(not piece.isprintable() for piece in plain)
    pieces: list[str] = []
    at = 0
    for match in HELM.finditer(template):
        pieces += [_escaped(template[at : match.start()], double=double), match[0]]
        at = match.end()
    pieces.append(_escaped(template[at:], double=double))
    mark = '"' if double else "'"
    return f"{mark}{''.join(pieces)}{mark}"


def _escaped(piece: str, *, double: bool) -> str:
    return escaped(piece) if double else piece.replace("'", "''")
