"""Names where labels and files are read together: `app@docker` and `app@file` are two things, and a document has one `app`.

What labels define keeps its name. What a file defines keeps its own unless labels define the same: then `-file` is put behind
it. A reference without a provider means the provider it stands in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pinfeather.model.diagnostics import Code, Diagnostic
from pinfeather.model.noun import Template

_BEHIND = "file"


class Names:
    """The names of a run. `defined`: by provider and section."""

    def __init__(self, defined: Mapping[tuple[str, str], Sequence[str]] | None = None) -> None:
        self._own: dict[tuple[str, str], dict[str, str]] = {
            place: {name: name for name in names} for place, names in (defined or {}).items()
        }
        self._astray: dict[str, tuple[str, str, str]] = {}
        self.several = len({provider for provider, _ in self._own}) > 1
        for (provider, section), names in self._own.items():
            others = {name for (other, part), each in self._own.items() if part == section and other != provider for name in each}
            if provider == _BEHIND:
                taken = {*others, *names}
                for name in sorted(others & set(names)):
                    names[name] = new = next(each for each in _behind(name) if each not in taken)
                    taken.add(new)

    def own(self, provider: str, section: str, name: str) -> str:
        """What the document calls a thing."""
        return self._own[provider, section][name]

    def resolve(self, provider: str, section: str, reference: str) -> str:
        """What the document calls what is referred to; as it is written where it is in no part of this run."""
        name, at, other = str(reference).partition("@")
        wanted = other if at else provider
        found = self._own.get((wanted, section), {}).get(name)
        if found is not None:
            return found
        if at or isinstance(reference, Template) or (section == "tls.options" and name == "default"):
            return reference
        if any(name in names.values() for (_, part), names in self._own.items() if part == section):
            elsewhere = next(each for (each, part), names in self._own.items() if part == section and name in names.values())
            said = f"{name} ({provider})"
            self._astray[said] = (name, provider, elsewhere)
            return said
        return reference

    def explained(self, finding: Diagnostic) -> Diagnostic:
        """A reference to nothing that another provider could have been meant by, said so."""
        if finding.code != Code.REFERENCE:
            return finding
        for said, (name, provider, elsewhere) in self._astray.items():
            if repr(said) in finding.message:
                message = finding.message.replace(repr(said), repr(name)) + f" of the provider {provider!r}"
                return finding._replace(message=message, instead=f"write `{name}@{elsewhere}` for the one of the provider {elsewhere!r}")
        return finding


def _behind(name: str) -> Sequence[str]:
    return [f"{name}-{_BEHIND}", *(f"{name}-{_BEHIND}-{number}" for number in range(2, 1000))]
