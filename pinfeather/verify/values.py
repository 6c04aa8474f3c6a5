"""The values of sticky cookies that can be computed: each format that Traefik reads makes them of other names."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence

from pinfeather._convert import options_for
from pinfeather._plugins import translator
from pinfeather._reading import Loaded, instance_of
from pinfeather._sources import UsageError
from pinfeather.model.diagnostics import Severity
from pinfeather.model.document import Document
from pinfeather.model.pools import pools
from pinfeather.model.project import project
from pinfeather.translators._traefik.writing import cookie_value
from pinfeather.translators.contract import AnyTranslator, Identity, Options

Value = Callable[[str, str], str]
"""The cookie value of a pool and what it binds to."""


def value_of(name: str, given: argparse.Namespace, loaded: Loaded, document: Document) -> Value:
    """`name`: the format that the proxy is told in; empty: the one that was read, if it knows the values, or `traefik-file`.

    Raises UsageError where there is no such format, or what is said of the instance does not fit it.
    """
    chosen = _format(name, given, loaded.formats)
    identity = Identity()
    if chosen is not None:  # a format knows no values of what it cannot say
        writer, options = chosen
        identity = writer.identity(project(document, writer.supports(options)).kept, options)

    def value(pool: str, binding: str) -> str:
        key = pool.partition(":")[2], binding
        return identity.variants.get(key) or identity.servers.get(key) or cookie_value(binding)

    return value


def _format(name: str, given: argparse.Namespace, formats: Sequence[tuple[AnyTranslator, Options]]) -> tuple[AnyTranslator, Options] | None:
    read = [each for each in formats if each[0].name == name or not name]
    if read:
        return read[0] if len(read) == 1 else None
    found, unknown = translator(name)
    if found is None:
        raise UsageError(f"--identify cookie:{name}: {unknown[-1].message}; {unknown[-1].instead}")
    said, _, amiss = instance_of([found], given.instance, given.from_static)
    options, wrong = options_for(found, said)
    errors = [finding for finding in (*amiss, *wrong) if finding.severity is Severity.ERROR]
    if options is None or errors:
        raise UsageError(f"--identify cookie:{name}: {errors[0].message}")
    return found, options


def servers_by_value(document: Document, value: Value) -> Mapping[tuple[str, str], str]:
    """Cookie name and value -> the server. Raises UsageError where none can be computed."""
    found = {
        (cookie.name, value(pool, binding)): binding
        for pool, cookie, bindings in pools(document)
        for binding in bindings
        if "://" in binding
    }
    if not found:
        raise UsageError("--identify cookie: no service has a sticky cookie and servers by URL, so no value can be computed")
    return found
