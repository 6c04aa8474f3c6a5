"""Who goes to another version: canaries by condition, splits by weight."""

from typing import Literal

from pinfeather.model.match import Match
from pinfeather.model.noun import Name, Noun, Number, Reference, Weight

Order = Literal["rules_first", "binding_first"]
"""Whether a canary's condition (Traefik) or the client's variant cookie (ingress-nginx) is asked first."""
WeightZero = Literal["keep", "drop"]
"""Whether a child of weight 0 keeps the clients that are bound to it.
Traefik drops them (3.7.9, server/service/loadbalancer/wrr/wrr.go:205)."""
WhenDown = Literal["fail", "redraw"]
"""What a client meets whose variant has no server: 503 (Traefik, unless health is propagated), or another draw."""


class Canary(Noun):
    """Requests that hold `when` go `to` a service. Canaries are asked in order; the first that holds wins."""

    when: Match
    to: Reference
    name: Name | None = None
    priority: Number | None = None
    """A place of its own among all routes and canaries; absent: directly before its route."""
    binds: bool = False
    """Whether the client's variant cookie is set to `to` as well."""


class SplitEntry(Noun):
    """One variant: a service and its share, in parts of the sum of all weights."""

    to: Reference
    weight: Weight = 1
    binds: bool = True
    """Whether a client that was drawn here is given the variant cookie."""
