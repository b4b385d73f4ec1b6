"""The guide's three ways to connect, in the beta's form and in today's, each up to a finished response."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.support.examples import Tab, program, python
from tests.support.processes import bare_environ
from tests.support.service import API_KEY, Sandbox

BETA_TEXT, BETA_AUDIO = "response.text.delta", "response.audio.delta"
TEXT, AUDIO = "response.output_text.delta", "response.output_audio.delta"


def variables(sandbox: Sandbox, credential: str = API_KEY) -> dict[str, str]:
    """Give what the guide's programs are configured with."""
    return {
        "REALTIME_URL": f"ws://{urlsplit(sandbox.base_url).netloc}/v1/realtime",
        "OPENAI_API_KEY": credential,
        "OPENAI_ORG_ID": "org-example",
        "OPENAI_PROJECT_ID": "proj_example",
    }


def environ(sandbox: Sandbox) -> dict[str, str]:
    """Give it to a process."""
    return bare_environ(**variables(sandbox))


def minted(sandbox: Sandbox, path: str, body: dict[str, Any]) -> Any:
    """Ask for a client secret as a company's server does, with its own key."""
    headers = {"Authorization": f"Bearer {API_KEY}"}
    answer = requests.post(sandbox.base_url + path, json=body, headers=headers, timeout=10)
    answer.raise_for_status()
    return answer.json()


def standard_key(_: Sandbox) -> str:
    """Give what the guide's own examples use, and no browser should hold."""
    return API_KEY


def beta_secret(sandbox: Sandbox) -> str:
    """Give a client secret of the beta."""
    model = "gpt-4o-realtime-preview-2024-12-17"
    return str(minted(sandbox, "/realtime/sessions", {"model": model})["client_secret"]["value"])


def todays_secret(sandbox: Sandbox) -> str:
    """Give a client secret of today's."""
    session = {"type": "realtime", "model": "gpt-realtime-2.1"}
    return str(minted(sandbox, "/realtime/client_secrets", {"session": session})["value"])


def assert_answered(events: list[str], delta: str) -> None:
    """Expect a session that began, and a response that came in deltas and ended."""
    assert events[0] == "session.created"
    assert delta in events
    # Others that arrived with it are still delivered while the socket closes.
    assert "response.done" in events[-2:]


def test_websocket_client_connects_by_header_in_the_beta(beta_sandbox: Sandbox) -> None:
    """Python's websocket-client sends the key and ``OpenAI-Beta: realtime=v1``."""
    assert_answered(python(program("guide/beta.py"), environ(beta_sandbox)).split(), BETA_TEXT)


def test_websocket_client_connects_by_header_today(sandbox: Sandbox) -> None:
    """Python's websocket-client sends the key alone."""
    assert_answered(python(program("guide/today.py"), environ(sandbox)).split(), TEXT)


def test_ws_connects_by_header_in_the_beta(beta_sandbox: Sandbox, run_node: Callable[..., str]) -> None:
    """Node's ws sends the key and ``OpenAI-Beta: realtime=v1``."""
    assert_answered(run_node(program("guide/beta.mjs"), environ(beta_sandbox)).split(), BETA_AUDIO)


def test_ws_connects_by_header_today(sandbox: Sandbox, run_node: Callable[..., str]) -> None:
    """Node's ws sends the key alone."""
    assert_answered(run_node(program("guide/today.mjs"), environ(sandbox)).split(), AUDIO)


@pytest.mark.parametrize("credential", [standard_key, beta_secret])
def test_a_browser_connects_by_subprotocols_in_the_beta(
    beta_sandbox: Sandbox, tab: Tab, credential: Callable[[Sandbox], str]
) -> None:
    """Chromium offers key, organisation, project and the beta's own subprotocol; ``realtime`` is selected."""
    given = variables(beta_sandbox, credential(beta_sandbox))
    logged = tab.run(program("guide/beta.browser.js"), at=beta_sandbox.base_url, **given)
    assert logged[0] == "subprotocol: realtime"
    assert_answered(logged[1:], BETA_TEXT)


@pytest.mark.parametrize("credential", [standard_key, todays_secret])
def test_a_browser_connects_by_subprotocols_today(
    sandbox: Sandbox, tab: Tab, credential: Callable[[Sandbox], str]
) -> None:
    """Chromium offers key, organisation and project; ``realtime`` is selected."""
    given = variables(sandbox, credential(sandbox))
    logged = tab.run(program("guide/today.browser.js"), at=sandbox.base_url, **given)
    assert logged[0] == "subprotocol: realtime"
    assert_answered(logged[1:], TEXT)
