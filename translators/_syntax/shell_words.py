"""Command lines of a POSIX shell as words: quotes, escapes, continued lines, comments, and `;` or `&&` between commands.

After POSIX.1-2024, 2.2 (Quoting) and 2.3 (Token Recognition), as far as command lines in documentation use it. What a shell
would run (backticks, `$(…)`) is refused: nobody knows what it prints.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from pinfeather.translators._syntax.variables import EXPRESSION, Variables


class Word(NamedTuple):
    """One word, without its quotes, and where it stands."""

    text: str
    begin: int
    end: int

    def after(self, count: int) -> Word:
        """What follows the first characters: where it begins is a guess if there are quotes before it."""
        return Word(self.text[count:], min(self.begin + count, self.end), self.end)


class ShellError(NamedTuple):
    message: str
    offset: int
    instead: str = ""


_END = re.compile(r"&&|\|\||[;|&\n()]")
_BACKTICK = "the shell runs what stands between backticks", "write \\` for a backtick, or put the text into single quotes"
_SUBSTITUTION = "the shell runs what stands in $(…)", "write what it prints"


class _Lexer:
    def __init__(self, text: str, variables: Variables) -> None:
        self.text = text
        self.variables = variables
        self.at = 0

    def commands(self) -> Iterator[list[Word] | ShellError]:
        while self.at < len(self.text):
            try:
                words = self._command()
            except _Stop as stop:
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end + 1
                yield stop.error
                continue
            if words:
                yield words

    def _command(self) -> list[Word]:
        words: list[Word] = []
        while self.at < len(self.text):
            rest = self.text
            if rest.startswith(("\\\n", "\\\r\n"), self.at):
                self.at += 2 if rest[self.at + 1] == "\n" else 3
            elif rest[self.at] in " \t\r":
                self.at += 1
            elif rest[self.at] == "#":
                end = rest.find("\n", self.at)
                self.at = len(rest) if end < 0 else end
            elif (found := _END.match(rest, self.at)) is not None:
                self.at = found.end()
                return words
            else:
                words.append(self._word())
        return words

    def _word(self) -> Word:
        begin, out = self.at, ""
        while self.at < len(self.text):
            character = self.text[self.at]
            if character in " \t\r\n" or _END.match(self.text, self.at):
                break
            if self.text.startswith(("\\\n", "\\\r\n"), self.at):
                self.at += 2 if self.text[self.at + 1] == "\n" else 3
            elif character == "\\":
                out += self.text[self.at + 1 : self.at + 2]
                self.at += 2
            elif character == "'":
                end = self.text.find("'", self.at + 1)
                if end < 0:
                    raise _Stop("the single quote that begins here has no end", self.at, "close it")
                out += self.text[self.at + 1 : end]
                self.at = end + 1
            elif character == '"':
                out += self._quoted()
            else:
                out += self._bare(character)
        return Word(out, begin, min(self.at, len(self.text)))

    def _quoted(self) -> str:
        begin, out = self.at, ""
        self.at += 1
        while self.at < len(self.text):
            character = self.text[self.at]
            if character == '"':
                self.at += 1
                return out
            if character == "\\" and self.text[self.at + 1 : self.at + 2] in ('"', "\\", "$", "`"):
                out += self.text[self.at + 1]
                self.at += 2
            elif character == "\\" and self.text.startswith(("\\\n", "\\\r\n"), self.at):
                self.at += 2 if self.text[self.at + 1] == "\n" else 3
            else:
                out += self._bare(character)
        raise _Stop("the double quote that begins here has no end", begin, "close it")

    def _bare(self, character: str) -> str:
        """A character that no quote keeps from the shell."""
        if character == "`":
            raise _Stop(_BACKTICK[0], self.at, _BACKTICK[1])
        if character == "$":
            if self.text.startswith("$(", self.at):
                raise _Stop(_SUBSTITUTION[0], self.at, _SUBSTITUTION[1])
            if (found := EXPRESSION.match(self.text, self.at)) is not None:
                self.at = found.end()
                return self.variables.filled(found[0])[0]
        self.at += 1
        return character


class _Stop(Exception):  # noqa: N818 - it ends one command
    def __init__(self, message: str, offset: int, instead: str) -> None:
        super().__init__(message)
        self.error = ShellError(message, offset, instead)


def commands(text: str, variables: Variables) -> Iterator[list[Word] | ShellError]:
    """The words of each command; for one that cannot be cut into words, why not."""
    return _Lexer(text, variables).commands()
