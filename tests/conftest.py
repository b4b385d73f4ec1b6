"""Fixtures: the sandbox and the service run once for all tests that do not bend them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import running_chromium, write_speech
from tests.support.service import Sandbox, TokenService, running_sandbox, running_service

if TYPE_CHECKING:
    from playwright.sync_api import Browser


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
    """The stand-in as a resource of Azure OpenAI, with two deployments that are named otherwise than their models."""
    deployments = ("--deployment=my-voice=gpt-realtime-2.1", "--deployment=my-ears=gpt-4o-transcribe")
    with running_sandbox("--azure", *deployments) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def service(sandbox: Sandbox) -> Iterator[TokenService]:
    """The token service against the sandbox, with wide limits."""
    with running_service(sandbox.base_url) as service:
        yield service


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Debian's Chromium, headless, with somebody humming into its microphone; Playwright runs once a process."""
    speech = tmp_path_factory.mktemp("microphone") / "speech.wav"
    write_speech(speech)
    with running_chromium(speech) as browser:
        yield browser
