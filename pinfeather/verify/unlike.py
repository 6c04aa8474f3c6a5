"""`--unlike`: what the proxy may still do instead, so that so many are asked that it would be seen."""

from __future__ import annotations

from pinfeather.model.document import Document
from pinfeather.model.services import Split
from pinfeather.verify.asking import Unfit

UNSURE = "It is not sure that the proxy does not still have the weights of"
"""How the line begins that says so, with the reason behind it. `rollout` looks for it."""
_DIGITS = 18
"""Of a weight: more are no number that a document holds."""


def unlike(document: Document, text: str) -> Document:
    """The document with other weights in one split; `text` is `route:NAME=90,10` or `split:NAME=90,10`, weights in the split's order.

    Raises Unfit where there is no such split, or the weights are not its weights.
    """
    subject, _, numbers = text.rpartition("=")
    kind, _, name = subject.partition(":")
    weights = [int(word) for word in numbers.split(",") if word.isascii() and word.isdigit() and len(word) <= _DIGITS]
    if kind not in ("route", "split") or len(weights) != numbers.count(",") + 1:
        raise Unfit(f"--unlike {text}: write route:NAME=90,10, or split:NAME=90,10 for a service, with a whole number for each weight")
    route = next((each for each in document.routes if kind == "route" and each.name == name), None)
    service = document.services.get(name) if kind == "split" else None
    split = route.split if route is not None else service.split if isinstance(service, Split) else ()
    if not split:
        raise Unfit(f"--unlike {text}: the document has no {kind} {name!r} with weights")
    if len(split) != len(weights):
        raise Unfit(f"--unlike {text}: the {kind} {name!r} has {len(split)} weights, not {len(weights)}")
    entries = tuple(entry.model_copy(update={"weight": weight}) for entry, weight in zip(split, weights, strict=True))
    if route is not None:
        routes = (each.model_copy(update={"split": entries}) if each is route else each for each in document.routes)
        return document.model_copy(update={"routes": tuple(routes)})
    assert isinstance(service, Split)
    return document.model_copy(update={"services": {**document.services, name: service.model_copy(update={"split": entries})}})
