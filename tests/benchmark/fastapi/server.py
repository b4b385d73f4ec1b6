"""The token service as a FastAPI user would write it from the packages' own documentation."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
import jwt
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from limits import parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from pydantic import BaseModel
from pydantic_settings import BaseSettings


class Settings(BaseSettings):
    """The same variables as every candidate's."""

    jwt_secret: str
    jwt_issuer: str
    jwt_audience: str
    openai_api_key: str
    openai_base_url: str


settings = Settings()
limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
limit = parse("1000000/minute")


class TokenRequest(BaseModel):
    """The body of a mint."""

    session: dict[str, Any]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Keep one pool of upstream connections, wide enough for the widest load.

    20 idle ones are the library's default, and were fastest: its pool walks through all of them on each call.
    """
    async with httpx.AsyncClient(
        headers={"Authorization": f"Bearer {settings.openai_api_key}"},
        limits=httpx.Limits(max_connections=1000, max_keepalive_connections=20),
        timeout=10,
    ) as client:
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan)


async def caller(credentials: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> str:
    """Verify the JWT and return whose it is."""
    try:
        claims = jwt.decode(
            credentials.credentials,
            settings.jwt_secret,
            algorithms=["HS256"],
            issuer=settings.jwt_issuer,
            audience=settings.jwt_audience,
            options={"require": ["exp", "sub"]},
        )
    except jwt.InvalidTokenError:
        raise HTTPException(401, "invalid token") from None
    return str(claims["sub"])


@app.post("/token")
async def token(
    user: Annotated[str, Depends(caller)], wanted: TokenRequest, request: Request, response: Response
) -> dict[str, Any]:
    """Mint."""
    if not await limiter.hit(limit, "user", user):
        raise HTTPException(429, "rate limit exceeded")
    answer = await request.app.state.client.post(
        f"{settings.openai_base_url}/realtime/client_secrets",
        json={"expires_after": {"anchor": "created_at", "seconds": 60}, "session": wanted.session},
    )
    if answer.status_code != httpx.codes.OK:
        raise HTTPException(502, "upstream error")
    response.headers["Cache-Control"] = "no-store"
    secret: dict[str, Any] = answer.json()
    return secret
