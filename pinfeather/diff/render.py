"""A difference in print: for people, for a pull request's comment, and for programs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction

from pinfeather import _connection, _curl, _request_json
from pinfeather._explain_render import shown
from pinfeather._render import plain
from pinfeather.diff.changes import SAID, Change, Found, Kind
from pinfeather.diff.pins import Fate
from pinfeather.diff.report import Class, Difference, moves, origin
from pinfeather.diff.sides import Landing
from pinfeather.diff.tcp import Ends, TcpFound
from pinfeather.model.decide import Request
from pinfeather.model.diagnostics import Span

MOST = 10
"""Classes a screen; the rest is counted."""
FATES = {Fate.KEPT: "stay", Fate.MOVED: "are moved", Fate.REDRAWN: "are drawn anew", Fate.REFUSED: "are refused"}


def headline(each: Found) -> str:
    """One sentence."""
    change = each.change
    if change.kind is Kind.MOVED:
        ((lost, gained, share),) = moves(change)
        who = "everybody" if share == 1 else f"{shown(share)} of new clients"
        return f"{who} {'goes' if share == 1 else 'go'} to {gained}, and no longer to {lost}"
    dropped, added = change.guards
    if change.kind is Kind.UNGUARDED and 0 < change.let_in < 1:
        return f"{shown(change.let_in)} more of new clients are let in without {_named(dropped)}"
    if change.kind is Kind.UNGUARDED:
        return f"let in without {_named(dropped)}, which was asked for before"
    if change.kind is Kind.OTHERWISE_GUARDED:
        return f"asked for {_named(added)}, and no longer for {_named(dropped)}"
    if change.kind is Kind.GUARDED:
        return f"asked for {_named(added)} now"
    return SAID[change.kind]


def _named(contents: Sequence[str]) -> str:
    return " and ".join(dict.fromkeys(text.partition(" ")[0] for text in contents))


def text(found: Difference, names: tuple[str, str], *, every: bool = False) -> str:
    return "\n".join(_lines(found, names, every)) + "\n"


def _lines(found: Difference, names: tuple[str, str], every: bool) -> Iterator[str]:
    yield verdict(found, names)
    shown_ = found.classes if every else found.classes[:MOST]
    for number, each in enumerate(shown_, 1):
        yield ""
        yield f"{number}. {headline(each.found)}"
        yield from (f"   {line}" for line in _class(found, each))
    if len(found.classes) > len(shown_):
        yield ""
        yield f"... and {len(found.classes) - len(shown_)} more classes; --all shows every one"
    for one in found.tcp:
        yield ""
        yield from _tcp(one)
    if found.pools:
        yield ""
        yield "Pinned clients:"
        for pool in found.pools:
            yield f"  {pool.cookie} of the {pool.name.replace(':', ' ', 1)}: drawn anew, {pool.why}: {', '.join(pool.lost)}"
            if pool.kept:
                yield f"    kept: {', '.join(pool.kept)}"
    yield from _limits(found)


def verdict(found: Difference, names: tuple[str, str]) -> str:
    before, after = names
    if found.equal and found.unread:
        return f"{before} and {after} do the same with every request, as far as they could be read: not all of them could."
    if found.equal and found.unproved:
        regexes = _counted(len(found.unproved), "regex", "regexes", "")
        return f"{before} and {after} do the same with every request that was tried, of {regexes} by examples."
    if found.equal:
        return f"{before} and {after} do the same with every request."
    parts = [_counted(len(found.classes), "class", "classes", "of requests")] if found.classes else []
    parts += [_counted(len(found.tcp), "kind", "kinds", "of TCP connections")] if found.tcp else []
    parts += [_counted(len(found.pools), "sticky cookie", "sticky cookies", "")] if found.pools else []
    return f"{before} and {after} differ: {', '.join(parts) or 'not everything was looked at'}."


def _counted(number: int, one: str, many: str, of: str) -> str:
    return f"{number} {one if number == 1 else many}{f' {of}' if of else ''}"


def _class(found: Difference, each: Class) -> Iterator[str]:
    yield _curl.line(asked(each.found))
    one, other = each.found.before, each.found.after
    before, after = both(each.change)
    yield f"before: {before}{at(origin(found.before, one))}"
    yield f"now:    {after}{at(origin(found.after, other))}"
    if each.pinned:
        yield f"of those who are pinned: {fates(each)}"
    if each.alike:
        yield f"the same is true of {_counted(each.alike, 'other kind', 'other kinds', 'of requests')}"


def asked(each: Found) -> Request:
    """The request that is shown, with what its client is bound to."""

    return each.region.request._replace(bindings=each.region.bound)


def fates(each: Class) -> str:
    if len(each.pinned) == 1:
        return f"all {FATES[each.pinned[0][0]]}"
    return ", ".join(f"{shown(share)} {FATES[fate]}" for fate, share in each.pinned)


def both(change: Change) -> tuple[str, str]:
    """What happens on either side: services, or servers where the services are the same; of the rest only what differs."""
    sides = change.before, change.after
    names = [_shares_of(rows, lambda one: one.service or str(one.status)) for rows in sides]
    if names[0] == names[1] and change.moved:
        names = [_shares_of(rows, lambda one: one.server or str(one.status)) for rows in sides]
    said = [_tcp_ends(tuple(row.items())) for row in names]
    for word, parts in (("through", _passes), ("setting", _cookies)):
        mine = [parts(rows) for rows in sides]
        if mine[0] != mine[1] and all(one.status == 200 for rows in sides for one, _ in rows):
            for place in (0, 1):
                only = [part for part in mine[place] if part not in mine[1 - place]] or mine[place]
                said[place] += f", {word} {' and '.join(only) or 'nothing'}"
    return said[0], said[1]


Rows = Sequence[tuple[Landing, Fraction]]


def _shares_of(rows: Rows, name: Callable[[Landing], str]) -> dict[str, Fraction]:
    shares: dict[str, Fraction] = {}
    for one, share in rows:
        shares[name(one)] = shares.get(name(one), Fraction(0)) + share
    return shares


def _passes(rows: Rows) -> list[str]:
    return list(dict.fromkeys(part for one, _ in rows for part in one.passes))


def _cookies(rows: Rows) -> list[str]:
    return list(dict.fromkeys(text for one, _ in rows for text in one.cookies))


def at(span: Span | None) -> str:
    return "" if span is None else f"   [{span.file}{f':{span.line}' if span.line else ''}]"


def _tcp(one: TcpFound) -> Iterator[str]:
    yield f"TCP: {_connection.line(one.connection)}"
    yield f"   before: {_tcp_ends(one.before[1])}"
    yield f"   now:    {_tcp_ends(one.after[1])}"


def _tcp_ends(ends: Ends) -> str:
    return ", ".join(end if share == 1 else f"{shown(share)} {end}" for end, share in ends)


def _limits(found: Difference) -> Iterator[str]:
    if found.unread:
        yield ""
        yield "Not read, so not compared:"
        yield from (f"  {line}" for line in found.unread[:MOST])
        if len(found.unread) > MOST:
            yield f"  ... and {len(found.unread) - MOST} more"
    if found.unproved:
        yield ""
        yield "Regexes in what one side alone has are told apart by examples, which proves nothing of the rest:"
        yield from (f"  {regex}" for regex in found.unproved[:MOST])
    if found.cut:
        yield ""
        yield "There is more than was looked at: the conditions of one host and path can be combined in too many ways."


# Markdown and JSON ------------------------------------------------------------------------------------------------------------


def markdown(found: Difference, names: tuple[str, str], *, every: bool = False) -> str:
    """For a pull request's comment. Names and values are whatever a document says: they stand in code blocks that nothing in them ends."""
    lines = [f"### {escaped(verdict(found, names))}", ""]
    for each in found.classes if every else found.classes[:MOST]:
        lines += [f"- **{escaped(headline(each.found))}**", "", *_fenced(_class(found, each))]
    if not every and len(found.classes) > MOST:
        lines += ["", f"and {len(found.classes) - MOST} more classes"]
    for one in found.tcp:
        lines += ["- TCP", "", *_fenced(_tcp(one))]
    for pool in found.pools:
        said = f"{pool.cookie} of the {pool.name.replace(':', ' ', 1)}: clients are drawn anew: {pool.why}"
        lines += [f"- {escaped(said)}"]
    if limits := list(_limits(found)):
        lines += ["", *_fenced(limits[1:], indent="")]
    return "\n".join(lines).rstrip() + "\n"


def _fenced(block: Iterable[str], indent: str = "  ") -> Iterator[str]:
    texts = [plain(text) for text in block]
    longest = max((len(run) for text in texts for run in _TICKS.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    yield from (f"{indent}{line}" for line in (fence, *texts, fence))


def escaped(text: str) -> str:
    """A text of which Markdown, HTML and a forge's own signs (@, #) make nothing."""
    return _SIGNS.sub(lambda found: f"&#{ord(found[0])};", plain(text))


_TICKS = re.compile("`+")
_SIGNS = re.compile(r"[\\`*\[\]<>#|~&@]")


def as_json(found: Difference, names: tuple[str, str]) -> str:
    """For programs: shares are fractions as text (`9/10`)."""
    tree = {
        "before": names[0],
        "after": names[1],
        "equal": found.equal and not found.unproved and not found.unread,
        "classes": [
            {
                "kind": each.change.kind.name.lower(),
                "said": headline(each.found),
                "request": _request_json.written(asked(each.found)),
                "curl": _curl.line(asked(each.found)),
                "moved": str(each.change.moved),
                "before": {"ends": _rows(each.change.before), **_place(origin(found.before, each.found.before))},
                "after": {"ends": _rows(each.change.after), **_place(origin(found.after, each.found.after))},
                "pinned": {fate.value: str(share) for fate, share in each.pinned},
                "alike": each.alike,
            }
            for each in found.classes
        ],
        "tcp": [
            {"connection": _connection.line(one.connection), "before": _shares(one.before[1]), "after": _shares(one.after[1])}
            for one in found.tcp
        ],
        "sticky": [{"cookie": it.cookie, "of": it.name, "kept": list(it.kept), "lost": list(it.lost), "why": it.why} for it in found.pools],
        "unproved": list(found.unproved),
        "unread": list(found.unread),
        "cut": found.cut,
    }
    return json.dumps(tree, indent=2, ensure_ascii=True) + "\n"


def _rows(rows: Rows) -> list[dict[str, object]]:
    return [
        {
            "share": str(share),
            "status": one.status,
            "service": one.service,
            "server": one.server,
            "middlewares": [part.partition(" ")[0] for part in one.passes],
            "cookies": list(one.cookies),
        }
        for one, share in rows
    ]


def _shares(ends: Ends) -> dict[str, str]:
    return {end: str(share) for end, share in ends}


def _place(span: Span | None) -> dict[str, object]:
    return {} if span is None else {"file": span.file, "line": span.line, "column": span.column}
