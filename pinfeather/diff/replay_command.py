"""`pinfeather diff --replay`: an access log, counted, in print."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator

from pinfeather import _curl, _request_json
from pinfeather._progress import Progress
from pinfeather.diff import logs, render
from pinfeather.diff.changes import Found
from pinfeather.diff.replay import Count, Replay, Tally
from pinfeather.diff.report import origin
from pinfeather.diff.sides import Side

SHOWN = 10


def replayed(given: argparse.Namespace, before: Side, after: Side, names: tuple[str, str]) -> int:
    """Exit codes: 0 no request differs, and none is undecided, 1 not so. Raises FileError and UsageError."""
    keeps = [word.strip() for text in given.log_keeps for word in text.split(",") if word.strip()]
    replay = Replay(before, after, keeps)
    with Progress() as progress, logs.opened(given.replay) as stream:
        progress.stage(f"reading {given.replay}")
        tally = replay.count(logs.lines(stream, given.replay))
    counts = sorted(tally.counts.values(), key=lambda one: (one.change.kind, -one.requests))
    if given.report == "json":
        sys.stdout.write(_json(tally, counts, names))
    else:
        written = "\n".join(_lines(tally, counts, (before, after), given)) + "\n"
        sys.stdout.write(written if given.report == "text" else f"```\n{written}```\n")
    if tally.unusable:
        sys.stderr.write(f"pinfeather: {tally.unusable} lines of {given.replay} are not counted; the first is {tally.first_problem}\n")
    return 1 if counts or tally.undecided else 0


def _lines(tally: Tally, counts: list[Count], sides: tuple[Side, Side], given: argparse.Namespace) -> Iterator[str]:
    changed = sum(one.requests for one in counts)
    clients = set[str]().union(*(one.clients for one in counts))
    more = any(one.more_clients for one in counts)
    yield f"{changed:,} of {tally.total:,} requests differ, {'at least ' if more else ''}{len(clients):,} clients; {tally.same:,} do not."
    for count in counts if given.all else counts[:SHOWN]:
        found = _found(count)
        yield ""
        who = f"{'at least ' if count.more_clients else ''}{len(count.clients):,} clients"
        yield f"{count.requests:,} requests, {who}: {render.headline(found)}"
        yield f"  {_curl.line(render.asked(found))}   (line {count.line})"
        one, other = render.both(count.change)
        yield f"  before: {one}{render.at(origin(sides[0], count.before))}"
        yield f"  now:    {other}{render.at(origin(sides[1], count.after))}"
        if count.change.moved and count.change.moved != 1:
            yield f"  were each of a new client, {float(count.moved):,.10g} of them would end at another server"
    if not given.all and len(counts) > SHOWN:
        yield ""
        yield f"... and {len(counts) - SHOWN} more classes; --all shows every one"
    for why, number in tally.undecided.items():
        yield ""
        yield f"{number:,} requests are undecided: the log does not say {why}. Say --log-keeps NAME where it keeps a header."


def _found(count: Count) -> Found:
    return Found(count.region, count.before, count.after, count.change)


def _json(tally: Tally, counts: list[Count], names: tuple[str, str]) -> str:
    tree = {
        "before": names[0],
        "after": names[1],
        "requests": tally.total,
        "same": tally.same,
        "unusable": tally.unusable,
        "undecided": tally.undecided,
        "classes": [
            {
                "kind": one.change.kind.name.lower(),
                "said": render.headline(_found(one)),
                "requests": one.requests,
                "moved": str(one.moved),
                "clients": len(one.clients),
                "clients_are_more": one.more_clients,
                "first_line": one.line,
                "request": _request_json.written(render.asked(_found(one))),
            }
            for one in counts
        ],
    }
    return json.dumps(tree, indent=2, ensure_ascii=True) + "\n"
