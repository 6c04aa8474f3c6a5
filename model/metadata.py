"""What is carried along with a route, a service or a middleware."""

from pydantic import Field

from pinfeather.model.noun import Noun, Text


class Metadata(Noun):
    """What is carried along and decides nothing here: where an object lives, what it is called, what is stuck to it."""

    namespace: Text | None = None
    object: Text | None = None
    labels: dict[str, Text] = Field(default_factory=dict)
    annotations: dict[str, Text] = Field(default_factory=dict)
    dns: dict[str, Text] = Field(default_factory=dict)
    """What external-dns is told (`target`, `hostname`, `ttl`): its annotations, without their prefix."""
