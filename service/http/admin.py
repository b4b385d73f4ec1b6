"""The routes of the company's own servers: everybody's calls, and users whose tokens are refused from now on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Final

import structlog
from flask import Blueprint, Response
from pydantic import Field

from service.auth.revocations import Revocations
from service.calls.errors import CallNotFoundError
from service.calls.factory import Calls
from service.core.errors import InvalidValueError
from service.exchange import counting_failed_auth
from service.http.call_bodies import Paging, parse_paging
from service.http.probes import check_shared_token
from service.http.request import current_request, read_json
from service.http.responses import json_response
from service.http.schemas import Name, Optional, StrictModel, read_model
from service.http.settings import HttpSettings
from service.limits.limiter import RateLimits

_LATEST: Final = 4_102_444_800
"""Latest time accepted, in seconds since the epoch (the year 2100): a later one is a mistake, such as milliseconds."""


class RevocationBody(StrictModel):
    """``POST /admin/revocations``."""

    sub: Name
    iss: Optional[Name] = None
    issued_before: Optional[Annotated[float, Field(ge=0, le=_LATEST, allow_inf_nan=False)]] = None


@dataclass(frozen=True, slots=True)
class Admin:
    """What the views call; ``calls`` is ``None`` where the vendor has none. ``name_user`` makes a pseudonym."""

    limits: RateLimits
    revocations: Revocations
    calls: Calls | None
    name_user: Callable[[str, str | None], str]
    http: HttpSettings

    def user(self, subject: str, issuer: str | None) -> str:
        """Name a user.

        Raises:
            InvalidValueError: the issuer is not one of ours, or missing where there are several.
        """
        try:
            return self.name_user(subject, issuer)
        except ValueError as error:
            raise InvalidValueError(f"Invalid value for 'iss': {error}.", param="iss") from None

    def list_calls(self, page: Paging, *, user: str | None) -> list[dict[str, Any]]:
        """List open and ending calls, oldest first, with what only an admin may see."""
        if self.calls is None:
            return []
        found = self.calls.registry.list_calls(user=user, after=page.after, limit=page.limit)
        return [call.as_json() | {"user": call.user, "upstream_id": call.upstream_id} for call in found]


def admin_routes(admin: Admin, *, token: str) -> Blueprint:
    """Make the routes; ``token`` is ``ADMIN_TOKEN``."""
    routes = Blueprint("admin", __name__, url_prefix="/admin")

    @routes.before_request
    def authenticate() -> None:
        """Accept the admin's token; any other counts as a refused credential."""
        incoming = current_request().incoming(addresses=admin.http.addresses)
        with counting_failed_auth(admin.limits, incoming):
            check_shared_token(incoming.authorization, token, name="ADMIN_TOKEN")

    @routes.get("/calls")
    def list_calls() -> Response:
        """List everybody's calls."""
        query = current_request().args
        user = query.get("user") or None
        if subject := query.get("sub"):
            user = admin.user(subject, query.get("iss"))
        return json_response({"calls": admin.list_calls(parse_paging(query), user=user)})

    @routes.delete("/calls/<call_id>")
    def end_call(call_id: str) -> Response:
        """End anybody's call."""
        if not (admin.calls and admin.calls.end(call_id, "admin")):
            raise CallNotFoundError
        return Response(status=HTTPStatus.NO_CONTENT)

    @routes.post("/revocations")
    def revoke() -> Response:
        """Refuse a user's tokens, then end the user's calls: one that is opened in between is found by one of both."""
        asked = read_model(RevocationBody, read_json(current_request(), max_bytes=admin.http.max_body_bytes))
        user = admin.user(asked.sub, asked.iss)
        issued_before = admin.revocations.revoke(user, asked.issued_before)
        ended = admin.calls.end_user(user, "revoked") if admin.calls else 0
        structlog.get_logger().info("revocation", user=user, issued_before=issued_before, calls=ended)
        return json_response({"user": user, "calls": ended})

    return routes
