"""What is counted, and the text that Prometheus reads (exposition format 0.0.4).

Label values come from the document alone (routes, services, servers) or from short lists, never from a request, so that
no client can make a series. Counts of what a reload took out of the document go with it.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, TypeVar

from pinfeather.proxy.account import Account, StreamAccount
from pinfeather.proxy.serving import Serving

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_REASONS = 64  # that are told apart among refused requests; parsers have a few dozen

Kind = Literal["counter", "gauge", "histogram"]
Merge = Literal["sum", "min", "apart"]
"""How workers come together: added, the least one, or each with a label of its own."""

_Key = TypeVar("_Key", bound=tuple[str, ...])
Labels: TypeAlias = tuple[tuple[str, str], ...]
Sample: TypeAlias = tuple[str, Labels, float]
"""What is added to the family's name, the labels, and the value."""


@dataclass(frozen=True, slots=True)
class Family:
    """One metric with all its samples."""

    name: str
    kind: Kind
    help: str
    samples: Sequence[Sample]
    merge: Merge = "sum"

    @classmethod
    def counts(cls, name: str, help_: str, labels: Sequence[str], counted: Mapping[_Key, int]) -> Family:
        return cls(name, "counter", help_, [("", tuple(zip(labels, key, strict=True)), value) for key, value in counted.items()])

    @classmethod
    def gauge(cls, name: str, help_: str, value: float, merge: Merge = "sum") -> Family:
        return cls(name, "gauge", help_, [("", (), value)], merge)


@dataclass(slots=True)
class _Durations:
    """A histogram: how many took at most each bound (and more), and the sum in seconds."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0

    def samples(self, labels: Labels) -> Iterable[Sample]:
        below = 0
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), self.counts, strict=True):
            below += count
            yield "_bucket", (*labels, ("le", bound)), below
        yield "_sum", labels, self.total
        yield "_count", labels, below


class Metrics:
    """The counters of one process."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, str, str], int] = {}
        self._durations: dict[str, _Durations] = {}
        self._retries: dict[tuple[str, ...], int] = {}
        self._refused: dict[tuple[str, ...], int] = {}
        self._broken: dict[tuple[str, ...], int] = {}
        self._reloads = {("ok",): 0, ("failed",): 0}
        self._streams: dict[tuple[str, str, str], int] = {}
        self._stream_bytes = {("in",): 0, ("out",): 0}

    def ended(self, account: Account) -> None:
        """Count a request."""
        decision, status = account.decision, account.status
        route, service = ("", "") if decision is None else (decision.route or "", decision.service or "")
        key = (route, service, _CLASSES[status // 100] if status < 600 else "other")
        self._requests[key] = self._requests.get(key, 0) + 1
        if status != 101:  # a tunnel lasts as long as it likes
            durations = self._durations.get(service)
            if durations is None:
                durations = self._durations[service] = _Durations()
            spent = time.monotonic() - account.began
            durations.counts[bisect_left(BOUNDS, spent)] += 1
            durations.total += spent
        if account.retries:
            self._retries[service,] = self._retries.get((service,), 0) + account.retries
        if not account.whole:
            self._broken[service,] = self._broken.get((service,), 0) + 1

    def streamed(self, account: StreamAccount) -> None:
        """Count a TCP connection."""
        decision = account.decision
        route, service = ("", "") if decision is None else (decision.route or "", decision.service or "")
        key = (route, service, account.reason or "ended")
        self._streams[key] = self._streams.get(key, 0) + 1
        self._stream_bytes["in",] += account.received
        self._stream_bytes["out",] += account.sent

    def refused(self, why: str) -> None:
        """Count what was sent away before a decision."""
        if (why,) not in self._refused and len(self._refused) >= _REASONS:
            why = "other"
        self._refused[why,] = self._refused.get((why,), 0) + 1

    def reloaded(self, well: bool) -> None:
        """Count a reload."""
        self._reloads["ok" if well else "failed",] += 1

    def keep(self, serving: Serving) -> None:
        """Another document is served: forget what it does not have."""
        routes, services = {"", *(route.name for route in serving.document.routes)}, {"", *serving.document.services}
        self._requests = {key: count for key, count in self._requests.items() if key[0] in routes and (key[1] in services or "@" in key[1])}
        self._durations = {key: durations for key, durations in self._durations.items() if key in services or "@" in key}
        self._retries = {key: count for key, count in self._retries.items() if key[0] in services}
        self._broken = {key: count for key, count in self._broken.items() if key[0] in services}
        routes, services = {"", *(route.name for route in serving.document.tcp_routes)}, {"", *serving.document.tcp_services}
        self._streams = {key: count for key, count in self._streams.items() if key[0] in routes and (key[1] in services or "@" in key[1])}

    def families(self) -> list[Family]:
        """What was counted so far."""
        durations = [sample for name, found in self._durations.items() for sample in found.samples((("service", name),))]
        return [
            Family.counts(
                "pinfeather_requests_total",
                "Requests that were decided on, by the class of their status; none: the client went before an answer.",
                ("route", "service", "code"),
                self._requests,
            ),
            Family(
                "pinfeather_request_duration_seconds",
                "histogram",
                "From a request's head to the end of its answer; tunnels are left out.",
                durations,
            ),
            Family.counts("pinfeather_retries_total", "Requests sent a second time.", ("service",), self._retries),
            Family.counts("pinfeather_broken_off_total", "Exchanges that did not come to their end.", ("service",), self._broken),
            Family.counts("pinfeather_refused_total", "Requests and connections sent away undecided.", ("reason",), self._refused),
            Family.counts(
                "pinfeather_tcp_connections_total",
                "TCP connections that have ended, and why.",
                ("route", "service", "reason"),
                self._streams,
            ),
            Family.counts("pinfeather_tcp_bytes_total", "Bytes of TCP connections that have ended.", ("direction",), self._stream_bytes),
            Family.counts("pinfeather_reloads_total", "Reloads of the document.", ("result",), self._reloads),
        ]


_CLASSES = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")


def exposition(families: Iterable[Family]) -> str:
    """The text of a scrape."""
    lines: list[str] = []
    for family in families:
        lines += (f"# HELP {family.name} {_escaped(family.help, quotes=False)}", f"# TYPE {family.name} {family.kind}")
        for suffix, labels, value in family.samples:
            said = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels)
            lines.append(f"{family.name}{suffix}{'{' + said + '}' if said else ''} {_number(value)}")
    return "\n".join((*lines, ""))


def merged(workers: Mapping[str, Sequence[Family]]) -> list[Family]:
    """The families of several workers, by the workers' names, as one."""
    first: dict[str, Family] = {}
    samples: dict[str, dict[tuple[str, Labels], float]] = {}
    for worker, families in workers.items():
        for family in families:
            first.setdefault(family.name, family)
            into = samples.setdefault(family.name, {})
            for suffix, labels, value in family.samples:
                key = (suffix, (*labels, ("worker", worker)) if family.merge == "apart" else labels)
                before = into.get(key)
                into[key] = value if before is None else min(before, value) if family.merge == "min" else before + value
    return [
        Family(name, family.kind, family.help, [(*key, value) for key, value in samples[name].items()], family.merge)
        for name, family in first.items()
    ]


def _escaped(text: str, *, quotes: bool = True) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
