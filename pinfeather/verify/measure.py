"""Asks proxies the questions, all proxies at the same time, and judges what they answer.

Questions are asked one after the other, never mixed: a proxy that gives out servers in turn would else give each question its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TypeVar

from pinfeather.model.document import Document
from pinfeather.verify import again
from pinfeather.verify.asking import Silent, Unfit, side_by_side, upgrade
from pinfeather.verify.binomial import DOUBT
from pinfeather.verify.column import Client, Column, Expected
from pinfeather.verify.effects import basic
from pinfeather.verify.judging import Cell, Observed, Row, codes, in_words, judge, nearly, notes, signature
from pinfeather.verify.naming import Known
from pinfeather.verify.outage import Outage, closed, most_of_outages
from pinfeather.verify.questions import LEAST, Plan, Question, counts, tls_points
from pinfeather.verify.who import Asked, name_servers

FIRST = 3
"""So many questions are asked once, to find out whether anything answers at all."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is asked beside the questions themselves."""

    doubt: Fraction = DOUBT
    websocket: bool = False
    echo: bool = False
    """Whether servers send back what a WebSocket tells them."""
    outage: Outage | None = None
    unlike: Document | None = None
    """What the proxies may still serve: so many are asked that its shares would be noticed."""


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
        instead = self._instead(fresh)
        try:
            numbers = counts(fresh, expected, wishes.doubt, exact, instead)
        except ValueError as problem:
            raise Unfit(f"{problem}: that is more than is asked here; a weight is that small") from None
        self.asked = []
        self.tells = False
        """Whether some question that is asked is answered otherwise by what it is to be unlike."""
        for question, one, other, number in zip(fresh, expected, instead or expected, numbers, strict=True):
            unknown = next((each.unknown for each in one if each.unknown), "")
            if unknown:
                plan.leave(unknown)
                continue
            asked = Asked(question, one, number, tuple(self._different(column, question, one) for column in columns))
            self.asked.append(asked)
            self.tells |= one != other and None in asked.different
        self.bound = [question for question in plan.questions if question.bound]

    def _instead(self, fresh: Sequence[Question]) -> Sequence[tuple[Expected, ...]]:
        if self.wishes.unlike is None:
            return ()
        other = replace(self.base, document=self.wishes.unlike)
        return [other.expected(question.request, None, user=question.user) for question in fresh]

    @property
    def needed(self) -> int:
        """How many requests one proxy is sent, at most."""
        total = min(FIRST, len(self.asked)) + sum(each.count for each in self.asked) + again.needed(self.asked, self.wishes.doubt)
        total += len(self.bound) * LEAST + (len(self.asked) if self.wishes.websocket else 0)
        return total + (most_of_outages(self.base, [each.question for each in self.asked if each.sticky]) if self.wishes.outage else 0)

    def run(self) -> Measured:
        """Ask everything. Raises Unfit where nobody says who answered, Silent where nothing does."""
        found = Measured(left=self.plan.left)
        with side_by_side([column.pace for column in self.columns]) as pool:

            def each(work: Callable[[int, Column], T]) -> tuple[T, ...]:
                return tuple(pool.map(work, range(len(self.columns)), self.columns))

            each(self._alive)
            observed = [each(lambda at, column, asked=asked: self._fresh(at, column, asked)) for asked in self.asked]  # type: ignore[misc]
            name_servers(self.columns, self.asked, observed, self.wishes.doubt)
            for asked, answers in zip(self.asked, observed, strict=True):
                asked.judged = [
                    judge(column, column.expected(asked.question.request, None, user=asked.question.user), came, self.wishes.doubt)
                    for column, came in zip(self.columns, answers, strict=True)
                ]
            back = again.come_back(self.asked)
            for asked in self.asked:
                found.rows.append(self._row(asked))
                if any(asked is one for one in back):
                    found.rows += again.rows(self.base, asked, self.asked, each, self.wishes.doubt)
            if self.wishes.websocket:
                found.rows += self._sockets(each)
            found.rows += self._names()
            if self.wishes.outage is not None:
                found.rows += self._outages(self.wishes.outage, pool)
            found.rows += [row for question in self.bound if (row := again.bound(self.base, question, each, self.wishes.doubt)) is not None]
        found.tester = self._tester()
        found.clients = [self._one_client(at) for at in range(len(self.columns))]
        return found

    # Questions of fresh clients --------------------------------------------------------------------------------------

    def _alive(self, at: int, column: Column) -> None:
        """Raises Silent where none of the first questions is answered with anything: all others would have to wait as long."""
        asked = [each for each in self.asked if each.different[at] is None][:FIRST]
        problems = [answer.problem for each in asked if not (answer := column.ask(each.question.request, {}, each.question.user)).status]
        if asked and len(problems) == len(asked):
            address = column.address(asked[0].question.request.entry_point)
            where = f" at {address.url}" if address is not None and address.tls is not None else ""
            raise Silent(f"{column.name}{where} does not answer: {problems[0]} ({asked[0].question.text}); start it, or put the URL right")

    def _fresh(self, at: int, column: Column, asked: Asked) -> list[Observed]:
        if asked.different[at] is not None:
            return []
        expected = column.expected(asked.question.request, None, user=asked.question.user)
        found = []
        for _ in range(asked.count):
            answer = column.ask(asked.question.request, {}, asked.question.user)
            found.append(Observed(answer, column.whose(answer, {}, expected), {}))
        return found

    def _row(self, asked: Asked) -> Row:
        cells = [different or judged.cell(asked.base) for different, judged in zip(asked.different, asked.judged, strict=True)]
        remark = self._remark(asked.question)
        return Row(
            asked.question.text,
            in_words(asked.base, asked.count, self.wishes.doubt) + (", a trap" if remark else ""),
            tuple(nearly(cell, self.base, column, asked.base) for cell, column in zip(cells, self.columns, strict=True)),
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
            said = codes(self.base, column, base, "loss.")
            return Cell(said or "no such entry point", state="loss" if said else "not asked")
        if any(one.route in column.closed for one in base):
            return Cell("keeps the route closed", state="loss")
        if column.document is self.base.document:
            return None
        if not column.ends_tls and not question.request.tls and question.request.entry_point in tls_points(self.base.document):
            return Cell("TLS is not ended here", state="not asked")
        if signature(column, column.expected(question.request, None, user=question.user)) == signature(self.base, base):
            return None
        said = codes(self.base, column, base, "loss.") or codes(self.base, column, base, "near.")
        if not said:
            return Cell("lost, and not said", ("the translation changes this, and reports no loss",), "WRONG")
        return Cell(said, state="loss")

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
            if asked.judged and (clients := again.clients(self.columns[at], at, asked)):
                return asked.question, clients[0]
        return None
