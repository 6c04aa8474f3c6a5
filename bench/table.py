"""A table of many routes, and calls into it that take turns over all of them."""

from __future__ import annotations

from collections.abc import Callable

from pinfeather.model.decide import decide
from pinfeather.model.document import Document
from pinfeather.model.request import Asked, Request, State
from pinfeather.model.table import Table


def document(routes: int) -> Document:
    """A host, a path prefix, a canary by cookie, a split and two levels of stickiness a route."""
    return Document.model_validate(
        {
            "routes": [
                {
                    "name": f"r{number}",
                    "hosts": [f"h{number}.example.com"],
                    "path": {"prefix": f"/app/{number % 7}"},
                    "canaries": [{"when": {"cookie": {"name": "canary", "value": "v2"}}, "to": "v2"}],
                    "split": [{"to": "v1", "weight": 90}, {"to": "v2", "weight": 10}],
                    "sticky": {"cookie": {"name": "variant"}},
                }
                for number in range(routes)
            ],
            "services": {
                name: {
                    "servers": [{"url": f"http://10.0.{version}.{n}:80"} for n in range(1, 4)],
                    "sticky": {"cookie": {"name": f"s{name}"}},
                }
                for version, name in enumerate(("v1", "v2"))
            },
        }
    )


def prepared(routes: int) -> tuple[Callable[[int], object], Callable[[int], object]]:
    """The look-up alone, and the whole decision, each for the request of a number; every fifth is a tester's."""
    table = Table.of(document(routes))
    state = State({})
    requests = [
        Request(
            host=f"h{number}.example.com",
            path=f"/app/{number % 7}/x",
            headers=(("cookie", "a=b; canary=v2"),) if number % 5 == 0 else (("cookie", "a=b"),),
        )
        for number in range(0, routes, max(1, routes // 1000))
    ]
    step = 2**64 // 997

    def look_up(number: int) -> object:
        return table.first(Asked(requests[number % len(requests)], state))

    def decision(number: int) -> object:
        return decide(table, requests[number % len(requests)], state, number * step % 2**64)

    return look_up, decision
