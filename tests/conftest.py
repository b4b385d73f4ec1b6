"""Fixtures: the sandbox and the service run once for all tests that do not bend them."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import running_chromium, write_speech
from tests.support.dialects import DEPLOYMENTS
from tests.support.forks import close_forks
from tests.support.processes import await_endings
from tests.support.redis import RedisServer, running_redis
from tests.support.service import Sandbox, TokenService, app_in_process, running_sandbox, running_service
from tests.support.tools import advice
from tests.support.turns import turn

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def pytest_xdist_auto_num_workers() -> int:
    """One worker more than cores, since tests mostly wait for processes: with more they get in each other's way."""
    return min(4, (os.cpu_count() or 1) + 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that run beside no other first: one worker is given them all, and the others wait for it once."""
    items.sort(key=is_alone, reverse=True)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Generator[None]:
    """Say at the end, below pytest's own summary, what to install, where tests were skipped for want of it."""
    yield
    skipped = terminalreporter.stats.get("skipped", [])
    for line in advice(str(report.longrepr) for report in skipped):
        terminalreporter.write_line(line, bold=True)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, object, object]:
    """Run tests marked ``alone`` beside no other, one after the other."""
    alone = is_alone(item)
    with turn(alone=alone, keep=alone and nextitem is not None and is_alone(nextitem)):
        return (yield)


def is_alone(item: pytest.Item) -> bool:
    """Return whether a test measures time, so that no other may run beside it."""
    return item.get_closest_marker("alone") is not None


def pytest_sessionfinish() -> None:
    """Leave no process behind, in each of pytest-xdist's workers."""
    await_endings()
    close_forks()


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
def azure_sandbox() -> Iterator[Sandbox]:
    """The stand-in as a resource of Azure OpenAI, with deployments that are named otherwise than their models."""
    deployments = (f"--deployment={name}={model}" for model, name in DEPLOYMENTS.items())
    with running_sandbox("--azure", *deployments) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def service(sandbox: Sandbox) -> Iterator[TokenService]:
    """The token service against the sandbox, with wide limits."""
    with running_service(sandbox.base_url) as service:
        yield service


@pytest.fixture(scope="session")
def redis() -> Iterator[RedisServer]:
    """A Redis for all tests that do not stop it."""
    with running_redis() as server:
        yield server


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A Redis that the test may stop and kill."""
    with running_redis() as server:
        yield server


@pytest.fixture(params=["memory", "redis"])
def storage(request: pytest.FixtureRequest) -> str:
    """Name a storage: the process's memory, then Redis, empty."""
    if request.param == "memory":
        return "memory://"
    server: RedisServer = request.getfixturevalue("redis")
    server.client.flushall()
    return server.url


@pytest.fixture(scope="session")
def app(sandbox: Sandbox) -> TokenService:
    """The app alone, in this process, against the sandbox: for what is only HTTP's shape."""
    return app_in_process(sandbox.base_url)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Debian's Chromium, headless, with somebody humming into its microphone; Playwright runs once a process."""
    speech = tmp_path_factory.mktemp("microphone") / "speech.wav"
    write_speech(speech)
    with running_chromium(speech) as browser:
        yield browser
