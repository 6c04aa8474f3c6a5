"""Asks proxies the questions, all proxies at the same time, and judges what they answer.

Questions are asked one after the other, never mixed: a proxy that gives out servers in turn would else give each question its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypeVar

from pinfeather.model.sticky import set_cookie
from pinfeather.verify.asking import Unfit, upgrade
from pinfeather.verify.binomial import DOUBT
from pinfeather.verify.column import Client, Column, Expected, Kept
from pinfeather.verify.effects import basic
from pinfeather.verify.judging import Cell, Observed, Row, in_words, judge, notes
from pinfeather.verify.naming import Known
from pinfeather.verify.outage import Outage, closed
from pinfeather.verify.questions import LEAST, Plan, Question, counts, tls_points
from pinfeather.verify.who import Asked, name_servers

AGAIN = 10
"""Requests of one client that comes back."""
CLIENTS = 4
"""So many clients of one question come back, each from another server where there are so many."""
FORGED = "pinfeather-forged"
LEFT_AS_IT_IS = "-"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is asked beside the questions themselves."""

    doubt: Fraction = DOUBT
    websocket: bool = False
    echo: bool = False
    """Whether servers send back what a WebSocket tells them."""
    outage: Outage | None = None


@dataclass(slots=True)
class Measured:
    """The table, and a client of each proxy for lines to copy."""

    rows: list[Row] = field(default_factory=list)
    clients: list[tuple[Question, Client] | None] = field(default_factory=list)
    tester: Question | None = None
    """Who is sent elsewhere for a cookie or a header of theirs."""
    left: dict[str, int] = field(default_factory=dict)


class Measuring:
    """One table in the making. `base`: what the document itself says; `columns`: the proxies."""

    def __init__(self, base: Column, columns: Sequence[Column], plan: Plan, wishes: Wishes) -> None:
        """Raises Unfit where a share is too small to be measured."""
        self.base, self.columns, self.plan, self.wishes = base, columns, plan, wishes
        fresh = [question for question in plan.questions if not question.bound]
        expected = [base.expected(question.request, None, user=question.user) for question in fresh]
        exact = all(column.naming.exact for column in columns)
        try:
            numbers = counts(expected, wishes.doubt, exact)
        except ValueError as problem:
            raise Unfit(f"{problem}: that is more than is asked here; a weight is that small") from None
        self.asked = []
        for question, one, number in zip(fresh, expected, numbers, strict=True):
            unknown = next((each.unknown for each in one if each.unknown), "")
            if unknown:
                plan.leave(unknown)
                continue
            self.asked.append(Asked(question, one, number, tuple(self._different(column, question, one) for column in columns)))
        self.bound = [question for question in plan.questions if question.bound]

    @property
    def needed(self) -> int:
        """How many requests one proxy is sent, at most; without the loss of a server."""
        total = sum(each.count for each in self.asked)
        sticky = {tuple(one.server for one in each.base) for each in self.asked if each.sticky}
        total += len(sticky) * (CLIENTS * AGAIN + LEAST + 2 * CLIENTS)
        return total + len(self.bound) * LEAST + (len(self.asked) if self.wishes.websocket else 0)

    def run(self) -> Measured:
        """Ask everything. Raises Unfit where nobody says who answered."""
        found = Measured(left=self.plan.left)
        with ThreadPoolExecutor(max(1, len(self.columns))) as pool:

            def each(work: Callable[[int, Column], T]) -> tuple[T, ...]:
                return tuple(pool.map(work, range(len(self.columns)), self.columns))

            observed = [each(lambda at, column, asked=asked: self._fresh(at, column, asked)) for asked in self.asked]  # type: ignore[misc]
            name_servers(self.columns, self.asked, observed, self.wishes.doubt)
            for asked, answers in zip(self.asked, observed, strict=True):
                asked.judged = [
                    judge(column, column.expected(asked.question.request, None, user=asked.question.user), came, self.wishes.doubt)
                    for column, came in zip(self.columns, answers, strict=True)
                ]
            told: set[tuple[str, ...]] = set()
            for asked in self.asked:
                found.rows.append(self._row(asked))
                kind = tuple(text for one in asked.base for text in (one.server, *self.base.texts(one)))
                if asked.sticky and asked.question.request.method == "GET" and kind not in told:
                    told.add(kind)
                    found.rows.append(self._again(asked, each))
                    found.rows.append(self._forged(asked, each))
                    found.rows += self._switched(asked, each)
            if self.wishes.websocket:
                found.rows += self._sockets(each)
            found.rows += self._names()
            if self.wishes.outage is not None:
                found.rows += self._outages(self.wishes.outage, pool)
            found.rows += [row for question in self.bound if (row := self._bound(question, each)) is not None]
        found.tester = self._tester()
        found.clients = [self._one_client(at) for at in range(len(self.columns))]
        return found

    # Questions of fresh clients --------------------------------------------------------------------------------------

    def _fresh(self, at: int, column: Column, asked: Asked) -> list[Observed]:
        if asked.different[at] is not None:
            return []
        found = []
        for _ in range(asked.count):
            answer = column.ask(asked.question.request, {}, asked.question.user)
            found.append(Observed(answer, column.whose(answer, {}), {}))
        return found

    def _row(self, asked: Asked) -> Row:
        cells = [different or judged.cell(asked.base) for different, judged in zip(asked.different, asked.judged, strict=True)]
        remark = self._remark(asked.question)
        return Row(
            asked.question.text,
            in_words(asked.base, asked.count, self.wishes.doubt) + (", a trap" if remark else ""),
            tuple(self._near(cell, column, asked.base) for cell, column in zip(cells, self.columns, strict=True)),
            notes(self.base, asked.base),
            remark,
        )

    def _remark(self, question: Question) -> str:
        """What `explain` notes of such a request: a text that is found inside another cookie."""
        from pinfeather._explain import explain
        from pinfeather.model.decide import State

        if not any(name == "cookie" for name, _ in question.request.headers):
            return ""
        return " ".join(note for note in explain(self.base.document, question.request, State()).notes if "found" in note)

    def _different(self, column: Column, question: Question, base: Sequence[Expected]) -> Cell | None:
        """A cell that says why a proxy is not asked: its dialect cannot say what the document says."""
        if column.address(question.request.entry_point) is None:
            codes = self._codes(column, base, "loss.")
            return Cell(codes or "no such entry point", state="loss" if codes else "not asked")
        if column.document is self.base.document:
            return None
        if not column.ends_tls and not question.request.tls and question.request.entry_point in tls_points(self.base.document):
            return Cell("TLS is not ended here", state="not asked")
        if signature(column, column.expected(question.request, None, user=question.user)) == signature(self.base, base):
            return None
        codes = self._codes(column, base, "loss.") or self._codes(column, base, "near.")
        if not codes:
            return Cell("lost, and not said", ("the translation changes this, and reports no loss",), "WRONG")
        return Cell(codes, state="loss")

    def _codes(self, column: Column, base: Sequence[Expected], family: str) -> str:
        """The findings that have to do with a decision: those of its route, services and middlewares; else all of the family."""
        names = {one.route for one in base} | {one.service for one in base}
        routes = {at for at, route in enumerate(self.base.document.routes) if route.name in names}
        said = [finding for finding in column.losses if str(finding.code).startswith(family)]
        close = [finding for finding in said if len(finding.path) > 1 and (finding.path[1] in routes or finding.path[1] in names)]
        return ", ".join(dict.fromkeys(str(finding.code) for finding in (close or said)[:2]))

    def _near(self, cell: Cell, column: Column, base: Sequence[Expected]) -> Cell:
        """What a dialect only nearly says may come out otherwise, and is named."""
        codes = self._codes(column, base, "near.") if cell.faults else ""
        return Cell(f"{codes}: {cell.text}", state="near") if codes else cell

    # The same clients again ------------------------------------------------------------------------------------------

    def _clients(self, at: int, asked: Asked) -> list[Client]:
        """The first client of each server, those with the most cookies first."""
        first: dict[str, Client] = {}
        if asked.different[at] is None:
            for client in asked.judged[at].clients:
                if client.jar and not self.columns[at].doubtful(client):
                    first.setdefault(client.name, client)
        return list(first.values())[:CLIENTS]

    def _again(self, asked: Asked, each: Callable[[Callable[[int, Column], Cell]], tuple[Cell, ...]]) -> Row:
        def come_back(at: int, column: Column) -> Cell:
            if (different := asked.different[at]) is not None:
                return different
            clients = self._clients(at, asked)
            faults = [fault for client in clients for fault in stayed(column, asked.question, client)]
            if not clients:
                return Cell("nobody was given a cookie", ("no fresh client was answered and given a cookie",), "WRONG")
            number = len(clients) * AGAIN
            return Cell.of(f"{number - len(faults)} of {number}", faults)

        cells = each(come_back)
        return Row("  the same clients again", "where they were, no new cookie", cells)

    def _forged(self, asked: Asked, each: Callable[[Callable[[int, Column], Cell]], tuple[Cell, ...]]) -> Row:
        def ask(at: int, column: Column) -> Cell:
            if (different := asked.different[at]) is not None:
                return different
            fresh = column.expected(asked.question.request, None, user=asked.question.user)
            jar = {column.pools[each.cookie.name][0].name: Kept(FORGED, "", "") for one in fresh for each in one.bound}
            return self._as(column, asked.question, Client(jar=jar), LEAST)

        names = ", ".join(dict.fromkeys(self.base.pools[b.cookie.name][0].name for one in asked.base for b in one.bound))
        return Row(f"  with {names} forged", "as if it were not there", each(ask))

    def _as(self, column: Column, question: Question, client: Client, number: int) -> Cell:
        """So many requests of a client, without counting who answers."""
        expected = column.expected(question.request, client, user=question.user)
        came = []
        for _ in range(number):
            answer = column.ask(question.request, client.cookies, question.user)
            came.append(Observed(answer, column.whose(answer, client.cookies), client.cookies))
        judged = judge(column, expected, came, self.wishes.doubt, count=False)
        return Cell.of(f"{number - len(judged.faults)} of {number}", judged.faults)

    def _switched(self, asked: Asked, each: Callable[[Callable[[int, Column], Cell]], tuple[Cell, ...]]) -> Iterator[Row]:
        """Clients of one question who ask another one with their cookies, and then the first again: testers for one request."""
        own = asked.question.request
        if any(name == "cookie" for name, _ in own.headers):
            return
        for other in self.asked:
            there = other.question.request
            same = (there.host, there.path, there.query, there.entry_point, there.tls, there.method) == (
                own.host, own.path, own.query, own.entry_point, own.tls, own.method,
            )  # fmt: skip
            if not same or there.headers == own.headers or {one.who for one in other.base} == {one.who for one in asked.base}:
                continue

            def ask(at: int, column: Column, other: Asked = other) -> Cell:
                different = asked.different[at] or other.different[at]
                if different is not None:
                    return different
                faults, clients = [], self._clients(at, asked)
                for client in clients:
                    for question in (other.question, asked.question):
                        wrong, client = one_step(column, question, client)
                        faults += wrong
                return Cell.of(f"{len(clients) - len(faults)} of {len(clients)}", faults)

            words = " ".join(f"-b {value}" if name == "cookie" else f"-H '{name}: {value}'" for name, value in there.headers)
            then = " or ".join(dict.fromkeys(one.who for one in other.base))
            back = " or ".join(dict.fromkeys(one.who for one in asked.base))
            yield Row(f"  the same clients with {words}, then without", f"{then}, then {back}", each(ask))
            return

    # Clients that are bound -------------------------------------------------------------------------------------------

    def _bound(self, question: Question, each: Callable[[Callable[[int, Column], Cell]], tuple[Cell, ...]]) -> Row | None:
        """Clients whose cookies are made up here, where a proxy's values can be computed."""
        whose = self._jar(self.base, question, lambda pool, binding: f"{pool}|{binding}")
        if whose is None:
            return None
        base = self.base.expected(question.request, whose)
        if any(one.unknown for one in base):
            return None

        def ask(_: int, column: Column) -> Cell:
            if column.value is None or column.address(question.request.entry_point) is None:
                return Cell(LEFT_AS_IT_IS, state="not asked")
            client = self._jar(column, question, column.value)
            if client is None or signature(column, column.expected(question.request, client)) != signature(self.base, base):
                codes = self._codes(column, base, "loss.")
                return Cell(codes or LEFT_AS_IT_IS, state="loss" if codes else "not asked")
            return self._near(self._as(column, question, client, LEAST), column, base)

        return Row(question.text, " or ".join(dict.fromkeys(one.said for one in base)), each(ask), notes(self.base, base))

    def _jar(self, column: Column, question: Question, value: Callable[[str, str], str]) -> Client | None:
        """A client that is bound as the question says."""
        routes = {one.route for one in column.expected(question.request)}
        client = Client()
        for name, binding in question.bound:
            here = column.keys.get(binding, binding)
            pools = [pool for pool, (cookie, known) in column.pools.items() if cookie.name == name and here in known]
            pools.sort(key=lambda pool: pool.partition(":")[2] not in routes)
            client.jar[name] = Kept(value(pools[0], here), pools[0], here) if pools else Kept(FORGED, "", "")
        return client

    # Sockets, names, outages ------------------------------------------------------------------------------------------

    def _sockets(self, each: Callable[[Callable[[int, Column], Cell]], tuple[Cell, ...]]) -> Iterator[Row]:
        wanted = "101, echo" if self.wishes.echo else "101"
        told: set[tuple[str, ...]] = set()
        for asked in self.asked:
            kind = tuple(one.who for one in asked.base)
            if asked.question.request.method != "GET" or kind in told or not all(one.service for one in asked.base):
                continue
            told.add(kind)

            def ask(at: int, column: Column, asked: Asked = asked) -> Cell:
                if (different := asked.different[at]) is not None:
                    return different
                request = asked.question.request
                address = column.address(request.entry_point)
                assert address is not None
                column.pace.take()
                user = asked.question.user
                came = upgrade(address, column.reached(request), {}, basic(user) if user else None, echo=self.wishes.echo)
                return Cell.of(came, () if came == wanted else (f"a WebSocket: {came}, and not {wanted}",))

            yield Row(f"WebSocket: {asked.question.text}", wanted, each(ask))

    def _names(self) -> Iterator[Row]:
        """What was learnt of names, where they were not known."""
        if any(not isinstance(column.naming, Known) for column in self.columns):
            faults = [column.naming.faults() for column in self.columns]
            yield Row("who answered", "each name on one service", tuple(Cell.of("contradictions" if one else "yes", one) for one in faults))

    def _outages(self, outage: Outage, pool: ThreadPoolExecutor) -> Iterator[Row]:
        done: set[str] = set()
        for asked in self.asked:
            if asked.sticky:
                clients = [judged.clients for judged in asked.judged]
                yield from closed(self.base, self.columns, asked.question, clients, asked.different, outage, pool, done)

    def _tester(self) -> Question | None:
        plain = next((asked for asked in self.asked if not asked.question.request.headers and any(one.service for one in asked.base)), None)
        usual = {one.service for one in plain.base} if plain is not None else set()
        for asked in self.asked:
            services = {one.service for one in asked.base}
            if asked.question.request.headers and services < usual and "" not in services:
                return asked.question
        return None

    def _one_client(self, at: int) -> tuple[Question, Client] | None:
        for asked in self.asked:
            if asked.judged and (clients := self._clients(at, asked)):
                return asked.question, clients[0]
        return None


def signature(column: Column, expected: Sequence[Expected]) -> dict[object, Fraction]:
    """What may happen, in words that dialects have in common."""
    found: dict[object, Fraction] = {}
    for one in expected:
        who = column.names.get(one.server, one.server) or (str(one.status) if one.route else "no route")
        cookies = tuple(sorted(set_cookie(column.pools[each.cookie.name][0], "") for each in one.bound))
        key = (who, cookies, one.headers, one.location, bool(one.unknown))
        found[key] = found.get(key, Fraction(0)) + one.share
    return found


def one_step(column: Column, question: Question, client: Client) -> tuple[list[str], Client]:
    """One request of a client: what went wrong, and the client with the cookies it has then."""
    expected = column.expected(question.request, client, user=question.user)
    answer = column.ask(question.request, client.cookies, question.user)
    name = column.whose(answer, client.cookies)
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
        name = column.whose(answer, client.cookies)
        met = column.met(answer, name, expected)
        if not met or (pinned and name != client.name):
            faults.append(f"the client of {client.name} was answered by {name or answer.text}")
        elif wrong := list(column.faults(answer, met[0])):
            faults.append("; ".join(wrong))
    return faults
