"""The table of our own formats, by name: the module that holds each `TRANSLATOR`. A module is imported when it is used."""

from __future__ import annotations

from importlib import import_module

from pinfeather.translators.contract import AnyTranslator, Translator

MODULES = {
    "pinfeather": "canonical",
    "traefik-file": "traefik_file",
    "docker-labels": "docker_labels",
    "ingressroute": "ingressroute",
    "ingress": "ingress",
    "helm-values": "helm_values",
    "voyager": "voyager",
}
TITLES = {
    "pinfeather": "the canonical document",
    "traefik-file": "Traefik's dynamic configuration, YAML or TOML",
    "docker-labels": "Traefik's labels on containers: compose files, docker inspect, docker run",
    "ingressroute": "Traefik's Kubernetes objects",
    "ingress": "Kubernetes Ingresses with Traefik's annotations",
    "helm-values": "values of a Helm chart that hold Traefik's objects as texts",
    "voyager": "Voyager's Ingress (AppsCode, HAProxy), and the annotations of its Services",
}


def load(name: str) -> AnyTranslator:
    """One of our own formats. Raises KeyError for a name that is not in the table."""
    translator = import_module(f"pinfeather.translators.{MODULES[name]}").TRANSLATOR
    assert isinstance(translator, Translator)
    return translator
