"""Policies and callers for tests: real documents, validated as the service validates them."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import Any

from service.core.errors import ServiceError
from service.core.model import Caller, Grant, TokenRequest
from service.http.schemas import RequestBody, TokenBody, parse_body
from service.policy import Policy, PolicyDocument
from service.vendors.openai import LAYOUT as OPENAI

MODELS = ("gpt-realtime-2.1", "gpt-realtime-2.1-mini", "gpt-4o-transcribe", "gpt-realtime-translate")


def caller(**claims: Any) -> Caller:
    """Make a caller whose JWT says this."""
    subject = str(claims.get("sub", "ada"))
    read_only = MappingProxyType(claims)  # as the authenticator hands them on
    return Caller(issuer="https://issuer.test", subject=subject, claims=read_only, pseudonym="pseudonym")


def document(members: dict[str, Any]) -> PolicyDocument:
    """Load a document as the service does."""
    return PolicyDocument.load(json.dumps(members))


def policy(members: dict[str, Any] | None = None, **values: Any) -> Policy:
    """Make a policy with the contract's default values, and a document if there is one."""
    defaults: dict[str, Any] = {
        "allowed_models": MODELS,
        "default_model": MODELS[0],
        "token_ttl": 60,
        "token_max_ttl": 600,
        "layout": OPENAI,
        "document": None if members is None else document(members),
    }
    return Policy(**(defaults | values))


def decide(
    decider: Policy,
    body: dict[str, Any],
    claims: dict[str, Any] | None = None,
    route: type[RequestBody] = TokenBody,
) -> Grant:
    """Decide on a body as a route would."""
    return decider.decide(caller(**(claims or {})), parse_body(route, json.dumps(body).encode()))


def decide_call(decider: Policy, body: dict[str, Any], claims: dict[str, Any] | None = None) -> Grant:
    """Decide on a request for a call: ``max_seconds`` beside a token's members."""
    session = dict(body.get("session", {}))
    request = TokenRequest(
        session_type=session.pop("type", None),
        session=session,
        model=body.get("model"),
        profile=body.get("profile"),
        action="call",
        max_seconds=body.get("max_seconds"),
    )
    return decider.decide(caller(**(claims or {})), request)


def refusal(
    decider: Policy,
    body: dict[str, Any],
    claims: dict[str, Any] | None = None,
    route: type[RequestBody] = TokenBody,
) -> ServiceError | None:
    """Decide, and return the refusal, if there is one."""
    try:
        decide(decider, body, claims, route)
    except ServiceError as error:
        return error
    return None
