"""How many requests of one source may pass: token buckets as Traefik has them (3.7, pkg/middlewares/ratelimiter, over
golang.org/x/time/rate). No clock of its own: whoever asks says what time it is.

A bucket holds `burst` tokens at the beginning and gets `rate` of them each second; a request takes one. Where none is left,
the request waits for its token if it comes within `patience` (half of what lies between two tokens, half a second at most),
and is refused otherwise, taking nothing.

Traefik forgets a bucket after a second or after one token's time, so that after a short silence a whole burst passes again.
Here a bucket is forgotten when it is full, which loses nothing; and at 65,536 sources the one that was silent longest, as there.

Several processes share one limit by parts: each gets its share of rate and burst, so that from any quiet moment on they let
no more pass together than was said. Where a share of the burst is less than one request, a request waits until its token is
whole; requests that come to all processes at one instant then pass at one instant too, one a process.
"""

from collections import OrderedDict
from dataclasses import dataclass
from math import ceil

from pinfeather.model.middlewares import RateLimit
from pinfeather.model.noun import seconds

_SOURCES = 65_536  # maxSources there
_LONGEST_WAIT = 5.0  # seconds that a share of a burst may make a request wait


class Unshareable(Exception):  # noqa: N818 - says what a limit is
    """The limit cannot be kept by so many processes without waits that nobody would sit out."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What one process keeps to."""

    rate: float  # tokens a second
    burst: float  # tokens that a bucket holds
    patience: float  # seconds that a request may wait for its token

    @classmethod
    def of(cls, config: RateLimit, workers: int = 1) -> "Limit | None":
        """A worker's share of a limit; None where nothing is limited. Raises Unshareable."""
        period = seconds(config.period) if config.period is not None else 1.0
        if config.average == 0:
            return None
        whole = config.average / (period or 1.0)
        patience = 0.5 if whole < 1 else 1 / (2 * int(whole))
        rate, burst = whole / workers, (config.burst or 1) / workers
        if burst < 1:
            wait = (1 - burst) / rate
            if wait > _LONGEST_WAIT:
                raise Unshareable(
                    f"its burst of {config.burst or 1} over {workers} workers would make requests wait {wait:.0f} s; "
                    f"give it a burst of {workers}, or run one worker"
                )
            patience = max(patience, wait)
        return cls(rate, burst, patience)


class Buckets:
    """The buckets of one limit, by source."""

    __slots__ = ("_known", "_spent", "limit")

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self._known: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, and when they were counted
        self._spent = limit.burst / limit.rate + limit.patience  # seconds after which any bucket is full again

    def __len__(self) -> int:
        return len(self._known)

    def take(self, source: str, now: float) -> tuple[bool, float]:
        """Whether a request may pass, and in how many seconds: at that time, or at that time at the earliest."""
        limit, known = self.limit, self._known
        tokens, counted = known.get(source, (limit.burst, now))
        tokens = min(limit.burst, tokens + max(0.0, now - counted) * limit.rate)
        wait = max(0.0, (1 - tokens) / limit.rate)
        passes = wait <= limit.patience
        known[source] = (tokens - 1 if passes else tokens, now)
        known.move_to_end(source)
        self._forget(now)
        return passes, wait

    def _forget(self, now: float) -> None:
        known = self._known
        while len(known) > _SOURCES or now - next(iter(known.values()))[1] > self._spent:
            known.popitem(last=False)


def retry_fields(wait: float) -> tuple[tuple[str, str], ...]:
    """What a refusal says about when to come again."""
    return (("Retry-After", str(ceil(wait))), ("X-Retry-In", go_duration(wait)))


def go_duration(length: float) -> str:
    """Seconds as Go's time.Duration writes itself: `1m30.5s`, `250ms`, `1.5µs`."""
    left = int(length * 1e9)
    if left == 0:
        return "0s"
    if left < 1_000_000_000:
        for unit, size in (("ns", 1), ("µs", 1_000), ("ms", 1_000_000)):
            if left < size * 1000:
                return f"{_decimal(left, size)}{unit}"
    minutes, rest = divmod(left, 60 * 10**9)
    hours, minutes = divmod(minutes, 60)
    said = f"{_decimal(rest, 10**9)}s"
    if hours:
        return f"{hours}h{minutes}m{said}"
    return f"{minutes}m{said}" if minutes else said


def _decimal(amount: int, size: int) -> str:
    whole, part = divmod(amount, size)
    if not part:
        return str(whole)
    digits = len(str(size)) - 1
    return f"{whole}." + f"{part:0{digits}d}".rstrip("0")
