"""Clients that have cookies: those that were given some and come back, those with forged ones, and those whose cookies are made up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from math import ceil, log

from pinfeather.verify.binomial import to_see
from pinfeather.verify.column import Client, Column, Kept
from pinfeather.verify.judging import Cell, Observed, Row, codes, judge, nearly, notes, signature
from pinfeather.verify.questions import LEAST, Question
from pinfeather.verify.who import Asked

AGAIN = 10
"""Requests of one client that comes back, at least."""
MOST_AGAIN = 140
"""Requests of all clients of one question that come back, at most."""
CLIENTS = 4
"""So many clients of one question come back, each from another server where there are so many."""
FORGED = "pinfeather-forged"
LEFT_AS_IT_IS = "-"
Each = Callable[[Callable[[int, Column], Cell]], tuple[Cell, ...]]
"""Asks all proxies at the same time."""


def come_back(asked: Sequence[Asked]) -> list[Asked]:
    """The questions whose clients come back: the first that each route or canary answers with these cookies, at each entry point."""
    found: dict[object, Asked] = {}
    for each in asked:
        if each.sticky and each.question.request.method == "GET":
            found.setdefault((each.rungs, tuple((one.server, one.bound) for one in each.base)), each)
    return list(found.values())


def needed(asked: Sequence[Asked], doubt: Fraction) -> int:
    """How many requests their clients send, at most."""
    return sum(_most(each, doubt) + LEAST + 2 * CLIENTS for each in come_back(asked))


def _most(asked: Asked, doubt: Fraction) -> int:
    usual = max(one.share for one in asked.base)
    return max(CLIENTS * AGAIN, min(MOST_AGAIN, to_see(1 - usual, doubt)) if usual < 1 else 0)


def rows(base: Column, asked: Asked, every: Sequence[Asked], each: Each, doubt: Fraction) -> Iterator[Row]:
    """What becomes of the clients of one question."""
    yield _again(asked, each, doubt)
    yield _forged(base, asked, each, doubt)
    yield from _switched(asked, every, each)


def clients(column: Column, at: int, asked: Asked) -> list[Client]:
    """The first client of each server, those with the most cookies first."""
    first: dict[str, Client] = {}
    for client in _given(at, asked):
        if not column.doubtful(client):
            first.setdefault(client.name, client)
    return list(first.values())[:CLIENTS]


def _given(at: int, asked: Asked) -> list[Client]:
    """Who was given a cookie."""
    return [client for client in asked.judged[at].clients if client.jar] if asked.different[at] is None else []


def _again(asked: Asked, each: Each, doubt: Fraction) -> Row:
    def ask(at: int, column: Column) -> Cell:
        if (different := asked.different[at]) is not None:
            return different
        some = clients(column, at, asked)
        if not some and _given(at, asked):
            return Cell("the cookie is of several services", state="not asked")  # and nobody knows what it binds to in each
        if not some:
            return Cell("nobody was given a cookie", ("no fresh client was answered and given a cookie",), "WRONG")
        times = _times(some, asked.judged[at].clients, doubt)
        faults = [fault for client in some for fault in stayed(column, asked.question, client, times)]
        return _counted(column, len(some) * times, faults)

    return Row("  the same clients again", "where they were, no new cookie", each(ask))


def _times(some: Sequence[Client], fresh: Sequence[Client], doubt: Fraction) -> int:
    """So often that chance does not explain it when clients that nobody pins come to the same servers each time."""
    seen = Counter(client.name for client in fresh)
    told = -sum(log(seen[client.name] / seen.total()) for client in some)
    wanted = ceil(-log(float(doubt) / 2) / told) if told > 0 else AGAIN
    return max(AGAIN, min(wanted, MOST_AGAIN // len(some)))


def _forged(base: Column, asked: Asked, each: Each, doubt: Fraction) -> Row:
    def ask(at: int, column: Column) -> Cell:
        if (different := asked.different[at]) is not None:
            return different
        fresh = column.expected(asked.question.request, None, user=asked.question.user)
        jar = {column.pools[each.cookie.name][0].name: Kept(FORGED, "", "") for one in fresh for each in one.bound}
        return _as(column, asked.question, Client(jar=jar), LEAST, doubt)

    names = ", ".join(dict.fromkeys(base.pools[b.cookie.name][0].name for one in asked.base for b in one.bound))
    return Row(f"  with {names} forged", "as if it were not there", each(ask))


def _as(column: Column, question: Question, client: Client, number: int, doubt: Fraction) -> Cell:
    """So many requests of a client, without counting who answers."""
    expected = column.expected(question.request, client, user=question.user)
    came = []
    for _ in range(number):
        answer = column.ask(question.request, client.cookies, question.user)
        came.append(Observed(answer, column.whose(answer, client.cookies, expected), client.cookies))
    judged = judge(column, expected, came, doubt, count=False)
    return Cell.of(f"{number - len(judged.faults)} of {number}", judged.faults)


def _switched(asked: Asked, every: Sequence[Asked], each: Each) -> Iterator[Row]:
    """Clients of one question who ask another one with their cookies, and then the first again: testers for one request."""
    own = asked.question.request
    if any(name == "cookie" for name, _ in own.headers):
        return
    for other in every:
        asks = other.question.request
        same = (asks.host, asks.path, asks.query, asks.entry_point, asks.tls, asks.method) == (
            own.host, own.path, own.query, own.entry_point, own.tls, own.method,
        )  # fmt: skip
        if not same or asks.headers == own.headers or {one.who for one in other.base} == {one.who for one in asked.base}:
            continue

        def ask(at: int, column: Column, other: Asked = other) -> Cell:
            different = asked.different[at] or other.different[at]
            if different is not None:
                return different
            some = clients(column, at, asked)
            faults = []
            for client in some:
                there, client = one_step(column, other.question, client)
                back, _ = one_step(column, asked.question, client)
                faults.append([*there, *back])
            return Cell.of(f"{faults.count([])} of {len(some)}", [fault for each in faults for fault in each])

        words = " ".join(f"-b {value}" if name == "cookie" else f"-H '{name}: {value}'" for name, value in asks.headers)
        then = " or ".join(dict.fromkeys(one.who for one in other.base))
        back = " or ".join(dict.fromkeys(one.who for one in asked.base))
        yield Row(f"  the same clients with {words}, then without", f"{then}, then {back}", each(ask))
        return


# Clients that are bound -----------------------------------------------------------------------------------------------


def bound(base: Column, question: Question, each: Each, doubt: Fraction) -> Row | None:
    """Clients whose cookies are made up here, where a proxy's values can be computed."""
    whose = _jar(base, question, lambda pool, binding: f"{pool}|{binding}")
    if whose is None:
        return None
    wanted = base.expected(question.request, whose)
    if any(one.unknown for one in wanted):
        return None

    def ask(_: int, column: Column) -> Cell:
        if column.value is None or column.address(question.request.entry_point) is None:
            return Cell(LEFT_AS_IT_IS, state="not asked")
        client = _jar(column, question, column.value)
        if client is None or signature(column, column.expected(question.request, client)) != signature(base, wanted):
            said = codes(base, column, wanted, "loss.")
            return Cell(said or LEFT_AS_IT_IS, state="loss" if said else "not asked")
        cell = _as(column, question, client, LEAST, doubt)
        return nearly(_counted(column, LEAST, cell.faults), base, column, wanted)

    return Row(question.text, " or ".join(dict.fromkeys(one.said for one in wanted)), each(ask), notes(base, wanted))


def _jar(column: Column, question: Question, value: Callable[[str, str], str]) -> Client | None:
    """A client that is bound as the question says."""
    routes = {one.route for one in column.expected(question.request)}
    client = Client()
    for name, binding in question.bound:
        here = column.keys.get(binding, binding)
        pools = [pool for pool, (cookie, known) in column.pools.items() if cookie.name == name and here in known]
        pools.sort(key=lambda pool: pool.partition(":")[2] not in routes)
        client.jar[name] = Kept(value(pools[0], here), pools[0], here) if pools else Kept(FORGED, "", "")
    return client


# One client -----------------------------------------------------------------------------------------------------------


def _counted(column: Column, number: int, faults: Sequence[str]) -> Cell:
    """So many requests of clients that have cookies."""
    if column.blind and not faults:
        return Cell(f"no new cookie in {number}", state="not asked")
    return Cell.of(f"{number - len(faults)} of {number}", faults)


def one_step(column: Column, question: Question, client: Client) -> tuple[list[str], Client]:
    """One request of a client: what went wrong, and the client with the cookies it has then."""
    expected = column.expected(question.request, client, user=question.user)
    answer = column.ask(question.request, client.cookies, question.user)
    name = column.whose(answer, client.cookies, expected)
    met = column.met(answer, name, expected)
    if not met:
        return [f"the client of {client.name} was answered by {name or answer.text} ({question.text})"], client
    wrong = [list(column.faults(answer, one)) for one in met]
    best = min(range(len(met)), key=lambda at: len(wrong[at]))
    return (["; ".join(wrong[best])] if wrong[best] else []), column.client(answer, name, met[best], client)


def stayed(column: Column, question: Question, client: Client, times: int = AGAIN, down: frozenset[str] = frozenset()) -> list[str]:
    """Come back again and again; what went wrong."""
    faults = []
    expected = column.expected(question.request, client, down, question.user)
    pinned = any(kept.binding == client.server for kept in client.jar.values())
    for _ in range(times):
        answer = column.ask(question.request, client.cookies, question.user)
        name = column.whose(answer, client.cookies, expected)
        met = column.met(answer, name, expected)
        if not met or (pinned and name != client.name):
            faults.append(f"the client of {client.name} was answered by {name or answer.text}")
        elif wrong := list(column.faults(answer, met[0])):
            faults.append("; ".join(wrong))
    return faults
