"""How Go, and Traefik through github.com/traefik/paerser, turns a written scalar into a bool, a number or a duration.

Traefik 3.7 first makes a text of every scalar of its file, whatever it was in YAML or TOML (paerser 0.2.2,
file/raw_node.go, getSimpleValue), then reads that text into the field (parser/element_fill.go). So `secure: "true"`
is a bool, `weight: "10"` a number and `maxAge: 1.0` a one.
"""

from __future__ import annotations

import math
import re

from pinfeather.model.noun import canonical_duration, nanoseconds
from pinfeather.translators._syntax.tree import Tree

_BOOLS = dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True) | dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False)
_INT = re.compile(r"[-+]?[0-9]+", re.ASCII)


def scalar_text(value: Tree) -> str | None:
    """The text that Traefik sees for a scalar of its file; None for what is no scalar."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.6f}".removesuffix(".000000")
    return None


def parse_bool(text: str) -> bool | None:
    """strconv.ParseBool of Go 1.25; None: Go refuses it (`yes` and `on` among others)."""
    return _BOOLS.get(text)


def parse_int(text: str) -> int | None:
    """strconv.ParseInt(text, 10, 64) of Go 1.25; None: Go refuses it."""
    if len(text) < 19 and text.isdecimal() and text.isascii():
        return int(text)
    if len(text) > 20 or not _INT.fullmatch(text):
        return None
    value = int(text)
    return value if -(2**63) <= value < 2**63 else None


def parse_duration(text: str) -> str | None:
    """A length of time in the one spelling of the model; a bare number is seconds (paerser, types/duration.go, Set).

    None: Go refuses it, or it is negative.
    """
    number = parse_int(text)
    if number is not None:
        text = f"{number}s"
    try:
        nanoseconds(text)
    except ValueError:
        return None
    return canonical_duration(text)


def split_list(text: str) -> list[str]:
    """A list in a label: split at commas and trimmed; nothing for an empty text (parser/element_fill.go, setSlice)."""
    return [part.strip() for part in text.split(",")] if text else []
