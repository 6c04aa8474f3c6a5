"""An explanation in words for a terminal, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction

from pinfeather import _connection, _curl, _request_json
from pinfeather._explanation import Explanation, Given, Leads, Place
from pinfeather._render import plain
from pinfeather.model.decide import Decision
from pinfeather.model.decide_tcp import Connection

_MOST = 10
"""Routes and canaries that did not take the request, a screen."""


def text(found: Explanation, *, every: bool = False) -> str:
    """For people. `every`: all routes that were asked, not the first ten."""
    return "".join(f"{plain(line)}\n" for line in _lines(found, every))


def _lines(found: Explanation, every: bool) -> Iterator[str]:
    asked = found.asked
    tcp = isinstance(asked, Connection)
    yield _connection.line(asked, None, found.states) if isinstance(asked, Connection) else _curl.line(asked, found.states)
    yield f"  on the entry point {asked.entry_point or '(none)'}" + (", over TLS" if asked.tls else "")
    yield ""
    for lead in found.leads:
        yield f"{shown(lead.share):>6}  {_outcome(lead.decision, tcp)}"
        for cookie in lead.cookies:
            yield f"          Set-Cookie: {cookie.text}"
            yield f"            since {cookie.why}"
    if found.middlewares:
        yield ""
        yield "It passes, in this order:"
        for passed in found.middlewares:
            inside = f", of the chain {passed.inside}" if passed.inside else ""
            yield f"  {passed.name} ({passed.kind}{inside}){_at(passed.place)}"
    yield ""
    yield "Why:"
    for step in found.steps:
        share = "" if step.share is None or step.share == 1 else f"{shown(step.share)}: "
        yield f"  {share}{step.said}{_at(step.place)}"
    if not found.steps:
        yield "  no route holds"
    yield from _losers(found, every)
    for note in found.notes:
        yield ""
        yield f"Note: {note}."


def _losers(found: Explanation, every: bool) -> Iterator[str]:
    rivals = [lost for lost in found.lost if lost.would_hold]
    failed = [lost for lost in found.lost if not lost.would_hold]
    near = [lost for lost in failed if lost.part not in ("hosts", "entry_points")] or failed
    for title, losers in (("Would have taken it too:", rivals), ("Did not hold:", near)):
        if not losers:
            continue
        yield ""
        yield title
        shown_ = losers if every else losers[:_MOST]
        yield from (f"  {lost.name}: {lost.why}{_at(lost.place)}" for lost in shown_)
        if len(losers) > len(shown_):
            yield f"  ... and {len(losers) - len(shown_)} more; --all shows every one"
    if len(near) < len(failed):
        yield f"  ({len(failed) - len(near)} more are for other hosts or entry points)"


def _outcome(decision: Decision, tcp: bool) -> str:
    if decision.reason == "no route":
        return "closed: no TCP route takes it" if tcp else "404: no route takes it"
    if decision.reason == "external":
        return f"{decision.service}, which belongs to another provider: nothing is known of it here"
    if decision.status != 200:
        return f"{'closed' if tcp else decision.status}: {decision.service or 'the split'} has no server that is up"
    return f"{decision.service} at {decision.server_key}"


def shown(share: Fraction) -> str:
    """A share as people say it; a fraction where a percentage of one decimal would round it."""
    percent = share * 100
    if (percent * 10).denominator == 1:
        return f"{float(percent):g} %"
    return f"{share.numerator}/{share.denominator}"


def _at(place: Place) -> str:
    if place.span is None:
        return f"   [{place.text}]" if place.path else ""
    line = f":{place.span.line}" if place.span.line else ""
    return f"   [{place.span.file}{line}]"


def as_json(found: Explanation) -> str:
    """For programs: shares are fractions as text (`9/10`), places have file, line and column where they were read from one."""
    tree = {
        "request": _request_json.written(found.asked, found.states),
        "won": found.won,
        "outcomes": [_lead(lead) for lead in found.leads],
        "middlewares": [{"name": it.name, "kind": it.kind, "inside": it.inside, **_place(it.place)} for it in found.middlewares],
        "steps": [
            {"kind": it.kind, "holds": it.holds, "said": it.said, "share": None if it.share is None else str(it.share), **_place(it.place)}
            for it in found.steps
        ],
        "lost": [
            {"name": it.name, "why": it.why, "would_hold": it.would_hold, "part": it.part, "numbers": it.numbers, **_place(it.place)}
            for it in found.lost
        ],
        "notes": list(found.notes),
    }  # fmt: skip
    return json.dumps(tree, indent=2, ensure_ascii=True) + "\n"


def _lead(lead: Leads) -> dict[str, object]:
    decision = lead.decision
    return {
        "share": str(lead.share),
        "status": decision.status,
        "reason": decision.reason,
        "route": decision.route,
        "canary": decision.canary,
        "service": decision.service,
        "server": decision.server_key,
        "cookies": [_cookie(each) for each in lead.cookies],
    }


def _cookie(given: Given) -> dict[str, str]:
    return {"name": given.name, "to": given.to, "set_cookie": given.text, "why": given.why}


def _place(place: Place) -> dict[str, object]:
    where: dict[str, object] = {"path": place.text}
    if place.span is not None:
        where |= {"file": place.span.file, "line": place.span.line, "column": place.span.column}
    return where
