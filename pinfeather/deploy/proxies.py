"""Components for the proxies of a cluster: a Traefik, or the reference proxy. What they are made of is in `manifests/`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import pulumi
from pydantic import JsonValue, ValidationError

from pinfeather.deploy.components import Refused
from pinfeather.deploy.manifests.common import ProxySettings
from pinfeather.deploy.manifests.reference_proxy import ReferenceProxySettings, reference_proxy_objects, secret_document_objects
from pinfeather.deploy.manifests.traefik import TraefikSettings, traefik_objects
from pinfeather.deploy.objects import make_objects
from pinfeather.deploy.settings import RefusalError
from pinfeather.deploy.translation import Tree, called, document_of
from pinfeather.translators.contract import File

S = TypeVar("S", bound=ProxySettings)


@dataclass(frozen=True)
class TraefikArgs:
    """How a Traefik in the cluster is to be."""

    settings: Mapping[str, JsonValue]
    """The fields of `TraefikSettings`: `namespace` and `entry_points` must be there."""
    manager: str = "pinfeather"
    """The field manager of what is applied."""

    def trees(self) -> tuple[Tree, ...]:
        """Raises Refused for settings that are wrong."""
        return traefik_objects(_settings(TraefikSettings, self.settings))


@dataclass(frozen=True)
class ReferenceProxyArgs:
    """How the reference proxy in the cluster is to be."""

    settings: Mapping[str, JsonValue]
    """The fields of `ReferenceProxySettings`: `namespace`, `entry_points` and `image` must be there."""
    document: str
    """The text of a canonical document, its servers named by URL."""
    manager: str = "pinfeather"

    def trees(self) -> tuple[Tree, ...]:
        """A document with secrets in it becomes a Secret. Raises Refused for settings or a document that are wrong."""
        settings = _settings(ReferenceProxySettings, self.settings)
        try:
            _, secrets = document_of(File("document", self.document), {})
        except RefusalError as problem:
            raise Refused(str(problem)) from None
        return (secret_document_objects if secrets else reference_proxy_objects)(settings, self.document)


class Traefik(pulumi.ComponentResource):
    """ServiceAccount, least rights, Deployment, Service, PodDisruptionBudget and, where asked for, an autoscaler."""

    objects: pulumi.Output[Sequence[str]]
    """What was made: `Deployment shop/traefik`."""

    def __init__(self, name: str, args: TraefikArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        trees = args.trees()
        super().__init__("pinfeather:index:Traefik", name, None, opts)
        self.objects = _made(self, name, trees, args.manager)
        self.register_outputs({"objects": self.objects})


class ReferenceProxy(pulumi.ComponentResource):
    """ConfigMap, Deployment, Service, PodDisruptionBudget and, where asked for, an autoscaler; no rights at all."""

    objects: pulumi.Output[Sequence[str]]
    """What was made: `Deployment shop/pinfeather-proxy`."""

    def __init__(self, name: str, args: ReferenceProxyArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        trees = args.trees()
        super().__init__("pinfeather:index:ReferenceProxy", name, None, opts)
        self.objects = _made(self, name, trees, args.manager)
        self.register_outputs({"objects": self.objects})


def _made(parent: pulumi.Resource, name: str, trees: Sequence[Tree], manager: str) -> pulumi.Output[Sequence[str]]:
    make_objects(name, trees, manager, lambda waits: pulumi.ResourceOptions(parent=parent, depends_on=list(waits)), lambda _: False)
    return pulumi.Output.from_input([called(each) for each in trees])


def _settings(kind: type[S], given: Mapping[str, JsonValue]) -> S:
    try:
        return kind.model_validate_json(json.dumps(dict(given)))
    except ValidationError as problem:
        first = problem.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Refused(f"settings.{where}: {first['msg'][:1].lower()}{first['msg'][1:]}") from None
