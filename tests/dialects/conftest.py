"""Fixtures: one service and one vendor for each dialect, started when the first test of that dialect needs them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.dialects import Dialect, running_azure, running_beta, running_ga, running_xai
from tests.support.service import Sandbox


@pytest.fixture(scope="session")
def ga(sandbox: Sandbox) -> Iterator[Dialect]:
    with running_ga(sandbox) as dialect:
        yield dialect


@pytest.fixture(scope="session")
def beta(beta_sandbox: Sandbox) -> Iterator[Dialect]:
    with running_beta(beta_sandbox) as dialect:
        yield dialect


@pytest.fixture(scope="session")
def azure(azure_sandbox: Sandbox) -> Iterator[Dialect]:
    with running_azure(azure_sandbox) as dialect:
        yield dialect


@pytest.fixture(scope="session")
def xai() -> Iterator[Dialect]:
    with running_xai() as dialect:
        yield dialect


@pytest.fixture(params=["ga", "beta", "azure", "xai"])
def dialect(request: pytest.FixtureRequest) -> Dialect:
    """Every dialect in turn, its vendor's records empty."""
    dialect: Dialect = request.getfixturevalue(request.param)
    dialect.reset()
    return dialect
