"""What a format says of a feature. Offered by `features.py`, which names the features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from pinfeather.model.diagnostics import Path
from pinfeather.model.document import Document
from pinfeather.model.services import Server, TcpServer


@dataclass(frozen=True, slots=True)
class Full:
    """The format says it."""


class Near(NamedTuple):
    """The format says it, and behaves a little differently: one sentence."""

    sentence: str


class Nothing(NamedTuple):
    """The format has no word for it. `instead`: what happens, where the table's own sentence does not fit."""

    instead: str = ""


class When(NamedTuple):
    """It depends on the place: `check(document, path)` answers with one of the other three."""

    check: Callable[[Document, Path], Full | Near | Nothing]
    sentence: str = ""
    """For the support table."""


class Derived(NamedTuple):
    """Of `features.NAMES` only: the target makes the name itself; `project` renames before `emit`, so that both know the same one.

    `rule(document, path)` is that name, the path being that of the route, canary, service or middleware. Where two get the
    same name, the later one gets a number. A name that the rule made is kept by the rule.
    """

    rule: Callable[[Document, Path], str]
    sentence: str = ""
    """For the support table."""
    merge: bool = False
    """Whether two that get the same name, and are alike, become one: the target has one thing for both."""


class Becomes(NamedTuple):
    """Of `features.SERVERS` only: the target reaches the same server by another word; `project` puts that in its place before `emit`.

    `rule(document, path)`, the path being that of the server's field, is the server that is written; None: there is none, a loss.
    """

    rule: Callable[[Document, Path], Server | TcpServer | None]
    sentence: str
    """What is said of each server that is replaced, as `near.<feature>`, and in the support table."""
    instead: str = ""
    """What happens to a server for which there is none."""


Support = Full | Near | Nothing | When | Derived | Becomes
FULL = Full()
NONE = Nothing()
