"""Asks running proxies the questions of the table, all proxies at the same time, and judges what they answer.

A client here keeps its own cookies, Secure ones too, and opens a connection for each request, so that nothing but its
cookies can bring it back to its server. Who answered is said by the demo servers (`demo.py`).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction

from pinfeather.deploy.ask import POLL, Address, Answer, Silent, ask, wait_for
from pinfeather.deploy.expected import Expected, Pause, Story, Unfit, bounds, enough, shares
from pinfeather.model.sticky import set_cookie

FRESH = 200
"""Clients without a cookie that are asked for."""
AGAIN = 20
"""Requests of one client."""
MARGIN = 1.5
"""Seconds that a health check may take over interval and timeout, on a busy machine."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What one proxy did, in few words, and everything about it that is not as expected."""

    text: str
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One question to all proxies."""

    question: str
    expected: str
    cells: tuple[Cell, ...]

    @property
    def holds(self) -> bool:
        return not any(cell.faults for cell in self.cells)


@dataclass(slots=True)
class Client:
    """Somebody with cookies: opaque values, and what each binds to."""

    server: str
    cookies: dict[str, str] = field(default_factory=dict)
    bindings: dict[str, str] = field(default_factory=dict)

    def take(self, expected: Expected, lines: Sequence[str]) -> None:
        """Keep what Set-Cookie says."""
        self.server = expected.server
        for (cookie, binding), line in zip(expected.set_cookies, lines, strict=False):
            self.cookies[cookie.name] = _value(line)
            self.bindings[cookie.name] = binding


@dataclass(slots=True)
class Tally:
    """Many clients asked the same through one proxy. Of each kind of fault an answer has one at most."""

    asked: int
    counts: Counter[str] = field(default_factory=Counter)
    clients: list[Client] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    cookie_faults: list[str] = field(default_factory=list)
    header_faults: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Measured:
    """The table, and a client of each proxy that went through all of it."""

    rows: tuple[Row, ...]
    clients: tuple[Client | None, ...]
    hostnames: Mapping[str, str]  # server key -> what the server calls itself

    @property
    def holds(self) -> bool:
        return all(row.holds for row in self.rows)


class _Proxy:
    """One proxy under questions."""

    def __init__(self, address: Address, story: Story, servers: Mapping[str, str]) -> None:
        self.address = address
        self._story = story
        self._servers = servers  # what a server calls itself -> its key

    def ask_with(self, cookies: Mapping[str, str]) -> Answer:
        headers = {"Host": f"{self._story.host}:{self.address.port}"}
        if cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        return ask(self.address, "GET", self._story.path, headers)

    def meets(self, answer: Answer, expected: Sequence[Expected]) -> Expected | None:
        """Which of the expected outcomes the answer is, told by who gave it."""
        key = self._servers.get(answer.hostname)
        return next((one for one in expected if one.server == key), None) if answer.status == 200 else None

    def tally(self, asked: int, cookies: Mapping[str, str]) -> Tally:
        """Ask as so many clients that have these cookies and no other."""
        expected = self._story.expected(cookies)
        tally = Tally(asked)
        for _ in range(asked):
            answer = self.ask_with(cookies)
            met = self.meets(answer, expected)
            if met is None:
                other = f"{answer.hostname} answered, which the document sends nobody to" if answer.hostname else answer.text
                tally.strays.append(other)
                continue
            tally.counts[met.service] += 1
            lines = answer.values("set-cookie")
            tally.cookie_faults += cookie_faults(met, lines)
            if wrong := header_faults(met, answer):
                tally.header_faults.append("; ".join(wrong))
            client = Client(met.server, dict(cookies))
            client.take(met, lines)
            tally.clients.append(client)
        return tally

    def again(self, client: Client) -> list[str]:
        """Come back again and again; what went wrong."""
        faults = []
        expected = self._story.expected(client.cookies, client.bindings)
        for _ in range(AGAIN):
            answer = self.ask_with(client.cookies)
            met = self.meets(answer, expected)
            if met is None:
                faults.append(f"the client of {client.server} was answered by {answer.hostname or answer.text}")
            else:
                faults += cookie_faults(met, answer.values("set-cookie"))
        return faults

    def moved(self, client: Client, deadline: float) -> Cell:
        """Ask as a client whose server has just gone, until another server answers; `deadline` in seconds."""
        started = time.monotonic()
        expected = self._story.expected(client.cookies, client.bindings, frozenset({client.server}))
        meanwhile: Counter[str] = Counter()
        while (waited := time.monotonic() - started) <= deadline:
            answer = self.ask_with(client.cookies)
            if answer.status != 200:
                meanwhile[answer.text] += 1
                time.sleep(POLL)
                continue
            waited = time.monotonic() - started
            counted = "".join(f", {count} x {text}" for text, count in meanwhile.items())
            met = self.meets(answer, expected)
            if met is None:
                return Cell(f"{waited:.2f} s{counted}", (f"{answer.hostname or 'nobody'} answered, which should not be asked",))
            lines = answer.values("set-cookie")
            faults = cookie_faults(met, lines)
            client.take(met, lines)
            return Cell(f"{waited:.2f} s{counted}", (*faults, *(() if faults else self.again(client))))
        counted = ", ".join(f"{count} x {text}" for text, count in meanwhile.items())
        return Cell("never", (f"no other server answered within {deadline:.1f} s ({counted})",))

    def returned(self, client: Client, deadline: float) -> tuple[str, ...]:
        """Wait until the client's server is asked again; `deadline` in seconds. What went wrong."""
        started = time.monotonic()
        expected = self._story.expected(client.cookies, client.bindings)
        answer = Answer(0)
        while time.monotonic() - started <= deadline:
            answer = self.ask_with(client.cookies)
            if self.meets(answer, expected) is not None:
                return ()
            time.sleep(POLL)
        return (f"its server is back, and still not asked after {deadline:.1f} s ({answer.hostname or answer.text} answered)",)


def cookie_faults(expected: Expected, lines: Sequence[str]) -> list[str]:
    """Where Set-Cookie is not, to the letter, what the document says. The values are the proxy's own and opaque."""
    wanted = [set_cookie(cookie, _value(line)) for (cookie, _), line in zip(expected.set_cookies, lines, strict=False)]
    if wanted == list(lines) and len(lines) == len(expected.set_cookies) and all(_value(line) for line in lines):
        return []
    said = " and ".join(set_cookie(cookie, "<value>") for cookie, _ in expected.set_cookies) or "none"
    return [f"Set-Cookie is {' and '.join(_shown(line) for line in lines) or 'none'}; the document says {said}"]


def header_faults(expected: Expected, answer: Answer) -> list[str]:
    """Which header fields of the answer are not as the document says."""
    faults = []
    for name, value in expected.headers.items():
        wanted = (value,) if value else ()
        if (got := answer.values(name)) != wanted:
            faults.append(f"{name} is {', '.join(got) or 'absent'}; the document says {value or 'absent'}")
    return faults


def measure(story: Story, proxies: Sequence[Address]) -> Measured:
    """Ask all questions through all proxies. Closes one demo server for some seconds, and returns when it is back.

    Raises `Silent` when a proxy or a demo server does not answer at all, `Unfit` when the servers are not demo servers.
    """
    hostnames = _identified(story)
    servers = {hostname: key for key, hostname in hostnames.items()}
    asked = [_Proxy(address, story, servers) for address in proxies]
    for proxy in asked:
        if (answer := proxy.ask_with({})).status == 0:
            raise Silent(f"{proxy.address.name} at {proxy.address.url} does not answer: {answer.problem}; `make up` starts it")
    with ThreadPoolExecutor(len(asked)) as pool:

        def each(question: Callable[[_Proxy], Tally]) -> tuple[Tally, ...]:
            return tuple(pool.map(question, asked))

        tester, stranger = dict((story.tester,)), dict((story.stranger,))
        fresh = each(lambda proxy: proxy.tally(FRESH, {}))
        testers = each(lambda proxy: proxy.tally(AGAIN, tester))
        aimed = max(shares(story.expected({})).get(service, Fraction(0)) for service in shares(story.expected(tester)))
        strangers = each(lambda proxy: proxy.tally(enough(aimed, AGAIN), stranger))
        chosen = [_one_a_service(tally, story) for tally in fresh]
        again = tuple(pool.map(lambda pair: _stayed(*pair), zip(asked, chosen, strict=True)))
        rows = [
            _counted(f"{FRESH} fresh clients", story, {}, fresh),
            Row("their Set-Cookie", "as written (1)", tuple(_right(tally, tally.cookie_faults) for tally in fresh)),
            Row("their headers", "as written (2)", tuple(_right(tally, tally.header_faults) for tally in fresh)),
            _counted(_pair(story.tester), story, tester, testers),
            _counted(f"{_pair(story.stranger)} (no tester)", story, stranger, strangers),
            Row("the same client again", "the same server, no Set-Cookie", again),
        ]
        moved, clients = _failover(story, asked, fresh, pool, hostnames)
    if moved is not None:
        rows.append(moved)
    return Measured(tuple(rows), clients, hostnames)


def _failover(
    story: Story, proxies: Sequence[_Proxy], fresh: Sequence[Tally], pool: ThreadPoolExecutor, hostnames: Mapping[str, str]
) -> tuple[Row | None, tuple[Client | None, ...]]:
    """Close a server that each proxy has a client of. Both rows and clients; no row when no service has a health check."""
    firsts = tuple(tally.clients[0] if tally.clients else None for tally in fresh)
    checked = [(name, pause) for name in shares(story.expected({})) if (pause := story.pause(name)) and len(story.servers(name)) > 1]
    if not checked:
        return None, firsts
    for service, pause in checked:
        for server in story.servers(service):
            clients = [next((client for client in tally.clients if client.server == server), None) for tally in fresh]
            bound = [client for client in clients if client is not None and client.bindings]
            if len(bound) == len(proxies) and story.expected({}, bound[0].bindings, frozenset({server})):
                return _closed(story, proxies, bound, pool, pause, hostnames[server]), tuple(bound)
    fault = ("no server has a client with cookies through every proxy, so none was closed",)
    return Row("its server closed", "another server, a new cookie", tuple(Cell("not asked", fault) for _ in proxies)), firsts


def _closed(
    story: Story, proxies: Sequence[_Proxy], clients: Sequence[Client], pool: ThreadPoolExecutor, pause: Pause, hostname: str
) -> Row:
    server = clients[0].server
    before = [Client(client.server, dict(client.cookies), dict(client.bindings)) for client in clients]
    address = Address.of(hostname, server)
    deadline = pause.down + MARGIN
    answer = ask(address, "POST", f"/control/close?seconds={deadline:g}", {})
    if answer.status != 200:
        raise Silent(f"the demo server {hostname} at {server} cannot be closed: {answer.text}")
    cells = list(pool.map(lambda proxy, client: proxy.moved(client, deadline), proxies, clients))
    wait_for(address, deadline + MARGIN)
    returned = pool.map(lambda proxy, client: proxy.returned(client, pause.up + MARGIN), proxies, before)
    cells = [Cell(cell.text, (*cell.faults, *faults)) for cell, faults in zip(cells, returned, strict=True)]
    new = " and ".join(cookie.name for cookie, _ in story.expected({}, before[0].bindings, frozenset({server}))[0].set_cookies)
    return Row(f"its server {hostname} closed", f"another within {deadline:.1f} s, {f'a new {new}' if new else 'no cookie'}", tuple(cells))


def _counted(question: str, story: Story, cookies: Mapping[str, str], tallies: Sequence[Tally]) -> Row:
    """Counts by service in the order of the document, each held against its exact bounds."""
    wanted = shares(story.expected(cookies))
    asked = tallies[0].asked
    limits = {service: bounds(asked, share) for service, share in wanted.items()}
    cells = []
    for tally in tallies:
        faults = [
            f"{service} answered {tally.counts[service]} of {asked}: outside of {low} to {high}"
            for service, (low, high) in limits.items()
            if not low <= tally.counts[service] <= high
        ]
        text = " + ".join(str(tally.counts[service]) for service in wanted)
        if tally.strays:
            text += f" + {len(tally.strays)} wrong"
        extra = tally.cookie_faults if cookies else []
        cells.append(Cell(text, (*faults, *tally.strays, *extra)))
    said = []
    for service, (low, high) in limits.items():
        said.append(f"{service} {float(wanted[service] * asked):.4g}" + (f" ({low}-{high})" if low < high else ""))
    return Row(question, ", ".join(said), tuple(cells))


def _right(tally: Tally, faults: Sequence[str]) -> Cell:
    answered = len(tally.clients)
    return Cell(f"{answered - len(faults)} of {tally.asked}", (*faults, *(() if answered else ("nobody was answered",))))


def _stayed(proxy: _Proxy, clients: Sequence[Client]) -> Cell:
    faults = [fault for client in clients for fault in proxy.again(client)]
    if not clients:
        return Cell("not asked", ("no fresh client was answered",))
    asked = len(clients) * AGAIN
    return Cell(f"{asked - len(faults)} of {asked}", tuple(faults))


def _one_a_service(tally: Tally, story: Story) -> list[Client]:
    """The first client of each variant."""
    first: dict[str, Client] = {}
    of = {one.server: one.service for one in story.expected({})}
    for client in tally.clients:
        first.setdefault(of[client.server], client)
    return list(first.values())


def _identified(story: Story) -> dict[str, str]:
    """What each server that can be met calls itself, asked without a proxy."""
    hostnames: dict[str, str] = {}
    met = [*story.expected({}), *story.expected(dict((story.tester,)))]
    for key in dict.fromkeys(key for one in met for key in story.servers(one.service)):
        try:
            address = Address.of(key, key)
        except ValueError as error:
            raise Unfit(f"the server {error}: only demo servers on this machine can be checked") from error
        answer = wait_for(address, MARGIN)
        if not answer.hostname or answer.hostname in hostnames.values():
            raise Unfit(f"the server at {key} does not say a name of its own (`Hostname:`): it is no demo server")
        hostnames[key] = answer.hostname
    return hostnames


def _pair(pair: tuple[str, str]) -> str:
    return "=".join(pair)


def _value(line: str) -> str:
    return line.partition(";")[0].partition("=")[2]


def _shown(line: str) -> str:
    """Set-Cookie without its value, which says nothing."""
    pair, semicolon, rest = line.partition(";")
    return f"{pair.partition('=')[0]}=<value>{semicolon}{rest}"
