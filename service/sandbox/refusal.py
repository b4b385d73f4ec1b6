"""The vendor's error, as data: it becomes an HTTP body, an ``error`` event or a close reason.

Shape and codes: https://platform.openai.com/docs/guides/error-codes
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Refusal(Exception):  # noqa: N818 - it is an answer, not an accident
    """What the vendor says no with.

    ``status`` and further ``headers`` are those of an answer by HTTP.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        kind: str = "invalid_request_error",
        status: int = 400,
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param
        self.kind = kind
        self.status = status
        self.headers = headers

    @property
    def error(self) -> dict[str, Any]:
        """The error object of bodies and events."""
        return {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}

    @property
    def close_reason(self) -> str:
        """The reason a WebSocket is closed with."""
        return f"{self.kind}.{self.code}"


def missing(param: str) -> Refusal:
    """A required member is not there."""
    message = f"Missing required parameter: '{param}'."
    return Refusal(message, code="missing_required_parameter", param=param)


def invalid_api_key(shown: str) -> Refusal:
    """The credential is none; ``shown`` is as much of it as may be repeated."""
    message = (
        f"Incorrect API key provided: {shown}. "
        "You can find your API key at https://platform.openai.com/account/api-keys."
    )
    return Refusal(message, code="invalid_api_key", status=401)
