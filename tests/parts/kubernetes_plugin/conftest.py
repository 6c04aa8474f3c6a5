"""The stand-in, running against the real API server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.parts.kubernetes import KubernetesApi
from tests.parts.kubernetes_plugin.asking import (
    Client,
    kubeconfig,
    started,
)


@pytest.fixture(scope="module")
def running(kubernetes_server: KubernetesApi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with started(tmp_path_factory.mktemp("plugin"), kubeconfig=kubeconfig(kubernetes_server), upsertExistingObjects="true") as client:
        yield client


@pytest.fixture
def plugin(running: Client, kubernetes: KubernetesApi) -> Client:
    """The stand-in with `upsertExistingObjects`, as the product configures it; the API server is empty."""
    del kubernetes
    return running
