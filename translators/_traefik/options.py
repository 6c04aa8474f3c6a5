"""The options that all surfaces of Traefik share: its version, and what one instance is configured for.

The names are those of Traefik's static configuration, so that `--from-static traefik.yml` can fill them in.
"""

from __future__ import annotations

from typing import Literal

from pinfeather.translators.contract import Options

Version = Literal["2.10", "2.11", "3.0", "3.1", "3.2", "3.3", "3.4", "3.5", "3.6", "3.7"]


class TraefikOptions(Options):
    """Options of every format that Traefik reads."""

    traefik: Version = "3.7"
    """The version of Traefik. Up to 2.11 rules are in the v2 syntax; 2.10 is taken for 2.11."""

    @property
    def version(self) -> tuple[int, int]:
        major, _, minor = self.traefik.partition(".")
        return int(major), max(int(minor), 11) if major == "2" else int(minor)


class KubernetesOptions(TraefikOptions):
    """Options of the surfaces that Traefik reads from a Kubernetes API."""

    ingress_class: str = ""
    """The class that the instance looks at; without one it looks at objects of every class that is its own, and of none."""
    namespace: str = ""
    """The namespace of objects that name none."""
