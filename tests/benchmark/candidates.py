"""Who is measured: each with the same upstream, callers and limits, as far as it knows such."""

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import jwt

from tests.support.offers import OFFER

from . import peers
from .plan import BUSY, HELD, STANDARD, Candidate

SERVICE = "service"
SERVICE_REDIS = "service, Redis"
CALLS = "service, Redis, opening calls"
SERVICE_TWO = "service, 2 processes"
FLOOR = "floor"
OWN_FLOOR = "floor, own connections"
EXPRESS = "Express"
SERVICE_UNPINNED = "service, unpinned"
EXPRESS_UNPINNED = "Express, unpinned"
FASTAPI = "FastAPI"
LITELLM = "LiteLLM"
NAMES = (
    SERVICE,
    EXPRESS,
    FLOOR,
    OWN_FLOOR,
    SERVICE_REDIS,
    CALLS,
    SERVICE_TWO,
    FASTAPI,
    LITELLM,
    SERVICE_UNPINNED,
    EXPRESS_UNPINNED,
)
UNPINNED = (SERVICE_UNPINNED, EXPRESS_UNPINNED)
"""Measured apart from the others, with no process held to a core."""
ON_REDIS = (SERVICE_REDIS, CALLS)
"""Measured apart from the others, since they are compared with each other."""

REDIS_WINDOWS = 2
"""Windows that each mint counts in under `RATE_LIMITS`: the caller's and everyone's."""

_ROOT = Path(__file__).parents[2]
_USERS = 1000
_ISSUER = "https://issuer.example"
_AUDIENCE = "realtime-token-service"
_UNREACHED = "1000000/minute"


@dataclass(frozen=True)
class Surroundings:
    """What the candidates of one run share: ports on loopback, where their packages lie, a folder for the run."""

    cache: Path
    scratch: Path
    upstream_port: int
    redis_port: int


_Maker = Callable[[int, Surroundings], Candidate]


def candidate(name: str, port: int, around: Surroundings) -> Candidate:
    """Return the candidate of that name, to be started on `port`."""
    return _MAKERS[name](port, around)


def _service(port: int, around: Surroundings) -> Candidate:
    key, python = secrets.token_urlsafe(48), str(peers.python_for_service(around.cache))
    return Candidate(
        name=SERVICE,
        port=port,
        command=(python, "-m", "gunicorn", "--config", "python:service.gunicorn_conf", "wsgi:app"),
        directory=_ROOT,
        environment={
            **_common(key, around),
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "WEB_CONCURRENCY": "1",
            "RATE_LIMIT_PER_USER": _UNREACHED,
            "RATE_LIMIT_GLOBAL": _UNREACHED,
        },
        tokens=_tokens(key),
    )


def _service_redis(port: int, around: Surroundings) -> Candidate:
    alone = _service(port, around)
    storage = {"RATE_LIMIT_STORAGE_URL": f"redis://127.0.0.1:{around.redis_port}/0"}
    return replace(alone, name=SERVICE_REDIS, environment={**alone.environment, **storage}, loads=(BUSY,))


def _calls(port: int, around: Surroundings) -> Candidate:
    """Open calls that nothing ends while they are measured: an ending is work of its own."""
    minting = _service_redis(port, around)
    unreached = {
        "ALLOWED_MODELS": "gpt-live-1.1",
        "CALLS_PER_USER": "1000000",
        "CALLS_GLOBAL": "1000000",
        "CALL_MINUTES_PER_USER": "100000000/day",
        "CALL_CHECK_SECONDS": "0",
    }
    body = json.dumps({"model": "gpt-live-1.1", "sdp": OFFER})
    environment = {**minting.environment, **unreached}
    return replace(minting, name=CALLS, environment=environment, path="/calls", body=body)


def _service_two(port: int, around: Surroundings) -> Candidate:
    shared = _service_redis(port, around)
    environment = {**shared.environment, "WEB_CONCURRENCY": "2"}
    return replace(shared, name=SERVICE_TWO, processes=2, environment=environment, loads=(*STANDARD, HELD))


def _floor(port: int, around: Surroundings) -> Candidate:
    gunicorn = ("gunicorn", "--worker-class", "gevent", "--worker-connections", "1000", "--keep-alive", "75")
    return Candidate(
        name=FLOOR,
        port=port,
        command=(
            *(str(peers.python_for_service(around.cache)), "-m", *gunicorn, "--no-control-socket"),
            *("--bind", f"127.0.0.1:{port}", "tests.benchmark.floor.app:app"),
        ),
        directory=_ROOT,
        environment=_common("", around),
        authenticates=False,
        tokens=("nobody",),
    )


def _own_floor(port: int, around: Surroundings) -> Candidate:
    usual = _floor(port, around)
    return replace(
        usual, name=OWN_FLOOR, environment={**usual.environment, "FLOOR_CONNECTIONS": "own"}, loads=(BUSY,)
    )


def _express(port: int, around: Surroundings) -> Candidate:
    key = secrets.token_urlsafe(48)
    return Candidate(
        name=EXPRESS,
        port=port,
        command=("node", "server.js"),
        directory=peers.installed("express", around.cache),
        environment={**_common(key, around), "NODE_ENV": "production", "PORT": str(port)},
        tokens=_tokens(key),
    )


def _unpinned(name: str, make: _Maker) -> _Maker:
    return lambda port, around: replace(make(port, around), name=name, pinned=False, loads=(BUSY,))


def _fastapi(port: int, around: Surroundings) -> Candidate:
    key = secrets.token_urlsafe(48)
    directory = peers.installed("fastapi", around.cache)
    return Candidate(
        name=FASTAPI,
        port=port,
        command=(
            str(directory / ".venv/bin/uvicorn"),
            "server:app",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        ),
        directory=directory,
        environment=_common(key, around),
        tokens=_tokens(key),
    )


def _litellm(port: int, around: Surroundings) -> Candidate:
    key = f"sk-{secrets.token_urlsafe(48)}"
    directory = peers.installed("litellm", around.cache)
    return Candidate(
        name=LITELLM,
        port=port,
        command=(
            str(directory / ".venv/bin/litellm"),
            *("--config", "config.yaml", "--host", "127.0.0.1", "--port", str(port)),
        ),
        directory=directory,
        environment={
            **_common("", around),
            "OPENAI_BASE_URL": f"http://127.0.0.1:{around.upstream_port}",  # it adds /v1 itself
            "LITELLM_MASTER_KEY": key,
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # or it asks the network for prices at start
        },
        path="/v1/realtime/client_secrets",
        tokens=(key,),
    )


_MAKERS = {
    SERVICE: _service,
    SERVICE_REDIS: _service_redis,
    CALLS: _calls,
    SERVICE_TWO: _service_two,
    FLOOR: _floor,
    OWN_FLOOR: _own_floor,
    EXPRESS: _express,
    FASTAPI: _fastapi,
    LITELLM: _litellm,
    SERVICE_UNPINNED: _unpinned(SERVICE_UNPINNED, _service),
    EXPRESS_UNPINNED: _unpinned(EXPRESS_UNPINNED, _express),
}


def _common(key: str, around: Surroundings) -> dict[str, str]:
    return {
        "OPENAI_API_KEY": f"sk-{secrets.token_urlsafe(48)}",
        "OPENAI_BASE_URL": f"http://127.0.0.1:{around.upstream_port}/v1",
        "JWT_SECRET": key,
        "JWT_ISSUER": _ISSUER,
        "JWT_AUDIENCE": _AUDIENCE,
    }


def _tokens(key: str) -> tuple[str, ...]:
    """Return tokens of so many users that limiters hold a realistic number of counters."""
    now = int(time.time())
    claims = {"iss": _ISSUER, "aud": _AUDIENCE, "iat": now, "exp": now + 3600}
    return tuple(jwt.encode({**claims, "sub": f"user-{n:05}"}, key, "HS256") for n in range(_USERS))
