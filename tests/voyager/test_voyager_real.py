"""What the format writes, taken by a real API server with Voyager's strict CRDs."""

from __future__ import annotations

import pytest

from pinfeather.model.document import Document
from pinfeather.model.normal import normal
from pinfeather.model.project import project
from pinfeather.translators import canonical, voyager
from pinfeather.translators.contract import File, Source
from tests.parts.kubernetes import KubernetesApi
from tests.voyager.test_voyager_haproxy import SEED, SHOP, read

TCP = """
tcp_routes: [{name: db, entry_points: [db], to: db}]
tcp_services: {db: {servers: [{kubernetes: {service: db, port: 3306}}], sticky: {source_address: {size: 102400, lifetime: 30m}}}}
entry_points: {db: 3306}
"""


def _documents() -> dict[str, Document]:
    shop = canonical.parse(Source((File("shop.yaml", SHOP + TCP),)), canonical.CanonicalOptions()).document
    secure = SHOP.replace("hosts: [shop.example.com], path", "tls: {secret: cert}, hosts: [shop.example.com], path")
    tls = canonical.parse(Source((File("shop.yaml", secure),)), canonical.CanonicalOptions()).document
    seed = read(SEED.replace("NOTES", "").replace("SERVICE", "ingress.appscode.com/affinity: cookie"))
    assert shop is not None
    assert tls is not None
    return {"shop": shop, "tls": tls, "seed": seed}


@pytest.mark.parametrize("api", ["v1", "v1beta1"])
@pytest.mark.parametrize("name", _documents())
def test_the_api_server_keeps_every_field(kubernetes: KubernetesApi, name: str, api: str) -> None:
    options = voyager.VoyagerOptions.model_validate({"api": api})
    kept = project(_documents()[name], voyager.supports(options)).kept
    written = voyager.emit(kept, options)
    kubernetes.apply(written.files()[0].text.partition("---\napiVersion: v1\n")[0])
    parsed = voyager.parse(written.source(), options)
    assert parsed.document is not None
    assert normal(parsed.document) == normal(kept)
