"""Traefik's rules in the v2 syntax, read as what they mean in the model. They are written as v3 only.

Matchers after Traefik 2.11 (pkg/muxer/http/mux.go, pkg/muxer/tcp/mux.go) and 3.7 (`ruleSyntax: v2`, matcher_v2.go);
templates after github.com/containous/mux (regexp.go): the text around `{name}` and `{name:regex}` is literal, the whole
is bound at both ends (a path prefix at its start only), a host ignores case.

Both readers return the match and notes: one sentence for each difference from what Traefik does with this rule.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from pydantic import TypeAdapter
from pydantic_core import PydanticCustomError

from pinfeather.model.match import (
    Alpn,
    AnyOf,
    ClientIP,
    Header,
    HeaderMatch,
    Host,
    HostRegex,
    Match,
    Method,
    PathIs,
    PathMatch,
    Query,
    ServerNameIs,
    ServerNameRegex,
    ValueMatch,
    both,
    either,
)
from pinfeather.model.noun import regex as checked_regex
from pinfeather.translators._syntax.rule_cookie import quote_meta
from pinfeather.translators._syntax.rule_grammar import Argument, Call, RuleError, read
from pinfeather.translators._syntax.rule_read import built, full_arguments, matcher_name, read_alpn, read_header_regex, read_network, tree
from pinfeather.translators._syntax.tree import Tree

QUERY_NOTE = "the v2 syntax compares the first value of a repeated query parameter, here any of its values may hold"
PORT_NOTE = (
    "the v2 syntax compares a host template that contains ':' with the port of the request, here a host is compared without its port"
)

_MATCH: TypeAdapter[Match] = TypeAdapter(Match, config={"defer_build": True})
Notes = dict[str, None]
Make = Callable[[Call, Sequence[Argument], Notes], Match]


def parse_http_v2(text: str, expressions: re.Pattern[str] | None = None) -> tuple[Match, tuple[str, ...]]:
    """The match of a v2 rule of an HTTP router, and the notes. Raises RuleError, and nothing else."""
    return _templated(text, _HTTP, expressions)


def parse_tcp_v2(text: str, expressions: re.Pattern[str] | None = None) -> tuple[Match, tuple[str, ...]]:
    """The match of a v2 rule of a TCP router, and the notes. Raises RuleError, and nothing else."""
    return _templated(text, _TCP, expressions)


def _templated(text: str, matchers: Mapping[str, Make], expressions: re.Pattern[str] | None) -> tuple[Match, tuple[str, ...]]:
    """Expressions mean something to v2's own templates, so each is read as a plain word, and put back."""
    held: dict[str, str] = {}

    def word(found: re.Match[str]) -> str:
        name = f"x{len(held)}x".rjust(len(found[0]), "x") + "x"
        held[name] = found[0]
        return name

    if expressions is None or expressions.search(text) is None:
        return _parse(text, matchers)
    match, notes = _parse(expressions.sub(word, text), matchers)
    return replaced(match, held), notes


def replaced(match: Match, held: Mapping[str, str]) -> Match:
    """The match with the texts that hold one of the words as templates, in which each word is what it stands for."""

    def walk(value: Tree) -> Tree:
        if isinstance(value, dict):
            return {key: walk(child) for key, child in value.items()}
        if isinstance(value, list):
            return [walk(child) for child in value]
        if isinstance(value, str) and any(word in value for word in held):
            for word, expression in held.items():
                value = value.replace(word, expression)
            return {"template": value}
        return value

    found: Match = _MATCH.validate_python(walk(match.model_dump(mode="json", exclude_none=True)))
    return found


def _parse(text: str, matchers: Mapping[str, Make]) -> tuple[Match, tuple[str, ...]]:
    notes: Notes = {}

    def leaf(call: Call) -> Match:
        name = matcher_name(call, tuple(matchers))
        return matchers[name](call, full_arguments(call), notes)

    return tree(read(text), leaf), tuple(notes)


# Templates -------------------------------------------------------------------------------------------------------------


def _variables(argument: Argument) -> list[tuple[int, int]]:
    """Where the outermost braces of a template begin and end. Raises RuleError."""
    found: list[tuple[int, int]] = []
    level = start = 0
    for at, character in enumerate(argument.text):
        if character == "{":
            level += 1
            start = at if level == 1 else start
        elif character == "}":
            level -= 1
            if level == 0:
                found.append((start, at + 1))
        if level < 0:
            break
    if level != 0:
        raise RuleError(f"the braces in {argument.text!r} are not balanced", argument.offset, "write {name} or {name:regex}")
    return found


def _template(argument: Argument, default: str) -> str | None:
    """The regex of a template, not bound at its ends, or None if it has no variable. Raises RuleError."""
    text, end, out = argument.text, 0, ""
    variables = _variables(argument)
    for start, stop in variables:
        name, colon, pattern = text[start + 1 : stop - 1].partition(":")
        if not name or (colon and not pattern):
            raise RuleError(f"{text[start:stop]!r} lacks a name or a regex", argument.offset, "write {name} or {name:regex}")
        if colon:
            try:
                checked_regex(pattern)
            except PydanticCustomError as refusal:
                raise RuleError(refusal.message(), argument.offset) from None
        out += quote_meta(text[end:start]) + (f"(?:{pattern})" if colon else default)
        end = stop
    return out + quote_meta(text[end:]) if variables else None


def _host_pattern(argument: Argument, notes: Notes) -> str:
    """The bound regex of a host template; `(?i)` where it could make a difference, as hosts come in lower case."""
    if not argument.text.isascii():
        raise RuleError(f"the host {argument.text!r} is not ASCII, which Traefik wants", argument.offset, "write it in punycode")
    pattern = _template(argument, "[^.]+")
    pattern = quote_meta(argument.text) if pattern is None else pattern
    if _has_colon(argument):
        notes[PORT_NOTE] = None
    return f"{'(?i)' if pattern != pattern.lower() else ''}^{pattern}$"


def _has_colon(argument: Argument) -> bool:
    """Whether a ':' is left once the ones between a variable's name and its regex are taken away."""
    text = argument.text
    inside = sum(1 for start, stop in _variables(argument) if ":" in text[start:stop])
    return text.count(":") > inside


# Matchers --------------------------------------------------------------------------------------------------------------


def _each(make: Callable[[Argument, Notes], Match]) -> Make:
    """Of several arguments, one must hold."""

    def made(_call: Call, arguments: Sequence[Argument], notes: Notes) -> Match:
        parts: list[Match] = []
        for argument in arguments:
            part = built(partial(make, argument, notes), [argument])
            parts += part.any if isinstance(part, AnyOf) else (part,)
        return either(tuple(parts))

    return made


def _host(argument: Argument, _notes: Notes) -> Match:
    if "*" in argument.text:
        raise RuleError(
            f"in the v2 syntax {argument.text!r} is no wildcard and never holds",
            argument.offset,
            "take it away, or write HostRegexp(`{any:.+}`), or use the v3 syntax",
        )
    return Host(host=argument.text)


_PLAIN_HOST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._")


def _host_regexp(argument: Argument, notes: Notes) -> Match:
    if _PLAIN_HOST.issuperset(argument.text):
        return Host(host=argument.text)
    return HostRegex(host_regex=_host_pattern(argument, notes))


def _rooted(argument: Argument) -> None:
    if not argument.text.startswith("/"):
        raise RuleError(f"the path {argument.text!r} must begin with '/'", argument.offset, "write a '/' before it")


def _path(argument: Argument, _notes: Notes) -> Match:
    _rooted(argument)
    pattern = _template(argument, "[^/]+")
    return PathIs(path=PathMatch(exact=argument.text) if pattern is None else PathMatch(regex=f"^{pattern}$"))


def _path_prefix(argument: Argument, _notes: Notes) -> Match:
    _rooted(argument)
    pattern = _template(argument, "[^/]+")
    return PathIs(path=PathMatch(prefix=argument.text) if pattern is None else PathMatch(regex=f"^{pattern}"))


def _pairs(call: Call, arguments: Sequence[Argument]) -> dict[str, tuple[Argument, Argument]]:
    """Name and value in turn; of a name that is given twice, Traefik keeps the last. Raises RuleError."""
    if len(arguments) % 2:
        raise RuleError(f"{call.name} takes pairs of name and value, not {len(arguments)} arguments", call.offset)
    return {name.text: (name, value) for name, value in zip(arguments[::2], arguments[1::2], strict=True)}


def _every(parts: Sequence[Match]) -> Match:
    match = both(tuple(parts))
    assert match is not None
    return match


def _header(name: Argument, value: Argument) -> Match:
    return Header(header=HeaderMatch(name=name.text, value=value.text))


def _header_regexp(name: Argument, value: Argument) -> Match:
    return read_header_regex(name.text, value.text)


def _headers(call: Call, arguments: Sequence[Argument], _notes: Notes) -> Match:
    return _every([built(partial(_header, *pair), pair) for pair in _pairs(call, arguments).values()])


def _headers_regexp(call: Call, arguments: Sequence[Argument], _notes: Notes) -> Match:
    return _every([built(partial(_header_regexp, *pair), pair) for pair in _pairs(call, arguments).values()])


def _query(call: Call, arguments: Sequence[Argument], notes: Notes) -> Match:
    halves = [
        Argument(half, argument.offset) for argument in arguments for half in argument.text.split("=", 1)
    ]  # what the split leaves is paired anew, so that Query(`k`, `v`) is k=v
    if len(halves) % 2:
        instead = "write Query(`name=value`), or Query(`name={any:.*}`) for any value"
        raise RuleError(f"{call.name} takes name=value, and there is an odd number of names and values", call.offset, instead)
    notes[QUERY_NOTE] = None
    return _every([_query_pair(name, value) for name, value in zip(halves[::2], halves[1::2], strict=True)])


def _query_pair(name: Argument, value: Argument) -> Match:
    if _variables(name):
        raise RuleError(f"the name of a query parameter cannot be a template: {name.text!r}", name.offset)
    pattern = _template(value, ".*") if value.text else ".*"
    if pattern is None:
        return built(lambda: Query(query=ValueMatch(name=name.text, value=value.text)), (name, value))
    return built(lambda: Query(query=ValueMatch(name=name.text, regex=f"^{pattern}$")), (name, value))


def _sni(call: Call, arguments: Sequence[Argument], notes: Notes) -> Match:
    def one(argument: Argument, _notes: Notes) -> Match:
        if "*" in argument.text:
            raise RuleError(
                f"in the v2 syntax {argument.text!r} beside other names, or as a part of one, is not what it looks like",
                argument.offset,
                "write HostSNI(`*`) alone, or HostSNIRegexp(`{any:.+}`)",
            )
        return ServerNameIs(sni=argument.text)

    if arguments[0].text == "*":
        return ServerNameIs(sni="*")
    return _each(one)(call, arguments, notes)


_HTTP: Mapping[str, Make] = {
    "Host": _each(_host),
    "HostHeader": _each(_host),
    "HostRegexp": _each(_host_regexp),
    "Path": _each(_path),
    "PathPrefix": _each(_path_prefix),
    "Method": _each(lambda argument, _: Method(method=argument.text)),
    "Headers": _headers,
    "HeadersRegexp": _headers_regexp,
    "Query": _query,
    "ClientIP": _each(lambda argument, _: ClientIP(client_ip=read_network(argument.text))),
}
_TCP: Mapping[str, Make] = {
    "HostSNI": _sni,
    "HostSNIRegexp": _each(lambda argument, notes: ServerNameRegex(sni_regex=_host_pattern(argument, notes))),
    "ClientIP": _each(lambda argument, _: ClientIP(client_ip=read_network(argument.text))),
    "ALPN": _each(lambda argument, _: Alpn(alpn=read_alpn(argument.text))),
}
