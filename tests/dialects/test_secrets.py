"""Sections 1 to 4 of the contract in every dialect: what a secret is minted for, what comes back, what is refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from openai import BadRequestError, OpenAI

from service.vendors.base import model_path
from tests.support.dialects import (
    BROKEN,
    EARS,
    LIVE,
    MODEL,
    REFUSED,
    TRANSLATOR,
    XAI_ANSWERS,
    Dialect,
    digest,
)
from tests.support.realtime import bearing, line, offering
from tests.support.tokens import sign
from tests.support.vendor import Answer, Vendor

SESSIONS: dict[str, dict[str, Any]] = {
    "realtime": {},
    "transcription": {"model": EARS, "session": {"type": "transcription"}},
    "translation": {
        "model": TRANSLATOR,
        "session": {"type": "translation", "audio": {"output": {"language": "es"}}},
    },
}
URLS = {
    "realtime": "/realtime?model={model}",
    "transcription": "/realtime?intent=transcription",
    "translation": "/realtime/translations?model={model}",
}


def error_of(answer: requests.Response) -> tuple[int, str, str | None]:
    """Read what a refusal says to programs."""
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["param"]


@pytest.mark.parametrize("session_type", SESSIONS)
def test_a_secret_of_each_type_is_minted_with_its_recipe_or_is_a_400(
    dialect: Dialect, session_type: str
) -> None:
    """The caller knows models by their public names; the vendor is sent its own, and the account's key."""
    asked = SESSIONS[session_type]
    model = asked.get("model", dialect.model)
    answer = dialect.service.token(asked)

    if session_type not in dialect.mint_path:
        assert error_of(answer) == (400, "invalid_request", "session.type")
        assert dialect.name in answer.json()["error"]["message"]
        assert dialect.mints() == []
        return
    assert answer.status_code == 200, answer.text
    assert {"X-Request-Id", "RateLimit", "RateLimit-Policy"} <= set(answer.headers)
    assert answer.headers["Cache-Control"] == "no-store"
    body = answer.json()
    assert type(body["expires_at"]) is int
    told = body["session"]
    for member in model_path("transcription" if session_type == "transcription" else "realtime"):
        told = told[member]
    assert told == model
    public = dialect.vendor.base_url
    websocket = public.replace("http", "ws", 1) + URLS[session_type].format(model=dialect.at_vendor(model))
    calls = "/realtime/translations/calls" if session_type == "translation" else "/realtime/calls"
    webrtc = {"calls_url": f"{public}{calls}{dialect.calls_query}"} if dialect.webrtc else {}
    protocols = [protocol.replace("*", body["value"]) for protocol in dialect.protocols]
    assert body["connection"] == {"url": websocket, "protocols": protocols, **webrtc}
    [mint] = dialect.mints()
    assert (mint.path, mint.key) == (dialect.mint_path[session_type], digest(dialect.key))
    sent: Any = mint.session
    if dialect.sent or dialect.webrtc:
        for member in model_path("transcription" if session_type == "transcription" else "realtime"):
            sent = sent[member]
        assert sent == dialect.at_vendor(model)


def test_a_user_has_one_pseudonym_at_the_vendor(dialect: Dialect) -> None:
    """Where the vendor takes one; xAI documents no header for it."""
    for user in ("ada@example.com", "ada@example.com", "bob@example.com"):
        assert dialect.service.token(jwt=sign(sub=user)).ok

    first, again, other = (mint.user for mint in dialect.mints())
    if dialect.names_users:
        assert first == again != other
        assert len(first or "") == 64
    else:
        assert (first, again, other) == (None, None, None)


@pytest.mark.parametrize(("asked", "seconds"), [({}, 60), ({"expires_after": {"seconds": 30}}, 30)], ids=str)
def test_a_secret_lives_as_long_as_is_asked_for_or_that_is_a_400(
    dialect: Dialect, asked: dict[str, Any], seconds: int
) -> None:
    answer = dialect.service.token(asked)

    if asked and not dialect.expiry:
        assert error_of(answer) == (400, "invalid_request", "expires_after")
        return
    assert answer.status_code == 200, answer.text
    [mint] = dialect.mints()
    assert mint.body.get("expires_after", {}).get("seconds") == (seconds if dialect.expiry else None)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"model": "gpt-nonsense"}, (403, "model_not_allowed", "model")),
        ({"session": {"model": "gpt-nonsense"}}, (403, "model_not_allowed", "session.model")),
        ({"colour": 1}, (400, "unknown_parameter", "colour")),
        ({"session": {"type": "opera"}}, (400, "invalid_value", "session.type")),
        ({"expires_after": {"seconds": 7201}}, (400, None, None)),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_no_dialect_has_is_refused_in_the_same_words(
    dialect: Dialect, body: dict[str, Any], found: tuple[int, str | None, str | None]
) -> None:
    answered = error_of(dialect.service.token(body))

    assert [a for a, f in zip(answered, found, strict=True) if f] == [f for f in found if f]
    assert dialect.mints() == []


def test_a_live_session_has_no_secrets_in_any_dialect(dialect: Dialect) -> None:
    """The vendor's API that has them says which route opens them; elsewhere there is no such model."""
    body: dict[str, Any] = {"session": {"type": "live"}}
    by_type = [dialect.service.token(body), dialect.service.token({**body, "model": LIVE})]
    if dialect.drop_in:
        by_type.append(dialect.service.post("/v1/realtime/client_secrets", body))
    by_model = dialect.service.token({"model": LIVE})

    code = "invalid_value" if dialect.calls else "invalid_request"
    assert {error_of(answer) for answer in by_type} == {(400, code, "session.type")}
    if dialect.calls:
        assert error_of(by_model) == (400, "invalid_value", "model")
        assert all("POST /calls" in answer.json()["error"]["message"] for answer in (*by_type, by_model))
    else:
        assert error_of(by_model) == (403, "model_not_allowed", "model")
    assert dialect.mints() == []


def test_the_vendors_words_about_a_session_reach_the_caller(dialect: Dialect) -> None:
    """With its member and its code; xAI's secrets hold no session, so that the service says so itself."""
    voice: Any = {"audio": {"output": {"voice": 7}}} if dialect.drop_in else {"voice": 7}
    answer = dialect.service.token({"session": voice})

    status, code, param = error_of(answer)
    assert status == 400
    if dialect.voice:
        assert code in {"invalid_type", "invalid_value"}
        assert str(param).endswith("voice")
    else:
        assert (code, param) == ("invalid_request", "session.audio")
        dialect.vendor.will(Answer(400, b'{"error": {"message": "Odd.", "param": "p", "code": "c"}}'))  # type: ignore[union-attr]
        assert error_of(dialect.service.token()) == (400, "c", "p")


def test_every_failure_of_the_vendor_is_told_as_the_contract_says(
    ga: Dialect, beta: Dialect, azure: Dialect, xai: Dialect
) -> None:
    """In the sandbox's dialects all at once, since two failures take as long as a mint may; at xAI one by one."""
    told = {fault: (*expected, None) for fault, expected in (REFUSED | BROKEN).items()}
    cases = [(dialect, fault) for dialect in (ga, beta, azure) for fault in told]

    with ThreadPoolExecutor(len(cases)) as pool:
        answers = pool.map(lambda case: case[0].service.token({"model": case[1]}), cases)
        answered = [
            (dialect.name, fault, error_of(a)) for (dialect, fault), a in zip(cases, answers, strict=True)
        ]
    assert answered == [(dialect.name, fault, told[fault]) for dialect, fault in cases]

    assert isinstance(xai.vendor, Vendor)
    for fault, answer in XAI_ANSWERS.items():
        xai.vendor.will(answer)
        assert error_of(xai.service.token()) == told[fault], fault


def test_the_vendors_own_sdk_mints_by_the_drop_in_routes_or_is_told_where_to_ask(dialect: Dialect) -> None:
    """The answer is the vendor's, without a recipe."""
    session: Any = {"type": "realtime", "model": dialect.model}
    with OpenAI(base_url=f"{dialect.service.url}/v1", api_key=sign(), max_retries=0) as client:
        if not dialect.drop_in:
            with pytest.raises(BadRequestError, match=f"not available with {dialect.name}.*POST /token"):
                client.realtime.client_secrets.create(session=session)
            return
        secret = client.realtime.client_secrets.create(session=session).model_dump(exclude_none=True)
        assert "connection" not in secret
        assert secret.get("session", session)["model"] == dialect.model
        translation: Any = {"model": TRANSLATOR, "audio": {"output": {"language": "es"}}}
        if "translation" in dialect.mint_path:
            translated = client.realtime.translations.client_secrets.create(session=translation)
            assert translated.session.model == TRANSLATOR
        else:
            with pytest.raises(BadRequestError, match="has realtime sessions only"):
                client.realtime.translations.client_secrets.create(session=translation)


@pytest.mark.parametrize("name", ["ga", "beta", "azure"])
def test_the_recipe_opens_a_conversation_with_what_was_minted(
    name: str, request: pytest.FixtureRequest
) -> None:
    """By its subprotocols; on Azure, where these are documented nowhere, the sandbox takes a bearer token alone."""
    dialect: Dialect = request.getfixturevalue(name)
    body = dialect.service.token({"session": dialect.voice}).json()
    options = bearing(body["value"]) if dialect.sent else {"subprotocols": body["connection"]["protocols"]}

    query = "?" + body["connection"]["url"].partition("?")[2]
    with line(dialect.vendor.base_url, query, **options) as client:
        text = {"output_modalities" if dialect.drop_in else "modalities": ["text"]}
        client.send({"type": "response.create", "response": text})
        created, *_, done = client.listen(lambda event: event["type"] == "response.done")
    assert created["type"] == "session.created"
    assert done["response"]["status"] == "completed"
    with line(dialect.vendor.base_url, query, **options) as again:
        again.listen()
    assert again.closed == (3000, "invalid_request_error.ephemeral_token_already_used")


@pytest.mark.parametrize("member", ["instructions", "voice"])
def test_what_xais_secrets_would_not_hold_is_refused_at_both_routes(xai: Dialect, member: str) -> None:
    xai.reset()
    for path in ("/token", "/v1/realtime/client_secrets"):
        refused = xai.service.post(path, {"session": {"model": xai.model, member: "eve"}})
        assert error_of(refused) == (400, "invalid_request", f"session.{member}")
        assert xai.name in refused.json()["error"]["message"]
    assert xai.mints() == []


def test_in_the_beta_no_member_of_a_session_sets_its_secrets_life(beta: Dialect) -> None:
    """The session is the whole body there, so that a compatible server could take one."""
    longer = {"client_secret": {"expires_after": {"anchor": "created_at", "seconds": 7200}}}

    assert error_of(beta.service.token({"session": longer}))[0::2] == (400, "session.client_secret")
    beta.reset()
    assert beta.service.token({"session": {"voice": "ash"}}).ok
    [mint] = beta.mints()
    assert mint.body == {"voice": "ash", "model": MODEL}


def test_an_offered_secret_of_todays_api_opens_no_second_session_elsewhere(ga: Dialect) -> None:
    """A secret for one model does not open another one's session, whatever its recipe says."""
    secret = ga.service.token().json()["value"]
    with line(ga.vendor.base_url, f"?model={EARS}", **offering(secret)) as client:
        client.listen()
    assert client.closed == (4000, "invalid_request_error.invalid_model")
