"""Traefik's dynamic configuration in files, YAML or TOML: what the file provider reads.

    pinfeather convert shop.yaml --to traefik-file            # writes pinfeather.yml
    pinfeather convert dynamic/ --from traefik-file           # all files of one folder are one configuration

Reading. Routers, services, middlewares and servers transports of `http` and `tcp`, and `tls.options`; certificates,
stores and `udp` are named and left alone. Keys are found in any case, as Traefik finds them. What Traefik refuses or
drops without a word is an error at its line. Rules are read in the v3 syntax, or in v2 where `ruleSyntax` or
`--traefik 2.11` says so. A router without a priority has the length of its rule's text: it is turned into a number, and
said where two overlapping routers are told apart by it alone. A router that is another one with a further condition and
a higher priority is read as its canary. A cookie without a name gets the name that Traefik gives it. Files are Go
templates: one with an action (`{{ … }}`) is refused, in comments too.

Writing. One file, `pinfeather.yml` or `pinfeather.toml`. Every route and every canary is a router with the same middlewares,
entry points, TLS and observability; every priority is written; a route's split is a weighted service called after
the route. `{{` is written so that the template prints it. For Traefik 2.11 rules are written in the v2 syntax, and what it lacks is
a loss. A container or a Kubernetes Service to which nobody is pinned becomes a URL by its name; else say which servers there
are. A canary that sets the variant cookie, and `order: binding_first` have no word here.

Traefik keeps who is bound to what in the cookie itself: the value is made of the child service's name, or of the
server's URL, exactly as written (`identity`), so both are written exactly as they stand in the document.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from pinfeather.model.build import build
from pinfeather.model.diagnostics import span_at
from pinfeather.model.document import Document
from pinfeather.model.features import Feature, Support, When
from pinfeather.model.services import LoadBalancer
from pinfeather.translators._syntax import yaml
from pinfeather.translators._syntax.go_template import escape_actions
from pinfeather.translators._traefik.options import TraefikOptions
from pinfeather.translators._traefik.reading import read_files
from pinfeather.translators._traefik.routing import Rules
from pinfeather.translators._traefik.supports import own_reference
from pinfeather.translators._traefik.table import file_table, url_of
from pinfeather.translators._traefik.writing import cookie_value, file_tree
from pinfeather.translators.contract import Emitted, File, Identity, Parsed, Source, TextFile, Translator

PROVIDER = "file"


class TraefikFile(TraefikOptions):
    """Options of `traefik-file`."""

    syntax: Literal["yaml", "toml"] = "yaml"
    """What is written. Reading goes by the file's suffix, or by its first lines."""


# What can be said ------------------------------------------------------------------------------------------------------


def supports(options: TraefikFile) -> Mapping[Feature, Support]:
    return {
        **file_table(options.version),
        Feature.SERVER_CONTAINER: url_of(Feature.SERVER_CONTAINER),
        Feature.SERVER_KUBERNETES: url_of(Feature.SERVER_KUBERNETES),
        Feature.EXTERNAL: When(own_reference(PROVIDER), "any provider's"),
    }


# Reading ---------------------------------------------------------------------------------------------------------------


def parse(source: Source, options: TraefikFile) -> Parsed:
    tree, spans, found = read_files(source.files, PROVIDER, options.version)
    document, faults = (None, ()) if tree is None else build(tree)
    return Parsed(document, (*found, *(fault.at(span_at(spans, fault.path)) for fault in faults)), spans)


_ROOT = re.compile(r"""^\{?[ \t]*["']?(?:http|tcp)["']?[ \t]*:""", re.IGNORECASE | re.MULTILINE)
_OBJECT = re.compile(r"""^["']?apiVersion["']?[ \t]*:[ \t]*["']?[\w./-]+["']?[ \t]*(?:#.*)?\r?$""", re.MULTILINE)
_SECTION = re.compile(r"""(?<![\w-])(?:routers|services|middlewares|serversTransports)["']?[ \t]*:""", re.IGNORECASE)
_TOML = re.compile(r"^[ \t]*\[\[?[ \t]*(?:http|tcp)\.(?:routers|services|middlewares|serversTransports)\b", re.IGNORECASE | re.MULTILINE)
_OPTIONS = re.compile(r"^(?:tls:[ \t]*\n(?:[ \t].*\n)*?[ \t]+options:|\[tls\.options\b)", re.MULTILINE)


def recognise(file: File) -> bool:
    text = file.text if isinstance(file.text, str) else file.text[: 1 << 20].decode("utf-8", "replace")
    if _OBJECT.search(text) is not None:
        return False  # an Ingress has `http:` too
    yaml_like = _ROOT.search(text) is not None and _SECTION.search(text) is not None
    return yaml_like or _TOML.search(text) is not None or _OPTIONS.search(text) is not None


# Writing ---------------------------------------------------------------------------------------------------------------


def emit(document: Document, options: TraefikFile) -> Emitted:
    tree = file_tree(document, Rules(options.version))
    if options.syntax == "toml":
        from pinfeather.translators._syntax import toml

        written = toml.emit(tree, header="" if tree else "no routes")  # a file without a byte would be taken for a mistake
        return Emitted((TextFile("pinfeather.toml", escape_actions(written), "toml"),))
    return Emitted((TextFile("pinfeather.yml", escape_actions(yaml.emit(tree)), "yaml"),))


# Identity --------------------------------------------------------------------------------------------------------------


def identity(document: Document, _options: TraefikFile) -> Identity:
    """By service, or by route for the split inside it."""
    variants: dict[tuple[str, str], str] = {}
    servers: dict[tuple[str, str], str] = {}
    for route in document.routes:
        variants.update({(route.name, entry.to): cookie_value(entry.to) for entry in route.split})
    for name, service in document.services.items():
        if isinstance(service, LoadBalancer):
            servers.update({(name, server.key): cookie_value(server.key) for server in service.servers if server.url is not None})
        else:
            variants.update({(name, entry.to): cookie_value(entry.to) for entry in service.split})
    return Identity(variants, servers)


TRANSLATOR = Translator(
    name="traefik-file",
    doc=__doc__,
    options=TraefikFile,
    supports=supports,
    parse=parse,
    emit=emit,
    recognise=recognise,
    identity=identity,
)
