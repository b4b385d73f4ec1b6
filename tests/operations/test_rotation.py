"""Secrets change while callers notice nothing: the steps that the documentation gives, taken over real processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.redis import RedisServer, running_redis
from tests.support.service import Sandbox, TokenService, running_service
from tests.support.tokens import SECRET, sign

NEW_SECRET = "the-next-secret-of-at-least-32-bytes-long"


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    """Limits shared by the old service and the new."""
    with running_redis() as redis:
        yield redis


def safety_identifier(service: TokenService, sandbox: Sandbox) -> str:
    """Mint, and return the name by which the vendor knows the user."""
    sandbox.reset()
    assert service.token().ok
    (mint,) = sandbox.mints()
    name: str = mint["headers"]["OpenAI-Safety-Identifier"]
    return name


def test_a_jwt_secret_is_replaced_in_three_steps_without_signing_anybody_out(sandbox: Sandbox) -> None:
    """Accept both, sign with the new one, and take the old one out once its last token has expired."""
    old, new = sign(), sign(key=NEW_SECRET)
    steps = {
        SECRET: {old: 200, new: 401},
        f"{SECRET},{NEW_SECRET}": {old: 200, new: 200},
        NEW_SECRET: {old: 401, new: 200},
    }
    for secret, outcome in steps.items():
        with running_service(sandbox.base_url, JWT_SECRET=secret) as service:
            assert {jwt: service.token(jwt=jwt).status_code for jwt in (old, new)} == outcome


def test_a_new_api_key_keeps_users_and_their_limits_where_the_safety_secret_is_set(
    sandbox: Sandbox, redis: RedisServer
) -> None:
    """The old service and the new one run side by side, as a platform's rollout does it."""
    common = {
        "SAFETY_IDENTIFIER_SECRET": "a-safety-secret",
        "REDIS_URL": redis.url,
        "RATE_LIMIT_PER_USER": "2/hour",
        "RATE_LIMIT_STRATEGY": "fixed-window",
    }
    with (
        running_service(sandbox.base_url, OPENAI_API_KEY="sk-test-old", **common) as before,
        running_service(sandbox.base_url, OPENAI_API_KEY="sk-test-new", **common) as after,
    ):
        assert safety_identifier(before, sandbox) == safety_identifier(after, sandbox)
        assert [before.token().status_code, after.token().status_code] == [429, 429]


def test_without_a_safety_secret_a_new_api_key_gives_every_user_a_new_name(sandbox: Sandbox) -> None:
    """Which is why the documentation says to set one from the start: the names derive from the key otherwise."""
    with (
        running_service(sandbox.base_url, OPENAI_API_KEY="sk-test-old") as before,
        running_service(sandbox.base_url, OPENAI_API_KEY="sk-test-new") as after,
    ):
        assert safety_identifier(before, sandbox) != safety_identifier(after, sandbox)


def test_a_new_safety_secret_gives_every_user_a_new_name_and_fresh_limits_once(
    sandbox: Sandbox, redis: RedisServer
) -> None:
    """That is its whole cost."""
    common = {"REDIS_URL": redis.url, "RATE_LIMIT_PER_USER": "1/hour", "OPENAI_API_KEY": "sk-test-same"}
    with (
        running_service(sandbox.base_url, SAFETY_IDENTIFIER_SECRET="first", **common) as before,
        running_service(sandbox.base_url, SAFETY_IDENTIFIER_SECRET="second", **common) as after,
    ):
        names = [safety_identifier(service, sandbox) for service in (before, after)]
        assert len(set(names)) == 2
        assert [service.token().status_code for service in (before, after)] == [429, 429]
