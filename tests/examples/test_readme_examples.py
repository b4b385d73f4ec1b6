"""The documentation's examples, word for word, against the demo's two servers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import product

import pytest

from tests.support.documentation import marked
from tests.support.examples import Demo, Tab, python, run
from tests.support.offers import OFFER
from tests.support.service import TokenService
from tests.support.tokens import sign
from tests.support.tools import require

BOTH = ["tls_demo", "plain_demo"]
PYTHON_RUNS = [*product(["openai-python", "python-companion", "python-websocket-client"], BOTH)]
# The vendor's SDK for Node opens no socket but wss:.
NODE_RUNS = [
    *product(["openai-node", "openai-websocket"], ["tls_demo"]),
    *product(["openai-agents", "ws"], BOTH),
]
BROWSER_EXAMPLES = ["browser-module", "browser-websocket"]
BROWSER_RUNS = [*product(BROWSER_EXAMPLES, BOTH)]

EXAMPLES = marked("example")
A_SENTENCE = re.compile(r"\w+( \w+)+")


@pytest.fixture
def demo(request: pytest.FixtureRequest) -> Demo:
    """The demo, over TLS or plain, as the test asks."""
    demo: Demo = request.getfixturevalue(request.param)
    return demo


def test_every_marked_example_is_run_here() -> None:
    """An example that is marked as run, and that nobody runs, would be a promise unkept."""
    tested = {name for name, _ in [*PYTHON_RUNS, *NODE_RUNS, *BROWSER_RUNS]}
    assert set(EXAMPLES) == {"curl", "curl-call", "browser-call", *tested}


@pytest.mark.parametrize("demo", BOTH, indirect=True)
def test_curl(demo: Demo) -> None:
    """It is answered with a secret and all that is needed to use it."""
    require("curl")
    answer = json.loads(run(("sh", "-s"), EXAMPLES["curl"], demo.environ()))
    assert answer["value"].startswith("ek_")
    assert answer["session"]["model"] == "gpt-realtime-2.1"
    assert answer["connection"]["protocols"][0] == "realtime"


def test_curl_opens_a_call(plain_demo: Demo) -> None:
    """With the body in a file."""
    require("curl")
    body = {"model": "gpt-live-1.1", "sdp": OFFER, "max_seconds": 300}
    printed = run(
        ("sh", "-s"), EXAMPLES["curl-call"], plain_demo.environ(), files={"call.json": json.dumps(body)}
    )
    assert json.loads(printed)["call"]["max_seconds"] == 300


@pytest.mark.parametrize(("name", "demo"), PYTHON_RUNS, indirect=["demo"])
def test_python(name: str, demo: Demo) -> None:
    """The program prints what the model says."""
    assert A_SENTENCE.search(python(EXAMPLES[name], demo.environ()))


@pytest.mark.parametrize(("name", "demo"), NODE_RUNS, indirect=["demo"])
def test_node(name: str, demo: Demo, run_node: Callable[..., str]) -> None:
    """The program prints what the model says."""
    assert A_SENTENCE.search(run_node(EXAMPLES[name], demo.environ()))


@pytest.mark.parametrize(("name", "demo"), BROWSER_RUNS, indirect=["demo"])
def test_browser(name: str, demo: Demo, tab: Tab) -> None:
    """The script, on a page of the service's own origin, logs what the model says."""
    logged = tab.run(EXAMPLES[name], at=f"{demo.url}/healthz", TOKEN_SERVICE=demo.url, JWT=demo.visitor())
    assert A_SENTENCE.search("".join(logged))


@pytest.mark.parametrize("demo", BOTH, indirect=True)
def test_browser_call(demo: Demo, tab: Tab) -> None:
    """The call is opened, tells its time, and is ended by the app."""
    logged = tab.run_call(
        EXAMPLES["browser-call"], at=f"{demo.url}/healthz", TOKEN_SERVICE=demo.url, JWT=demo.visitor()
    )
    assert re.fullmatch(r"\d+ s left", logged[0])
    assert logged[-1] == "ended by client null"


@pytest.mark.parametrize("name", BROWSER_EXAMPLES)
def test_browser_on_another_origin(name: str, cors_service: TokenService, app_origin: str, tab: Tab) -> None:
    """The script, on an app's own origin that ``ALLOWED_ORIGINS`` names, logs what the model says."""
    page = f"{app_origin}/sdk/page.html"
    logged = tab.run(EXAMPLES[name], at=page, TOKEN_SERVICE=cors_service.url, JWT=sign(sub=name))
    assert A_SENTENCE.search("".join(logged))
