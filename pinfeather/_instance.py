"""What one proxy instance is configured for: `--instance FILE` in our own words, `--from-static traefik.yml` in Traefik's.

Both say the same things: options of the formats (`traefik: "3.6"`, `allow_cross_namespace: true`) and the entry points, with
their ports and whether they speak TLS. A flag on the command line is stronger than either.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

from pydantic import ValidationError

from pinfeather.model.diagnostics import Code, Diagnostic, Path, error, info, nearest, span_at
from pinfeather.model.document import Document, EntryPoint
from pinfeather.model.routes import Route, TcpRoute
from pinfeather.translators._syntax import paerser, yaml
from pinfeather.translators._syntax.decoding import decode
from pinfeather.translators._syntax.tree import LIMITS, Reading, Tree
from pinfeather.translators.contract import NOTHING, File


class Instance(NamedTuple):
    """The options by name, the entry points, and what there is to say of the file."""

    options: Mapping[str, str | bool] = NOTHING
    entry_points: Mapping[str, EntryPoint] = NOTHING
    diagnostics: tuple[Diagnostic, ...] = ()


FLAGS = frozenset(
    {
        "exposed_by_default", "allow_cross_namespace", "allow_external_name_services", "allow_empty_services", "safe_naming",
        "strict_prefix_matching",
    }
)  # fmt: skip
STATIC: tuple[tuple[tuple[str, ...], str], ...] = (
    (("providers", "docker", "exposedByDefault"), "exposed_by_default"),
    (("providers", "docker", "defaultRule"), "default_rule"),
    (("providers", "swarm", "exposedByDefault"), "exposed_by_default"),
    (("providers", "swarm", "defaultRule"), "default_rule"),
    (("providers", "kubernetesCRD", "allowCrossNamespace"), "allow_cross_namespace"),
    (("providers", "kubernetesCRD", "allowExternalNameServices"), "allow_external_name_services"),
    (("providers", "kubernetesCRD", "allowEmptyServices"), "allow_empty_services"),
    (("providers", "kubernetesCRD", "safeNaming"), "safe_naming"),
    (("providers", "kubernetesCRD", "ingressClass"), "ingress_class"),
    (("providers", "kubernetesIngress", "ingressClass"), "ingress_class"),
    (("providers", "kubernetesIngress", "strictPrefixMatching"), "strict_prefix_matching"),
)
"""Where Traefik's static configuration says what an option says (Traefik 3.7, pkg/config/static and pkg/provider)."""
_PORT = re.compile(r"[^/]*:(\d+)(?:/(?:tcp|udp))?", re.ASCII)


def read_instance(file: File, known: Collection[str]) -> Instance:
    """Our own file: a mapping of options, and `entry_points`. `known`: the options of the formats of this run, by name."""
    reading = yaml.read(file.text, file.name, yaml.CORE)[0]
    if reading.broken:
        return Instance(diagnostics=reading.diagnostics)
    if not isinstance(reading.value, dict):
        said = "an instance is a mapping: options by name, and `entry_points`"
        return Instance(diagnostics=(error(Code.VALUE, said, span=reading.span(reading.mark)),))
    options: dict[str, str | bool] = {}
    found = list(reading.diagnostics)
    for name, value in reading.value.items():
        if name == "entry_points":
            continue
        if name not in known:
            guess = nearest(name, (*known, "entry_points"))
            hint = f"did you mean {guess!r}?" if guess else f"there are {', '.join(sorted((*known, 'entry_points')))}"
            said = f"no format of this run has an option {name!r}"
            found.append(error(Code.UNKNOWN, said, instead=hint, span=reading.key_spans.get((name,))))
        elif isinstance(value, dict | list) or value is None:
            found.append(error(Code.VALUE, f"{name!r} is a text, or true or false", span=reading.spans.get((name,))))
        else:
            options[name] = value if isinstance(value, bool) else str(value)
    points: dict[str, EntryPoint] = {}
    given = reading.value.get("entry_points")
    for name, tree in (given if isinstance(given, dict) else {}).items():
        _point(name, tree if isinstance(tree, dict) else {"port": tree}, ("entry_points", name), reading, points, found)
    return Instance(options, points, tuple(found))


def read_static(file: File) -> Instance:
    """Traefik's static configuration, YAML or TOML. What is not about routing is left alone: it is Traefik's to judge."""
    reading = _static(file)
    if reading.broken:
        return Instance(diagnostics=reading.diagnostics)
    options: dict[str, str | bool] = {}
    found = list(reading.diagnostics)
    for path, name in STATIC:
        value = _at(reading.value, path)
        if value is None:
            continue
        text = paerser.scalar_text(value) or ""
        truth = paerser.parse_bool(text)
        if name in FLAGS and truth is None:
            found.append(error(Code.VALUE, f"`{'.'.join(path)}` is true or false, not {text!r}", span=reading.spans.get(path)))
        else:
            options[name] = truth if name in FLAGS and truth is not None else text
    if _at(reading.value, ("providers", "swarm")) is not None:
        options["swarm"] = True
    points: dict[str, EntryPoint] = {}
    named = _at(reading.value, ("entryPoints",))
    for name, point in (named if isinstance(named, dict) else {}).items():
        place: Path = ("entryPoints", name)
        port = _PORT.fullmatch(paerser.scalar_text(_at(point, ("address",))) or "")
        if port is None:
            said = f"the entry point {name!r} has no address with a port"
            found.append(error(Code.VALUE, said, instead='write `address: ":443"`', span=span_at(reading.spans, place)))
            continue
        tls = _at(point, ("http", "tls"))
        spoken = True if tls is not None and tls is not False else None
        _point(name, {"port": int(port[1]), "tls": spoken}, place, reading, points, found)
        if _at(point, ("http", "middlewares")):
            said = f"the entry point {name!r} sends every request through middlewares of its own, which are no part of a document"
            found.append(info(Code.SCOPE, said, span=span_at(reading.spans, place)))
    return Instance(options, points, tuple(found))


def _static(file: File) -> Reading:
    if not file.name.lower().endswith(".toml"):
        return yaml.read(file.text, file.name, yaml.GO_YAML_V3)[0]
    from pinfeather.translators._syntax import toml

    text = decode(file.text, file.name, LIMITS.stream_bytes)
    return Reading(None, (0, 0, 0, 0, ()), file.name, (text,)) if isinstance(text, Diagnostic) else toml.read(text, file.name)


def _at(tree: Tree, path: tuple[str, ...]) -> Tree:
    """What stands below a tree, its keys found in any case as Traefik finds them; None: nothing."""
    for key in path:
        children = tree if isinstance(tree, dict) else {}
        tree = next((child for name, child in children.items() if name.lower() == key.lower()), None)
    return tree


def _point(name: str, tree: Tree, at: Path, reading: Reading, points: dict[str, EntryPoint], found: list[Diagnostic]) -> None:
    try:
        points[name] = EntryPoint.model_validate(tree)
    except ValidationError as problem:
        why = problem.errors(include_url=False)[0]
        said = f"the entry point {name!r}: {why['msg']}"
        found.append(error(Code.VALUE, said, span=span_at(reading.spans, (*at, *why["loc"]))))


def with_entry_points(document: Document, points: Mapping[str, EntryPoint]) -> Document:
    """The document with what the instance says of the entry points that it uses; what it says itself is stronger."""
    routes: tuple[Route | TcpRoute, ...] = (*document.routes, *document.tcp_routes)
    used = {name for route in routes for name in route.entry_points}
    known = {name: point for name, point in points.items() if name in used or document.entry_points}
    if not known or not used <= {*known, *document.entry_points}:
        return document  # a document that names some of its entry points names them all
    plain = {name: point.port if point.tls is None else point for name, point in known.items()}
    return document.model_copy(update={"entry_points": {**plain, **document.entry_points}})
