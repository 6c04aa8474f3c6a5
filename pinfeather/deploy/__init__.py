"""Deploying with Pulumi: components and resources for programs, and the provider plugin that carries them out.

    from pinfeather.deploy import ReferenceProxy, Routes, Traefik

Nothing is loaded before it is asked for: `pinfeather.deploy.config_file` and its neighbours work without Pulumi.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pinfeather.deploy.components import Refused, Routes, RoutesArgs
    from pinfeather.deploy.proxies import ReferenceProxy, ReferenceProxyArgs, Traefik, TraefikArgs
    from pinfeather.deploy.resources import ConfigFile, LocalProcess, RouteSet

_PLACES = {
    "Refused": "components",
    "Routes": "components",
    "RoutesArgs": "components",
    "ReferenceProxy": "proxies",
    "ReferenceProxyArgs": "proxies",
    "Traefik": "proxies",
    "TraefikArgs": "proxies",
    "ConfigFile": "resources",
    "LocalProcess": "resources",
    "RouteSet": "resources",
}

__all__ = [
    "ConfigFile",
    "LocalProcess",
    "ReferenceProxy",
    "ReferenceProxyArgs",
    "Refused",
    "RouteSet",
    "Routes",
    "RoutesArgs",
    "Traefik",
    "TraefikArgs",
]


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module(f"pinfeather.deploy.{_PLACES[name]}"), name)
