"""Rules that Traefik 3 refuses, or takes for something else, because they are meant for version 2 or for another program.

A rule of version 2 is one that the v2 syntax reads and v3 refuses, or one that v3 reads with the templates of v2 to the letter
(`{id:[0-9]+}` in a path or a host, `k=v` as the name of a query parameter): Traefik 3.7.15 enables such a router, and it
holds for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from pinfeather.model.diagnostics import Code, Diagnostic, Edit, Fix, Severity, Span
from pinfeather.model.match import HostRegex, Leaf, Match, PathIs, Query, ServerNameRegex, leaves
from pinfeather.model.noun import Template
from pinfeather.translators._syntax.repair import inside, lines_of
from pinfeather.translators._syntax.rule import RuleError, Unsayable, parse_http, parse_tcp, print_http, print_tcp
from pinfeather.translators._syntax.rule_v2 import parse_http_v2, parse_tcp_v2

_V2_TEMPLATE = re.compile(r"\{[A-Za-z_][\w-]*(?::[^}]|\})")
_VARIABLE = re.compile(r"\$\{[A-Za-z_][^}]*\}|\$[A-Z_][A-Z0-9_]+\b|\{\{(?:(?!\{\{).)*?\}\}")
"""What Compose, `envsubst` and Helm would have replaced."""
_DOUBTFUL = re.compile(r"""\{|\$[A-Z_]|["\r]|query""", re.IGNORECASE)
"""What a rule has in its text if there is a doubt about it, or if its text does not show what it says: escapes."""


class Syntax(NamedTuple):
    """Which rules are meant: of HTTP or of TCP, and what in them is an expression that another program fills in."""

    tcp: bool = False
    expressions: re.Pattern[str] | None = None


def in_v3(rule: str, syntax: Syntax) -> str | None:
    """The same rule in the v3 syntax, if it is one of v2 that v3 can say."""
    tcp, expressions = syntax
    templates = expressions is not None
    try:
        match, _ = (parse_tcp_v2 if tcp else parse_http_v2)(rule, expressions)
        written = (print_tcp if tcp else print_http)(match, templates=templates)
        (parse_tcp if tcp else parse_http)(written, expressions)
    except (RuleError, Unsayable):
        return None
    return written


def refused(name: str, rule: str, syntax: Syntax) -> Diagnostic | None:
    """What to say of a rule that v3 cannot read, if it is plain what it was meant to be."""
    if (variable := _VARIABLE.search(rule)) is not None and in_v3(rule, syntax) is None:
        said = f"{variable[0]!r} in the rule of {name!r} is a variable that nobody has replaced: as it stands it holds for no request"
        hint = "write the value, or render the file first"
        return Diagnostic(Code.UNEXPANDED, Severity.ERROR, said, instead=hint)
    new = in_v3(rule, syntax)
    if new is None:
        return None
    said = f"the rule of {name!r} is in the syntax of Traefik 2: Traefik 3 refuses it and disables the router"
    return Diagnostic(Code.V2_SYNTAX, Severity.ERROR, said, instead=f"write {new}")


def misread(name: str, rule: str, match: Match, syntax: Syntax) -> Diagnostic | None:
    """What to say of a rule that v3 reads, but not as it was meant."""
    if _DOUBTFUL.search(rule) is None:
        return None
    for part in leaves(match):
        if (text := next(_old(part), None)) is not None:
            new = in_v3(rule, syntax)
            said = (
                f"{text!r} in the rule of {name!r} is the syntax of Traefik 2: Traefik 3 takes it to the letter, and it holds for nothing"
            )
            return Diagnostic(Code.V2_SYNTAX, Severity.WARNING, said, instead=f"write {new}" if new is not None else "write a regex")
        if (variable := next(_variables(part), None)) is not None:
            said = f"{variable!r} in the rule of {name!r} is a variable that nobody has replaced: as it stands it holds for no request"
            return Diagnostic(Code.UNEXPANDED, Severity.WARNING, said, instead="write the value, or render the file first")
    return None


def _texts(part: Leaf) -> Iterator[str]:
    if isinstance(part, HostRegex):
        yield part.host_regex
    elif isinstance(part, ServerNameRegex):
        yield part.sni_regex
    elif isinstance(part, PathIs):
        yield part.path.exact or part.path.prefix or ""


def _old(part: Leaf) -> Iterator[str]:
    if isinstance(part, Query) and part.query.value == "" and "=" in part.query.name:
        yield part.query.name
    yield from (
        text
        for text in _texts(part)
        if not isinstance(text, Template) and _V2_TEMPLATE.search(text) and "{{" not in text and "${" not in text
    )


def _variables(part: Leaf) -> Iterator[str]:
    for text in () if isinstance(part, HostRegex | ServerNameRegex) else _texts(part):
        if not isinstance(text, Template) and (found := _VARIABLE.search(text)) is not None:
            yield found[0]


def with_edit(finding: Diagnostic, rule: str, text: str, span: Span, syntax: Syntax, *, doubled: bool) -> Diagnostic:
    """The finding with the edit of its rule, where the rule stands in one line. `doubled`: a `$` is written `$$` there."""
    new = in_v3(rule, syntax) if finding.code == Code.V2_SYNTAX else None
    placed = finding._replace(span=span)
    if new is None:
        return placed
    old, new = (each.replace("$", "$$") if doubled else each for each in (rule, new))
    edits: tuple[Edit, ...] = inside(lines_of(text), span, old, new)
    return placed._replace(fixes=(Fix("write it for Traefik 3", edits),)) if edits else placed
