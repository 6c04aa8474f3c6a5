"""A document whose nouns are called after what they say, so that two of them can be held against each other whatever things are called.

Names come apart where objects of several namespaces are read together (`redirect`, `redirect-2`), or routes of one object are numbered:
what they are called then hangs on what else was read.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import sha256

from pydantic import JsonValue

from pinfeather.model.document import Document
from pinfeather.model.rename import rename

_REFERENCES = {
    "services": {"to": "services", "middlewares": "middlewares"},
    "middlewares": {"middlewares": "middlewares"},
    "tcp_services": {"to": "tcp_services"},
    "tcp_middlewares": {},
}
"""By section, the keys under which a noun names others, and where those stand."""


def nameless(document: Document) -> Document:
    """The same document under names made of what each noun says; routes have their place as a name."""
    digests = _Digests(
        {section: document.model_dump(mode="json", include={section}, exclude_defaults=True).get(section, {}) for section in _REFERENCES}
    )
    names: dict[str, dict[str, str]] = {}
    for section in _REFERENCES:
        taken = dict[str, int]()
        for name in sorted(getattr(document, section)):
            digest = digests.of(section, name)
            taken[digest] = taken.get(digest, 0) + 1
            names.setdefault(section, {})[name] = f"{digest}-{taken[digest]}"
    for section in ("routes", "tcp_routes"):
        names[section] = {route.name: f"route-{index}" for index, route in enumerate(getattr(document, section))}
    return rename(document, names)


@dataclass
class _Digests:
    sections: dict[str, dict[str, JsonValue]]
    known: dict[tuple[str, str], str] = field(default_factory=dict)

    def of(self, section: str, name: str) -> str:
        """What a noun says, and what those say that it names."""
        key = (section, name)
        if key not in self.known:
            self.known[key] = name  # one that names itself in the end keeps its name there
            said = self._without_names(self.sections[section].get(name), section, "")
            self.known[key] = f"x{sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:20]}"
        return self.known[key]

    def _without_names(self, tree: JsonValue, section: str, key: str) -> JsonValue:
        where = _REFERENCES[section].get(key)
        if isinstance(tree, dict):
            return {inner: self._without_names(each, section, inner) for inner, each in tree.items()}
        if isinstance(tree, list):
            return [self._without_names(each, section, key) for each in tree]
        if where is not None and isinstance(tree, str) and tree in self.sections[where]:
            return self.of(where, tree)
        return tree
