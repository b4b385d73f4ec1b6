"""Every refusal and failure the service knows, in one tree.

    ServiceError
    ├── InvalidRequestError        400  the caller's request is wrong
    │   ├── InvalidJSONError       400
    │   ├── UnknownParameterError  400
    │   ├── InvalidValueError      400
    │   │   └── MissingModelError  400
    │   └── RejectedSessionError   400  the vendor refused the caller's session configuration
    ├── UnauthorizedError          401
    │   ├── MissingTokenError      401
    │   └── InvalidTokenError      401
    ├── ForbiddenError             403
    │   ├── InsufficientScopeError       403
    │   ├── ModelNotAllowedError         403
    │   ├── SessionFieldNotAllowedError  403
    │   └── SessionTypeNotAllowedError   403
    ├── RequestTimeoutError        408
    ├── RequestTooLargeError       413
    ├── UnsupportedMediaTypeError  415
    ├── RequestHeaderFieldsTooLargeError  431  the access token is over 16 KB
    ├── RateLimitedError           429
    ├── UpstreamError              502  the vendor answered something unusable
    │   ├── RejectedCredentialsError     502  the vendor refused our key
    │   └── LeakedKeyError               502  the vendor's answer holds our key
    ├── UnavailableError           503  a part we need is unavailable; try again later
    │   ├── UpstreamRateLimitedError           503
    │   ├── UpstreamUnavailableError           503
    │   ├── UpstreamQuotaExhaustedError        503  our account has no credit, or reached a spend limit
    │   ├── RateLimitStorageUnavailableError   503
    │   │   ├── StorageFailureError            503
    │   │   └── StorageBusyError               503
    │   └── IdentityProviderUnavailableError   503
    ├── UpstreamTimeoutError       504
    └── InternalError              500  an internal error

Those of calls are in ``service.calls.errors``.

An error carries data, not HTTP objects: ``message``, ``param`` and ``code`` are for the caller,
``reason`` is for the log alone. The shape of the answer is the vendor's
(https://platform.openai.com/docs/guides/error-codes).
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from math import ceil
from typing import Any, ClassVar


class ServiceError(Exception):
    """A request that ends without a client secret.

    ``status``, ``type`` and ``code`` are what the caller is answered; ``param`` names the member that is to blame;
    ``retry_after`` is in seconds; ``reason`` explains to the admin, in the log only, where an ``alarm`` is an ERROR.
    """

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    code: str | None = "internal_error"
    alarm: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        reason: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.reason = reason
        self.retry_after = retry_after

    @property
    def body(self) -> dict[str, dict[str, str | None]]:
        """The JSON the caller reads, in the vendor's shape."""
        return error_body(self.message, type=self.type, param=self.param, code=self.code)

    @property
    def headers(self) -> dict[str, str]:
        """What the status itself asks for, such as ``Retry-After`` (RFC 9110 §10.2.3, whole seconds)."""
        if self.retry_after is None:
            return {}
        return {"Retry-After": str(max(1, ceil(self.retry_after)))}


def error_body(
    message: str,
    *,
    type: str,  # noqa: A002 - the vendor's member is called so
    param: str | None = None,
    code: str | None = None,
) -> dict[str, dict[str, str | None]]:
    """Build the vendor's error shape."""
    return {"error": {"message": message, "type": type, "param": param, "code": code}}


def code_of(status: HTTPStatus) -> str:
    """Name an HTTP status that none of our own errors stands for: ``not_found``, ``method_not_allowed``."""
    return status.phrase.lower().replace(" ", "_").replace("-", "_")


class InvalidRequestError(ServiceError):
    """The request is invalid."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_request"


class InvalidJSONError(InvalidRequestError):
    """The body is not one JSON object."""

    code = "invalid_json"


class UnknownParameterError(InvalidRequestError):
    """A member that the route does not know; ``param`` names it."""

    code = "unknown_parameter"


class InvalidValueError(InvalidRequestError):
    """A known member with a value it cannot have; ``param`` names it."""

    code = "invalid_value"


class MissingModelError(InvalidValueError):
    """No model is named, and there is no default; ``param`` names the member."""


class RejectedSessionError(InvalidRequestError):
    """The vendor refused the caller's session configuration; its words are passed on."""

    def __init__(
        self, message: str, *, param: str | None = None, code: str | None = None, reason: str | None = None
    ) -> None:
        super().__init__(message, param=param, reason=reason)
        self.code = code or "invalid_request"


class UnauthorizedError(ServiceError):
    """The caller is not authenticated (RFC 6750 §3)."""

    status = 401
    type = "invalid_request_error"

    challenge: ClassVar[str] = 'Bearer realm="token-service"'

    @property
    def headers(self) -> dict[str, str]:
        """The challenge that RFC 9110 §11.6.1 asks of a 401."""
        return {**super().headers, "WWW-Authenticate": self.challenge}


class MissingTokenError(UnauthorizedError):
    """No bearer token; by RFC 6750 §3.1 the challenge then names no error."""

    code = "missing_token"

    def __init__(self) -> None:
        super().__init__(
            "No access token was given. Send your app's JWT as 'Authorization: Bearer <JWT>'.",
            reason="no bearer token in the Authorization header",
        )


class InvalidTokenError(UnauthorizedError):
    """A bearer token that is not accepted. ``reason`` tells the log why; the caller never learns."""

    code = "invalid_token"
    challenge = UnauthorizedError.challenge + ', error="invalid_token"'

    def __init__(self, reason: str, **seen: Any) -> None:
        super().__init__(
            "The access token is invalid or has expired. Sign in again and send a fresh JWT.", reason=reason
        )
        self.seen = seen


class ForbiddenError(ServiceError):
    """The caller is authenticated, but not allowed to have this."""

    status = 403
    type = "invalid_request_error"


class InsufficientScopeError(ForbiddenError):
    """The token lacks a scope (RFC 6750 §3.1)."""

    code = "insufficient_scope"

    def __init__(self, scope: str) -> None:
        super().__init__(f"The access token lacks the scope {scope!r}.", reason=f"scope {scope!r} is missing")
        self.scope = scope

    @property
    def headers(self) -> dict[str, str]:
        """The challenge that names the scope to ask for."""
        challenge = f'{UnauthorizedError.challenge}, error="insufficient_scope", scope="{self.scope}"'
        return {**super().headers, "WWW-Authenticate": challenge}


class ModelNotAllowedError(ForbiddenError):
    """The admin does not allow the resolved model."""

    code = "model_not_allowed"


class SessionFieldNotAllowedError(ForbiddenError):
    """A member of the session that the admin's policy keeps from this caller."""

    code = "session_field_not_allowed"


class SessionTypeNotAllowedError(ForbiddenError):
    """A type of session for which this caller may have no client secret, or no call."""

    code = "session_type_not_allowed"


class RequestTimeoutError(ServiceError):
    """The body did not arrive in time."""

    status = 408
    type = "invalid_request_error"
    code = "request_timeout"


class RequestTooLargeError(ServiceError):
    """The body is over ``MAX_BODY_BYTES``."""

    status = 413
    type = "invalid_request_error"
    code = "request_too_large"


class UnsupportedMediaTypeError(ServiceError):
    """The body is not declared as JSON."""

    status = 415
    type = "invalid_request_error"
    code = "unsupported_media_type"


class RequestHeaderFieldsTooLargeError(ServiceError):
    """The access token is longer than 16,384 characters (RFC 6585 §5)."""

    status = 431
    type = "invalid_request_error"
    code = "request_header_fields_too_large"


class RateLimitedError(ServiceError):
    """A limit is used up: ``limit`` says whose, ``user``, ``address`` or ``global``.

    ``quota_headers`` tell the caller how the caller's own limit stands.
    """

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"

    def __init__(
        self, message: str, *, limit: str, retry_after: float, quota_headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, retry_after=retry_after, reason=f"{limit} limit")
        self.limit = limit
        self.quota_headers = quota_headers or {}

    @property
    def headers(self) -> dict[str, str]:
        """When to come back, and how the caller's quota stands."""
        return {**super().headers, **self.quota_headers}


class UpstreamError(ServiceError):
    """The vendor answered something unusable."""

    status = 502
    type = "upstream_error"
    code = "upstream_error"


class RejectedCredentialsError(UpstreamError):
    """The vendor refused our own key: an alarm for the admin, nothing that the caller can fix."""

    code = "upstream_rejected_credentials"
    alarm = True


class LeakedKeyError(UpstreamError):
    """Our own key is in an answer that would be passed on: an alarm for the admin, who should replace it."""

    alarm = True


class UnavailableError(ServiceError):
    """Something that the request needs is unavailable for the moment."""

    status = 503
    type = "server_error"


class UpstreamRateLimitedError(UnavailableError):
    """The vendor limits our account."""

    type = "upstream_error"
    code = "upstream_rate_limited"


class UpstreamUnavailableError(UnavailableError):
    """The vendor cannot be reached, or says it is unavailable.

    ``sent`` is false where no connection could be made: the vendor has received nothing, and done nothing.
    """

    type = "upstream_error"
    code = "upstream_unavailable"
    sent = True


class UpstreamQuotaExhaustedError(UnavailableError):
    """Our account with the vendor has no credit, or reached a spend limit: an alarm, and no use in trying again."""

    type = "upstream_error"
    code = "upstream_quota_exhausted"
    alarm = True

    @property
    def headers(self) -> dict[str, str]:
        """Tell the vendor's SDKs, which retry a 503 twice by themselves, not to."""
        return {**super().headers, "x-should-retry": "false"}


class RateLimitStorageUnavailableError(UnavailableError):
    """Requests cannot be counted; ``reason`` is for the log."""

    code = "rate_limit_storage_unavailable"

    def __init__(self, reason: str) -> None:
        message = "Requests cannot be counted at the moment. Try again shortly."
        super().__init__(message, reason=reason, retry_after=1.0)


class StorageFailureError(RateLimitStorageUnavailableError):
    """The storage failed, or is known to be unavailable."""


class StorageBusyError(RateLimitStorageUnavailableError):
    """No connection to the storage was free in time: this process is overloaded, and the storage is not at fault."""


class IdentityProviderUnavailableError(UnavailableError):
    """No JWKS has been fetched yet, so no token can be verified."""

    code = "identity_provider_unavailable"


class UpstreamTimeoutError(ServiceError):
    """The total deadline (``UPSTREAM_TIMEOUT``) passed; ``sent`` is false where no connection was made until then."""

    status = 504
    type = "upstream_error"
    code = "upstream_timeout"
    sent = True


class InternalError(ServiceError):
    """An internal error: the log has all of it, the caller nothing."""

    def __init__(self) -> None:
        super().__init__(
            "Internal error. The service's log has the details under this response's X-Request-Id.",
            reason="an unforeseen exception",
        )
