"""The components for programs in other languages: a plugin that the engine starts, and asks to make them.

Their inputs are what every language has: texts, lists and maps. The schema is made of these annotations, which have to be there when the
module is loaded: so no `from __future__ import annotations` here. `plugin/pulumi-resource-pinfeather-components` starts it.
"""

import sys
from importlib.metadata import version
from typing import Any, NotRequired, TypedDict

import pulumi
from pulumi.errors import InputPropertyError
from pulumi.provider import ConstructResult
from pulumi.provider.experimental.component import ComponentProvider
from pulumi.provider.server import ComponentInitError, main
from typing_extensions import override

from pinfeather.deploy import components, proxies

NAME = "pinfeather-components"


class RoutesInputs(TypedDict):
    """See `RoutesArgs`."""

    document: str
    """The text of a canonical document."""
    format: str
    folder: NotRequired[str]
    namespace: NotRequired[str]
    options: NotRequired[dict[str, str]]
    allow: NotRequired[list[str]]
    bind: NotRequired[dict[str, str]]
    policy: NotRequired[dict[str, Any]]
    manager: NotRequired[str]


class TraefikInputs(TypedDict):
    """See `TraefikArgs`."""

    settings: dict[str, Any]
    manager: NotRequired[str]


class ReferenceProxyInputs(TypedDict):
    """See `ReferenceProxyArgs`."""

    settings: dict[str, Any]
    document: str
    manager: NotRequired[str]


class Routes(components.Routes):
    """A document in the format of one proxy."""

    paths: pulumi.Output[dict[str, str]]
    objects: pulumi.Output[list[str]]

    def __init__(self, name: str, args: RoutesInputs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, components.RoutesArgs(**args), opts)


class Traefik(proxies.Traefik):
    """A Traefik in the cluster."""

    objects: pulumi.Output[list[str]]

    def __init__(self, name: str, args: TraefikInputs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, proxies.TraefikArgs(**args), opts)


class ReferenceProxy(proxies.ReferenceProxy):
    """The reference proxy in the cluster."""

    objects: pulumi.Output[list[str]]

    def __init__(self, name: str, args: ReferenceProxyInputs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, proxies.ReferenceProxyArgs(**args), opts)


class Host(ComponentProvider):
    """Makes the components. What is refused is told as such, and not as a fault of a program."""

    def __init__(self) -> None:
        super().__init__([Routes, Traefik, ReferenceProxy], NAME, None, version("pinfeather"))

    @override
    def construct(
        self, name: str, resource_type: str, inputs: pulumi.Inputs, options: pulumi.ResourceOptions | None = None
    ) -> ConstructResult:
        try:
            return super().construct(name, resource_type, inputs, options)
        except ComponentInitError as problem:
            if isinstance(problem.inner, components.Refused):
                raise InputPropertyError("document", str(problem.inner)) from None
            raise


if __name__ == "__main__":
    main(Host(), sys.argv[1:])
