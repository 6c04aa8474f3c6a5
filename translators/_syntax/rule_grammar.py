"""The syntax of a Traefik rule: Go's expressions, as far as vulcand/predicate 1.3 lets them through.

Traefik hands the text to Go's own `parser.ParseExpr` (pkg/rules/parser.go, 3.7): `&&` binds tighter than `||`, `!`
tighter than both, arguments are Go string literals, comments are Go's. Go ends a statement at the end of a line that
could end one, so a new line is legal after an operator, an opening parenthesis or a comma, and at the very end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from pinfeather.translators._syntax.go_text import LiteralError, unquote_go

DEPTH = 100
"""Parentheses and `!` around one matcher, at most."""
LENGTH = 1 << 16
"""Characters of one rule, at most."""


class RuleError(Exception):
    """A rule that Traefik would refuse, or that the model cannot hold.

    `offset` is the index into the rule's text of what is wrong, `instead` what to write, or empty.
    """

    def __init__(self, message: str, offset: int, instead: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.instead = instead


class Argument(NamedTuple):
    text: str
    offset: int


class Call(NamedTuple):
    name: str
    arguments: tuple[Argument, ...]
    offset: int


class Negation(NamedTuple):
    inner: Node


class Junction(NamedTuple):
    every: bool  # `&&`; else `||`
    parts: tuple[Node, ...]


Node: TypeAlias = "Call | Negation | Junction"


class _Token(NamedTuple):
    kind: str  # name, text, newline, end, or the operator itself
    text: str
    offset: int

    def __str__(self) -> str:
        return {"newline": "the end of the line", "end": "the end of the rule", "text": "a text"}.get(self.kind, f"{self.text!r}")


_ENDS = frozenset({"name", "text", ")"})  # what a line may end with, so that Go takes the line's end for the statement's
_OPERATORS = ("&&", "||", "!", "(", ")", ",")
_WORDS = {"and": "&&", "or": "||", "not": "!"}
_INSTEAD = {
    "'": "put texts into backquotes, `like this`: single quotes hold one character in Go",
    "&": "write &&",
    "|": "write ||",
    ":": "this looks like a rule of Traefik 1: write Host(`x`) for Host:x",
    ";": "join matchers with && or ||",
    "=": "a matcher takes its value in parentheses: Header(`name`, `value`)",
    "{": "templates in braces stand inside a text, and only in the v2 syntax",
}
_JOIN = "put the && or || at the end of the line, before the line break"


def _skip_blank(text: str, at: int) -> tuple[int, int]:
    """The end of the blanks and comments from `at` on, and the offset of the first line end in them (-1: none)."""
    line_end = -1
    while at < len(text):
        if text[at] in " \t\r\n":
            if text[at] == "\n" and line_end < 0:
                line_end = at
            at += 1
        elif text.startswith("//", at):
            found = text.find("\n", at)
            at = len(text) if found < 0 else found
        elif text.startswith("/*", at):
            found = text.find("*/", at + 2)
            if found < 0:
                raise RuleError("this comment has no end", at, "end it with */")
            if line_end < 0 and "\n" in text[at:found]:
                line_end = at
            at = found + 2
        else:
            break
    return at, line_end


def _literal_end(text: str, at: int) -> int:
    """The offset after the literal that begins at `at`."""
    quote, index = text[at], at + 1
    while index < len(text) and text[index] != quote and (quote == "`" or text[index] != "\n"):
        index += 2 if quote == '"' and text[index] == "\\" else 1
    if index >= len(text) or text[index] != quote:
        raise RuleError(f"the text that begins here has no closing {quote}", at, f"close it with {quote}")
    return index + 1


def _tokens(text: str) -> Iterator[_Token]:
    at, last = 0, ""
    while True:
        at, line_end = _skip_blank(text, at)
        if line_end >= 0 and last in _ENDS:
            yield _Token("newline", "", line_end)
        if at >= len(text):
            yield _Token("end", "", at)
            return
        start = at
        kind = next((operator for operator in _OPERATORS if text.startswith(operator, at)), "")
        if kind:
            at += len(kind)
        elif text[at] in '`"':
            kind, at = "text", _literal_end(text, at)
        elif text[at] == "_" or text[at].isalpha():
            kind = "name"
            while at < len(text) and (text[at] == "_" or text[at].isalnum()):
                at += 1
        else:
            raise RuleError(f"{text[at]!r} has no meaning here", at, _INSTEAD.get(text[at], ""))
        yield _Token(kind, text[start:at], start)
        last = kind


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._token = next(self._tokens)
        self._depth = 0

    def _next(self) -> _Token:
        """The token that stands here; the next one takes its place."""
        token = self._token
        if token.kind != "end":
            self._token = next(self._tokens)
        return token

    def _expect(self, kind: str) -> None:
        if self._token.kind != kind:
            if self._token.kind == "newline":
                raise RuleError(f"the line ends where {kind!r} is wanted", self._token.offset, _JOIN)
            raise RuleError(f"{kind!r} is wanted, and {self._token} is found", self._token.offset)
        self._next()

    def rule(self) -> Node:
        node = self._either()
        if self._token.kind == "newline":
            line_end = self._next()
            if self._token.kind != "end":
                raise RuleError("the rule goes on in a new line", line_end.offset, _JOIN)
        if self._token.kind != "end":
            word = _WORDS.get(self._token.text.lower())
            instead = f"write {word}" if word else "join matchers with && or ||"
            raise RuleError(f"&& or || is wanted, and {self._token} is found", self._token.offset, instead)
        return node

    def _either(self) -> Node:
        return self._joined("||", every=False)

    def _joined(self, operator: str, *, every: bool) -> Node:
        def part() -> Node:
            return self._unary() if every else self._joined("&&", every=True)

        parts = [part()]
        while self._token.kind == operator:
            self._next()
            parts.append(part())
        return parts[0] if len(parts) == 1 else Junction(every, tuple(parts))

    def _deeper(self, offset: int) -> None:
        self._depth += 1
        if self._depth > DEPTH:
            raise RuleError(f"the rule is nested more than {DEPTH} deep", offset, "take parentheses away")

    def _unary(self) -> Node:
        token = self._next()
        node: Node
        if token.kind == "!":
            self._deeper(token.offset)
            node = Negation(self._unary())
            self._depth -= 1
            return node
        if token.kind == "(":
            self._deeper(token.offset)
            node = self._either()
            self._expect(")")
            self._depth -= 1
            return node
        if token.kind != "name":
            instead = "a text stands inside a matcher, such as Host(`x`)" if token.kind == "text" else ""
            raise RuleError(f"a matcher such as Host(`x`) is wanted, and {token} is found", token.offset, instead)
        return self._call(token)

    def _call(self, name: _Token) -> Call:
        if self._token.kind != "(":
            word = _WORDS.get(name.text.lower())
            instead = f"write {word}" if word else f"write {name.text}(`value`)"
            raise RuleError(f"{name.text!r} has no parenthesis after it", name.offset, instead)
        self._next()
        arguments: list[Argument] = []
        while self._token.kind != ")":
            arguments.append(self._argument())
            if self._token.kind != ",":
                break
            self._next()
        if self._token.kind == "newline":
            raise RuleError("the line ends inside a matcher", self._token.offset, "end the line with a comma")
        self._expect(")")
        return Call(name.text, tuple(arguments), name.offset)

    def _argument(self) -> Argument:
        token = self._next()
        if token.kind != "text":
            raise RuleError(f"a text in backquotes is wanted, and {token} is found", token.offset, "write it `like this`")
        try:
            return Argument(unquote_go(token.text), token.offset)
        except LiteralError as problem:
            raise RuleError(problem.message, token.offset + problem.offset, problem.instead) from None


_FORBIDDEN = re.compile("[\0\ufeff\ud800-\udfff]")
_TEXT = r"`[^`\r]*`"
_MATCHER = rf"[A-Za-z]+\({_TEXT}(?:, ?{_TEXT})?\)"
_PLAIN = re.compile(rf"{_MATCHER}(?: && {_MATCHER})*+")
_PARTS = re.compile(rf"([A-Za-z]+)\(({_TEXT})(?:, ?({_TEXT}))?\)")


def _plain(text: str) -> Node | None:
    """What most rules are, matchers of one or two raw texts joined with `&&`, without asking token by token; None for any other."""
    if _PLAIN.fullmatch(text) is None:
        return None
    calls: list[Call] = []
    for found in _PARTS.finditer(text):
        name, one, two = found.groups()
        first = Argument(one[1:-1], found.start(2))
        arguments = (first,) if two is None else (first, Argument(two[1:-1], found.start(3)))
        calls.append(Call(name, arguments, found.start()))
    return calls[0] if len(calls) == 1 else Junction(True, tuple(calls))


def read(text: str) -> Node:
    """The tree of a rule's text. Raises RuleError, and nothing else, whatever the text."""
    if len(text) > LENGTH:
        raise RuleError(f"the rule has {len(text)} characters, more than {LENGTH}", LENGTH, "make several routes of it")
    if (found := _FORBIDDEN.search(text)) is not None:
        code = ord(found[0])
        raise RuleError(f"U+{code:04X} cannot stand in a rule", found.start(), 'write it as an escape between double quotes: "\\u…"')
    return _plain(text) or read_tokens(text)


def read_tokens(text: str) -> Node:
    """The same, token by token. Raises RuleError."""
    if not text.strip(" \t\r\n"):
        raise RuleError("the rule is empty", 0, "write a matcher, such as Host(`x`) or PathPrefix(`/`)")
    return _Parser(text).rule()
