"""What a plain scalar of YAML means. Readers differ, so each format names the resolver of the program it speaks to.

The rows were compared with the Go libraries themselves (yaml.v3 3.0.1, yaml.v2 2.4.0, resolve.go of each) and with the
tables of YAML 1.2.2, section 10.3.2. Timestamps stay texts everywhere.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TypeAlias

Scalar: TypeAlias = bool | int | float | str | None


class OutOfRangeError(ValueError):
    """A number that its readers would cut or round differently. The text of the error is a sentence."""


def _spelt(*words: str) -> tuple[str, ...]:
    return tuple(form for word in words for form in (word, word.capitalize(), word.upper()))


def _words(true: tuple[str, ...], false: tuple[str, ...]) -> Mapping[str, Scalar]:
    table: dict[str, Scalar] = dict.fromkeys(("", "~", *_spelt("null")))
    table |= dict.fromkeys(true, True) | dict.fromkeys(false, False)
    for sign, value in (("", math.inf), ("+", math.inf), ("-", -math.inf)):
        table |= dict.fromkeys((f"{sign}.inf", f"{sign}.Inf", f"{sign}.INF"), value)
    return table | dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan)


_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_CORE_INT = re.compile(r"(?P<dec>[-+]?[0-9]+)|0o(?P<oct>[0-7]+)|0x(?P<hex>[0-9a-fA-F]+)")
_GO_INT = re.compile(r"(?P<sign>[-+]?)(?:0[xX](?P<hex>[0-9a-fA-F]+)|0[bB](?P<bin>[01]+)|0[oO]?(?P<oct>[0-7]+)|(?P<dec>0|[1-9][0-9]*))")
_BASES = {"dec": 10, "oct": 8, "hex": 16, "bin": 2}
NUMERIC = "+-.0123456789"
"""What a number can begin with."""
_LONGEST = 80  # a sign, `0b` and 64 digits fit; nobody writes a longer number


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise OutOfRangeError(f"the number {text} is out of range")
    return value


def _core_number(text: str) -> Scalar:
    """YAML 1.2 core: a leading zero means nothing, octals are `0o17`."""
    if found := _CORE_INT.fullmatch(text):
        name = found.lastgroup or "dec"
        return int(found[name], _BASES[name])
    return _float(text) if _FLOAT.fullmatch(text) else text


def _go_number(text: str) -> Scalar:
    """yaml.v2 and yaml.v3: underscores are skipped, a leading zero makes an octal, and `08`, which is none, a float."""
    plain = text.replace("_", "")
    if found := _GO_INT.fullmatch(plain):
        name = found.lastgroup or "dec"
        return int(found["sign"] + found[name], _BASES[name])
    return _float(plain) if _FLOAT.fullmatch(plain) else text


class Resolver:
    """One program's reading of plain scalars. `merge`: whether its mappings know the key `<<`."""

    def __init__(self, name: str, words: Mapping[str, Scalar], number: Callable[[str], Scalar], *, merge: bool) -> None:
        self.name = name
        self.words = words
        self.number = number
        self.merge = merge
        self.first = frozenset(word[:1] for word in words) | set(NUMERIC)
        """What a plain scalar that is not a text can begin with: all others need no look at the tables."""

    def __call__(self, text: str, digits: int = 18) -> Scalar:
        """The value of a plain scalar. Raises `OutOfRangeError` for whole numbers of more than `digits` digits."""
        if text in self.words:
            return self.words[text]
        if text[0] not in NUMERIC:
            return text
        if len(text) > _LONGEST:
            if text.replace("_", "").lstrip("+-").isdigit():
                raise OutOfRangeError(f"a number of {len(text)} digits is out of range")
            return text
        return _bounded(self.number, text, digits)


@lru_cache(maxsize=1024)  # ports and weights come again and again
def _bounded(number: Callable[[str], Scalar], text: str, digits: int) -> Scalar:
    value = number(text)
    if isinstance(value, int) and abs(value) >= 10**digits:
        raise OutOfRangeError(f"the number {text} has more than {digits} digits")
    return value


CORE = Resolver("core", _words(_spelt("true"), _spelt("false")), _core_number, merge=False)
"""YAML 1.2 core: our own documents. No merge keys."""

GO_YAML_V3 = Resolver("yaml.v3", _words(_spelt("true"), _spelt("false")), _go_number, merge=True)
"""gopkg.in/yaml.v3, as Traefik 3 and compose read: `yes`, `no`, `on` and `off` are texts, `0600` is an octal."""

KUBERNETES = Resolver(
    "kubernetes",
    _words(("y", "Y", *_spelt("true", "yes", "on")), ("n", "N", *_spelt("false", "no", "off"))),
    _go_number,
    merge=True,
)
"""sigs.k8s.io/yaml (on yaml.v2), as kubectl and Helm read: `y`, `n`, `yes`, `no`, `on` and `off` are booleans."""
