"""What a stack is made of, decided without the engine: its settings, its document, and what becomes of it in its format.

`Plan.of` reads the files that the settings name, and nothing else. A refused translation or wrong configuration stops here, before
the first resource; `pinfeather plan` and `pinfeather render` begin here too.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from pinfeather._convert_command import allowances
from pinfeather._files import FileError
from pinfeather._sources import UsageError, file
from pinfeather.deploy.settings import RefusalError, Run, Settings, WeightOwner
from pinfeather.deploy.translation import Translation, Tree, document_of, translation
from pinfeather.model.diagnostics import Allowed
from pinfeather.model.document import Document
from pinfeather.model.services import LoadBalancer, Server

LOOPBACK = "127.0.0.1"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the quicker one, where it was built


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a stack is made of."""

    name: str
    settings: Settings
    root: Path
    said: Translation

    @classmethod
    def of(cls, name: str, settings: Settings, root: Path) -> Plan:
        """Raises RefusalError with every finding, each at its line."""
        if sys.platform == "win32":
            raise RefusalError("deploying needs Linux or macOS; `pinfeather convert` and `pinfeather lint` work on Windows")
        try:
            document, secrets = document_of(file(root / settings.document), settings.bind)
            allowed = tuple(allowances(root / settings.allow)) if settings.allow else ()
            adopted = objects_of_file(root / settings.adopted) if settings.adopted else ()
        except (FileError, UsageError) as problem:
            raise RefusalError(str(problem)) from None
        return cls.of_document(name, settings, root, document, secrets, allowed, adopted)

    @classmethod
    def of_document(
        cls,
        name: str,
        settings: Settings,
        root: Path,
        document: Document,
        secrets: frozenset[str] = frozenset(),
        allowed: Sequence[Allowed] = (),
        adopted: Sequence[Tree] = (),
    ) -> Plan:
        """The same of a document that was read already. Raises RefusalError."""
        if _default_run(settings) is Run.HERE:
            document = _at_demo_ports(document, settings.demo_ports)
        said = translation(
            document,
            settings.format,
            settings.options,
            allowed=allowed,
            namespace=settings.namespace,
            secrets=secrets | frozenset(settings.bind.values()),
            adopted=adopted,
        )
        plan = cls(name, settings, root, said)
        plan._check()
        return plan

    @property
    def run(self) -> Run:
        """Which proxy serves the routes."""
        return _default_run(self.settings)

    @property
    def in_cluster(self) -> bool:
        """Whether anything of it goes into a cluster."""
        return bool(self.said.objects or self.said.patches) or self.run in (Run.TRAEFIK, Run.REFERENCE_PROXY, Run.BESIDE)

    @property
    def folder(self) -> str | None:
        """Where files go; absolute."""
        return str((self.root / self.settings.out).resolve()) if self.settings.out else None

    def _check(self) -> None:
        said, settings = self.said, self.settings
        if said.files and self.run is not Run.HERE and not settings.out:
            raise RefusalError(f"{settings.format} writes files, and nobody said where they go: `pulumi config set pinfeather:out FOLDER`")
        if self.run is Run.HERE and (said.objects or said.patches):
            raise RefusalError(
                f"pinfeather:run: `here` runs a Traefik that reads files, and {settings.format} writes objects: "
                "use `traefik-file`, or `beside`, which reads a cluster"
            )
        if settings.weight_owner is WeightOwner.EXTERNAL and not any(tree["kind"] == "TraefikService" for tree in said.objects):
            raise RefusalError(
                f"pinfeather:weightOwner: `external` leaves the weights of TraefikServices alone, and {settings.format} wrote none here"
            )


def _default_run(settings: Settings) -> Run:
    if settings.run is not None:
        return settings.run
    return Run.HERE if not settings.out and settings.format == "traefik-file" else Run.NOTHING


def namespace_of(plan: Plan) -> str:
    """Where objects go that say none, without asking a cluster. Raises RefusalError where the stack does not say it."""
    if plan.settings.namespace is None and plan.in_cluster:
        raise RefusalError("pinfeather:namespace is missing: without a cluster nobody knows where the objects go")
    return plan.settings.namespace or "default"


def objects_of_file(path: Path) -> tuple[Tree, ...]:
    """The objects of a YAML stream. Raises RefusalError and FileError."""
    data = file(path).text
    try:
        read = [tree for tree in yaml.load_all(data, _LOADER) if tree is not None]
    except yaml.YAMLError as problem:
        raise RefusalError(f"{path}: {' '.join(str(problem).split())}") from None
    found = [each for tree in read for each in (tree["items"] if isinstance(tree, dict) and tree.get("kind") == "List" else [tree])]
    for each in found:
        if not (isinstance(each, dict) and {"apiVersion", "kind", "metadata"} <= each.keys() and each["metadata"].get("name")):
            raise RefusalError(f"{path}: a document of it is no object of Kubernetes: it needs apiVersion, kind and metadata.name")
    return tuple(found)


def _at_demo_ports(document: Document, first: int) -> Document:
    """The same document with its loopback servers on the stack's ports, one after the other from `first`."""
    ports = iter(range(first, first + 1000))

    def moved(server: Server) -> Server:
        if server.url is None or urlsplit(server.url).hostname != LOOPBACK:
            return server
        return server.model_copy(update={"url": f"http://{LOOPBACK}:{next(ports)}"})

    services = {
        name: service.model_copy(update={"servers": tuple(moved(server) for server in service.servers)})
        if isinstance(service, LoadBalancer)
        else service
        for name, service in document.services.items()
    }
    return document.model_copy(update={"services": services})
