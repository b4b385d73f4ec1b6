"""Fixtures: the sandbox and the service run once for all tests that do not bend them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.service import Sandbox, TokenService, running_sandbox, running_service


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """The vendor's stand-in."""
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def beta_sandbox() -> Iterator[Sandbox]:
    """The stand-in that speaks the retired beta as well."""
    with running_sandbox("--beta") as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def service(sandbox: Sandbox) -> Iterator[TokenService]:
    """The token service against the sandbox, with wide limits."""
    with running_service(sandbox.base_url) as service:
        yield service
