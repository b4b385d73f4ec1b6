"""Fixtures: the demo, over TLS and plain, the packages of Node, and a browser's page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.examples import Demo, Tab, install_node_packages, node, running_demo, running_origin
from tests.support.service import TokenService, running_service
from tests.support.tools import require

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def tls_demo() -> Iterator[Demo]:
    """Both servers over TLS, as the vendor's and every deployed one are."""
    with running_demo("--tls") as demo:
        yield demo


@pytest.fixture(scope="session")
def plain_demo() -> Iterator[Demo]:
    """Both servers without TLS, as somebody tries them first."""
    with running_demo() as demo:
        yield demo


@pytest.fixture(scope="session")
def run_node() -> Callable[..., str]:
    """Run a Node program among the packages of the lock file, which are installed where they are not."""
    require("node", "npm")
    install_node_packages()
    return node


@pytest.fixture
def tab(chromium: Browser) -> Iterator[Tab]:
    """A fresh browser tab, which takes the certificates of loopback as they come."""
    context = chromium.new_context(ignore_https_errors=True, bypass_csp=True)
    context.set_default_timeout(15_000)
    yield Tab(context.new_page())
    context.close()


@pytest.fixture(scope="session")
def app_origin(run_node: Callable[..., str]) -> Iterator[str]:  # noqa: ARG001 - its packages are served too
    """An app's own origin, which is not the token service's."""
    with running_origin() as origin:
        yield origin


@pytest.fixture(scope="session")
def cors_service(tls_demo: Demo, app_origin: str) -> Iterator[TokenService]:
    """A token service that lets the app's origin in, and every user once."""
    with running_service(
        tls_demo.sandbox_url,
        ALLOWED_ORIGINS=app_origin,
        REQUESTS_CA_BUNDLE=tls_demo.certificate or "",
        RATE_LIMIT_PER_USER="1/hour",
    ) as service:
        yield service
