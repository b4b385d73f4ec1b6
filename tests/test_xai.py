"""xAI: client secrets that hold nothing, told by a vendor whose answers a test writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI

from tests.support.service import API_KEY, TokenService, running_service
from tests.support.tokens import sign
from tests.support.vendor import Answer, Vendor, scripted_vendor

MINTED = {"value": "xai-realtime-client-secret-1", "expires_at": 4_102_444_800}
MODEL = "grok-voice-latest"


@pytest.fixture(scope="module")
def vendor() -> Iterator[Vendor]:
    with scripted_vendor() as vendor:
        yield vendor


@pytest.fixture(scope="module")
def service(vendor: Vendor) -> Iterator[TokenService]:
    with running_service(vendor.base_url, OPENAI_VENDOR="xai", DEFAULT_MODEL=MODEL) as service:
        yield service


@pytest.fixture(autouse=True)
def _answers(vendor: Vendor) -> None:
    vendor.will(Answer(200, json.dumps(MINTED).encode()))


def test_a_secret_is_minted_without_a_session(vendor: Vendor, service: TokenService) -> None:
    answer = service.token({"expires_after": {"seconds": 30}})

    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        **MINTED,
        "session": {"type": "realtime", "model": MODEL},
        "connection": {
            "url": f"{vendor.base_url.replace('http', 'ws', 1)}/realtime?model={MODEL}",
            "protocols": [f"xai-client-secret.{MINTED['value']}"],
        },
    }
    [(path, headers, body)] = vendor.requests
    assert (path, body) == ("/v1/realtime/client_secrets", {"expires_after": {"seconds": 30}})
    assert headers["authorization"] == f"Bearer {API_KEY}"
    assert "openai-safety-identifier" not in headers


def test_the_drop_in_route_answers_what_the_vendor_did(service: TokenService) -> None:
    body = {"expires_after": {"seconds": 300}}
    assert service.post("/v1/realtime/client_secrets", body).json() == MINTED
    with OpenAI(base_url=f"{service.url}/v1", api_key=sign()) as client:
        assert client.realtime.client_secrets.create().value == MINTED["value"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"session": {"instructions": "Be brief."}}, "session.instructions"),
        ({"session": {"model": MODEL, "voice": "eve"}}, "session.voice"),
        ({"session": {"type": "transcription"}}, "session.type"),
        ({"session": {"type": "translation"}}, "session.type"),
    ],
)
def test_what_its_secrets_would_not_hold_is_refused(
    vendor: Vendor, service: TokenService, body: dict[str, Any], param: str
) -> None:
    for path in ("/token", "/v1/realtime/client_secrets"):
        refused = service.post(path, body)
        error = refused.json()["error"]
        if (path, param, body["session"].get("type")) == (
            "/v1/realtime/client_secrets",
            "session.type",
            "translation",
        ):
            assert refused.status_code == 400  # the route itself knows no such type
            continue
        assert (refused.status_code, error["code"], error["param"]) == (400, "invalid_request", param)
        assert "OPENAI_VENDOR=xai" in error["message"]
    assert vendor.requests == []


def test_a_model_that_is_not_allowed_is_refused_though_a_secret_could_open_it(service: TokenService) -> None:
    refused = service.token({"session": {"model": "grok-other"}})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "model_not_allowed")
