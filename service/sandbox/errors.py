"""The vendor's error as data: an HTTP body, an ``error`` event, or the reason a WebSocket is closed with.

Shape and codes: https://platform.openai.com/docs/guides/error-codes
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class ApiError(Exception):
    """An error that the vendor would answer with.

    ``status`` and ``headers`` are used where the answer goes out by HTTP; ``kind`` is the error's ``type``.
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
    def body(self) -> dict[str, Any]:
        """Return the error object that HTTP bodies and ``error`` events hold."""
        return {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}

    @property
    def close_reason(self) -> str:
        """Return the reason to close a WebSocket with."""
        return f"{self.kind}.{self.code}"


def invalid_value(message: str, param: str) -> ApiError:
    """Build the error for a member whose value is not accepted."""
    return ApiError(message, code="invalid_value", param=param)


def missing_parameter(param: str, *, hint: str = "") -> ApiError:
    """Build the error for a required member that is missing."""
    message = f"Missing required parameter: '{param}'. {hint}".rstrip()
    return ApiError(message, code="missing_required_parameter", param=param)


def invalid_api_key(redacted: str) -> ApiError:
    """Build the 401 for a wrong credential; ``redacted`` is the part of it that may be repeated."""
    message = (
        f"Incorrect API key provided: {redacted}. "
        "You can find your API key at https://platform.openai.com/account/api-keys."
    )
    return ApiError(message, code="invalid_api_key", status=401)
