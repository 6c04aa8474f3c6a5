"""What can be said about a document: a closed vocabulary of codes, each with one sentence and one remedy.

Core code speaks in paths (`("routes", 0, "sticky")`); a reader adds the span it read the value from; only the renderer
(`pinfeather/_render.py`) joins the two into file, line and column. Reports are returned, never logged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

from pinfeather.model.codes import Code as Code

Path = tuple[str | int, ...]
"""Where a value stands in a document: keys and list indexes from the root."""


class Span(NamedTuple):
    """A stretch of one input file. Lines and columns count from 1; the end is exclusive. Line 0: the file as a whole."""

    file: str
    line: int = 0
    column: int = 0
    end_line: int = 0
    end_column: int = 0


class Edit(NamedTuple):
    """Replace what `span` covers by `text`; an empty span inserts. `expects`: what must stand there, where that was looked at."""

    span: Span
    text: str
    expects: str | None = None


class Fix(NamedTuple):
    """A proposed repair: its title in the imperative, and the edits that make it (none: do it by hand)."""

    title: str
    edits: tuple[Edit, ...] = ()


class Severity(StrEnum):
    ERROR = "error"  # refused, unless the code may be allowed and is
    WARNING = "warning"
    INFO = "info"


ALLOWABLE = ("loss.", "unread.", "lint.")
"""Families whose errors a user may allow; what cannot be read or is our bug cannot be allowed."""


class Diagnostic(NamedTuple):
    """One finding.

    `message` is one sentence that names the value; `instead` says what happens instead (losses) or what to do.
    `security` marks a loss that a blanket permission does not cover: only its very path may be allowed.
    """

    code: str
    severity: Severity
    message: str
    path: Path = ()
    instead: str = ""
    span: Span | None = None
    fixes: tuple[Fix, ...] = ()
    security: bool = False

    @property
    def allowable(self) -> bool:
        return self.code.startswith(ALLOWABLE)

    def at(self, span: Span | None) -> Diagnostic:
        """The same finding with a span, unless it has one."""
        return self if self.span is not None or span is None else self._replace(span=span)


def error(code: str, message: str, path: Path = (), *, instead: str = "", span: Span | None = None) -> Diagnostic:
    return Diagnostic(code, Severity.ERROR, message, path, instead, span)


def warning(code: str, message: str, path: Path = (), *, instead: str = "", span: Span | None = None) -> Diagnostic:
    return Diagnostic(code, Severity.WARNING, message, path, instead, span)


def info(code: str, message: str, path: Path = (), *, instead: str = "", span: Span | None = None) -> Diagnostic:
    return Diagnostic(code, Severity.INFO, message, path, instead, span)


_ORDER = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}


class Report(NamedTuple):
    """What one run found, worst first, each finding once, in a stable order."""

    diagnostics: tuple[Diagnostic, ...] = ()

    @classmethod
    def of(cls, found: Iterable[Diagnostic]) -> Report:
        unique = dict.fromkeys(found)
        nowhere = Span("")
        return cls(tuple(sorted(unique, key=lambda d: (_ORDER[d.severity], d.span or nowhere, d.code))))

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        return tuple(d for d in self.diagnostics if d.severity is Severity.ERROR)

    def allowing(self, allowed: Iterable[Allowed]) -> Report:
        """The same report with every allowed error turned into a warning."""
        rules = tuple(allowed)

        def permitted(d: Diagnostic) -> Diagnostic:
            if d.severity is Severity.ERROR and any(rule.covers(d) for rule in rules):
                return d._replace(severity=Severity.WARNING)
            return d

        return Report.of(permitted(d) for d in self.diagnostics)


class Allowed(NamedTuple):
    """One permission: `CODE` or `CODE@path` (`loss.sticky.path@services.shop-v1.sticky`). `CODE` may end in `.*`."""

    code: str
    path: str | None = None

    @classmethod
    def parse(cls, text: str) -> Allowed:
        code, at, path = text.strip().partition("@")
        return cls(code, path if at else None)

    def covers(self, finding: Diagnostic) -> bool:
        if not finding.allowable:
            return False
        same = finding.code == self.code or (self.code.endswith(".*") and finding.code.startswith(self.code[:-1]))
        if self.path is None:
            return same and not finding.security
        return same and self.path == dotted(finding.path)

    def __str__(self) -> str:
        return self.code if self.path is None else f"{self.code}@{self.path}"


def dotted(path: Path) -> str:
    """A path as people write it: `routes.0.canaries.1`; a key with a dot in it is put in brackets."""
    return ".".join(f"[{part}]" if isinstance(part, str) and ("." in part or not part) else str(part) for part in path)


def span_at(spans: Mapping[Path, Span], path: Path) -> Span | None:
    """The span of a path, or of the nearest thing around it that was read from somewhere."""
    for length in range(len(path), -1, -1):
        if (span := spans.get(path[:length])) is not None:
            return span
    return None


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant, or None. Case, `-` and `_` do not count."""
    import difflib

    table = {w.lower().replace("-", "_"): w for w in known}
    close = difflib.get_close_matches(word.lower().replace("-", "_"), table, n=1, cutoff=0.6)
    return table[close[0]] if close else None


__all__ = [
    "ALLOWABLE", "Allowed", "Code", "Diagnostic", "Edit", "Fix", "Path", "Report", "Severity", "Span",
    "dotted", "error", "info", "nearest", "span_at", "warning",
]  # fmt: skip
