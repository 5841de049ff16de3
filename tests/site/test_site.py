"""An example: replace it with tests of your own pages. docs/extending.md lists the fixtures."""

from __future__ import annotations

from chalicelib.site import brand
from tests.support.gateway import GatewayVisitor


def test_the_home_page_has_the_sites_texts(visitor: GatewayVisitor) -> None:
    assert brand.HOME["title"] in visitor.get("/").words
