"""Variables in texts that another program fills in: compose's `${X}`, `${X:-d}`, `$X`, `$$`, and the shell's.

While a file is read, a variable without a value is a number between two characters that no text has, so that it is cut
neither at a dot, nor at a comma, nor read as a part of a rule; `Variables.restored` puts its own letters back.
After the compose specification, "Interpolation" (compose-go v2, template/template.go).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from pinfeather.model.noun import Template
from pinfeather.translators._syntax.labels import VARIABLE

MARKED = re.compile(f"{VARIABLE[0]}([0-9]+){VARIABLE[1]}")
"""What `Taking` and the rules take for an expression while a file is read."""
EXPRESSION = re.compile(r"\$(?:[A-Za-z_][A-Za-z0-9_]*|\{[A-Za-z_][^{}]*(?:\{[^{}]*\}[^{}]*)*\})")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATORS = (":-", "-", ":?", "?", ":+", "+")


class Faulty(NamedTuple):
    """A `$` that begins nothing, and where in the text."""

    offset: int
    message: str


class Variables:
    """The variables of one run: their values, and the ones without."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self._raw: list[str] = []

    @property
    def marked(self) -> bool:
        """Whether any variable has been marked: else no text has one."""
        return bool(self._raw)

    def filled(self, text: str) -> tuple[str, Faulty | None]:
        """The text with each `$$` as `$`, each variable that has a value replaced, and each other one marked."""
        if "$" not in text:
            return str(text), None
        out: list[str] = []
        at = 0
        fault: Faulty | None = None
        while at < len(text):
            cut = text.find("$", at)
            if cut < 0:
                break
            out.append(text[at:cut])
            if text.startswith("$$", cut):
                out.append("$")
                at = cut + 2
                continue
            found = EXPRESSION.match(text, cut)
            if found is None:
                fault = fault or Faulty(cut, "a `$` that begins no variable: compose refuses the file")
                out.append("$")
                at = cut + 1
                continue
            out.append(self._value(found[0]))
            at = found.end()
        return "".join(out) + text[at:], fault

    def mark(self, raw: str) -> str:
        """The mark that stands for a variable."""
        self._raw.append(raw)
        return f"{VARIABLE[0]}{len(self._raw) - 1}{VARIABLE[1]}"

    def _value(self, raw: str) -> str:
        name, operator, rest = _parts(raw)
        if name not in self._values:
            return self.mark(raw)
        value = self._values[name]
        if operator in ("+", ":+"):
            return self.filled(rest)[0] if value or operator == "+" else ""
        if operator in (":-", ":?") and not value:
            return self.filled(rest)[0] if operator == ":-" else self.mark(raw)
        return value

    def held(self, text: str) -> tuple[str, ...]:
        """The variables in a marked text, as they are written."""
        return tuple(self._of(found) for found in MARKED.finditer(text)) if VARIABLE[0] in text else ()

    def by_default(self, text: str) -> str:
        """The marked text as it is without any value: the default of each variable, or its own letters."""
        if VARIABLE[0] not in text:
            return str(text)

        def default(found: re.Match[str]) -> str:
            raw = self._of(found)
            _, operator, rest = _parts(raw)
            return self.by_default(self.filled(rest)[0]) if operator in (":-", "-") else raw

        return MARKED.sub(default, text)

    def restored(self, text: str) -> str:
        """The letters of a marked text, as a `Template`; a text without a mark as it is."""
        if VARIABLE[0] not in text or MARKED.search(text) is None:
            return text
        out, at = "", 0
        for found in MARKED.finditer(text):
            out += text[at : found.start()].replace("$", "$$") + self._of(found)
            at = found.end()
        return Template(out + text[at:].replace("$", "$$"))

    def _of(self, found: re.Match[str]) -> str:
        number = int(found[1][:9])
        return self._raw[number] if number < len(self._raw) else found[0]


def _parts(raw: str) -> tuple[str, str, str]:
    """Name, operator and what follows it."""
    inner = raw[2:-1] if raw.startswith("${") else raw[1:]
    found = _NAME.match(inner)
    name = found[0] if found else inner
    rest = inner[len(name) :]
    operator = next((each for each in _OPERATORS if rest.startswith(each)), "")
    return name, operator, rest[len(operator) :]


def values_of(text: str) -> dict[str, str]:
    """`KEY=VALUE` lines, as in an env file: comments and blank lines skipped, `export` and quotes around a value taken away."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        key, equals, value = line.strip().removeprefix("export ").partition("=")
        if not equals or key.startswith("#") or not _NAME.fullmatch(key.strip()):
            continue
        value = value.strip()
        quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'"
        values[key.strip()] = value[1:-1] if quoted else value.partition(" #")[0].rstrip()
    return values


def escaped(text: str) -> str:
    """A text as compose wants it: `$` twice; a `Template` to the letter."""
    return str(text) if isinstance(text, Template) else text.replace("$", "$$")


def is_template(text: str) -> bool:
    """Whether compose fills something in, and takes the rest to the letter."""
    bare = EXPRESSION.sub("", text.replace("$$", ""))
    return "$" not in bare and EXPRESSION.search(text.replace("$$", "")) is not None
