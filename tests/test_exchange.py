"""An exchange needs no Flask, raises nothing, and records whatever happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from service.core import errors
from service.core.model import Caller, ClientSecret, Grant, Record, TokenRequest
from service.exchange import Exchange, Incoming, counting_failed_auth
from service.http.schemas import TokenBody, parse_body
from tests.support.authentication import AUDIENCE, ISSUER, NOW, SECRET, sign_in
from tests.support.limits import limits
from tests.support.policies import policy
from tests.support.tokens import sign

KNOWN = Record(request_id="r-1")
MINTED = ClientSecret("ek_1", NOW + 60, {"id": "sess_1"}, {})


@dataclass
class Given:
    """An action that does what a test tells it to, and the steps that were reached."""

    then: Callable[[], ClientSecret] = lambda: MINTED
    steps: list[str] = field(default_factory=list)
    event: str = "mint"

    def read(self, body: bytes) -> TokenRequest:
        self.steps.append("read")
        return parse_body(TokenBody, body)

    def act(self, caller: Caller, request: TokenRequest, grant: Grant) -> ClientSecret:
        assert caller.subject
        assert grant.model
        assert request.session_type is None
        self.steps.append("act")
        return self.then()


def good_token() -> str:
    return sign(SECRET, iss=ISSUER, aud=AUDIENCE, iat=NOW, exp=NOW + 3600)


def incoming(token: str | None = None, body: bytes = b"{}") -> Incoming:
    return Incoming(
        f"Bearer {good_token() if token is None else token}", lambda: "198.51.100.1", lambda: body
    )


@pytest.fixture
def exchange() -> Exchange:
    """Real parts, but for the vendor."""
    authenticator = sign_in().authenticator
    return Exchange(authenticator, policy(), limits(per_user="1/minute", failed_auth="1/minute"))


def test_what_is_granted_is_recorded_with_all_that_was_known(exchange: Exchange) -> None:
    outcome = exchange.run(Given(), incoming(), KNOWN)
    record = outcome.record
    assert outcome.result is record.result is MINTED
    assert record.caller is not None
    assert record.grant is not None
    assert record.quota_headers["RateLimit-Policy"] == '"user";q=1;w=60'
    assert (record.request_id, record.event, record.error) == ("r-1", "mint", None)
    assert record.limit_storage == "ok"
    assert record.upstream_seconds is not None


@pytest.mark.parametrize(
    ("token", "body", "error", "steps"),
    [
        ("junk", b"{}", errors.InvalidTokenError, []),
        (None, b"{", errors.InvalidJSONError, ["read"]),
        (None, b'{"model": "gpt-4o"}', errors.ModelNotAllowedError, ["read"]),
    ],
)
def test_what_is_refused_goes_no_further(
    exchange: Exchange, token: str | None, body: bytes, error: type[Exception], steps: list[str]
) -> None:
    action = Given()
    record = exchange.run(action, incoming(token, body), KNOWN).record
    assert (type(record.error), action.steps) == (error, steps)
    assert (record.caller is None) is (token == "junk")
    assert record.upstream_seconds is None


def test_the_body_is_read_for_known_callers_only(exchange: Exchange) -> None:
    def read() -> bytes:
        pytest.fail("the body of an unknown caller was read")

    exchange.run(Given(), Incoming("Bearer junk", lambda: "198.51.100.1", read), KNOWN)


def test_the_vendor_is_not_asked_once_a_limit_is_used_up(exchange: Exchange) -> None:
    exchange.run(Given(), incoming(), KNOWN)
    action = Given()
    record = exchange.run(action, incoming(), KNOWN).record
    assert (type(record.error), action.steps) == (errors.RateLimitedError, ["read"])


def test_an_unforeseen_exception_is_recorded_as_every_other_end_is(exchange: Exchange) -> None:
    fault = RuntimeError("unforeseen")

    def fail() -> ClientSecret:
        raise fault

    record = exchange.run(Given(fail), incoming(), KNOWN).record
    assert (record.code, record.fault) == ("internal_error", fault)
    assert record.caller is not None
    assert record.upstream_seconds is not None


def test_refused_requests_of_a_user_are_counted_and_then_the_body_is_not_read() -> None:
    """Those that are refused before they count: 400, 403 and 413, and nothing else."""
    refusing = Exchange(sign_in().authenticator, policy(), limits(refused_per_user="3/minute"))

    def refuse_with(error: Exception | None, body: bytes = b"{}") -> str | None:
        reads: list[bytes] = []

        def read() -> bytes:
            if error:
                raise error
            reads.append(body)
            return body

        bearer = incoming().authorization
        return refusing.run(Given(), Incoming(bearer, "198.51.100.1", read), KNOWN).record.code

    uncounted = [errors.UnsupportedMediaTypeError("no"), errors.RequestTimeoutError("no")]
    assert [refuse_with(error) for error in uncounted * 3] == [
        "unsupported_media_type",
        "request_timeout",
    ] * 3
    assert refuse_with(errors.RequestTooLargeError("no")) == "request_too_large"
    assert refuse_with(None, b"{") == "invalid_json"
    assert refuse_with(None, b'{"model": "gpt-4o"}') == "model_not_allowed"
    assert refuse_with(pytest.fail.Exception("the body was read")) == "rate_limit_exceeded"


def test_a_user_with_many_requests_at_once_has_no_more_of_them_decided_on() -> None:
    """Whoever sends heads first and all the bodies later was let in with each, and is looked at again."""
    refusing = Exchange(sign_in().authenticator, policy(), limits(refused_per_user="2/minute"))
    steps: list[str | None] = []

    def read_after(others: int) -> bytes:
        if others:
            late = Incoming(incoming().authorization, "198.51.100.1", lambda: read_after(others - 1))
            steps.append(refusing.run(Given(), late, KNOWN).record.code)
        return b"{"

    outermost = Incoming(incoming().authorization, "198.51.100.1", lambda: read_after(4))
    steps.append(refusing.run(Given(), outermost, KNOWN).record.code)
    assert steps == ["invalid_json"] * 2 + ["rate_limit_exceeded"] * 3


def test_refused_credentials_are_counted_and_valid_ones_are_not(exchange: Exchange) -> None:
    codes = [exchange.run(Given(), incoming("junk"), KNOWN).record.code for _ in range(2)]
    assert codes == ["invalid_token", "rate_limit_exceeded"]
    assert exchange.run(Given(), incoming(), KNOWN).record.error is None


def test_a_missing_credential_is_not_counted(exchange: Exchange) -> None:
    codes = {
        exchange.run(Given(), Incoming(None, lambda: "198.51.100.1", bytes), KNOWN).record.code
        for _ in range(3)
    }
    assert codes == {"missing_token"}


def test_any_credential_is_counted_in_the_one_place(exchange: Exchange) -> None:
    for expected in (errors.InvalidTokenError, errors.RateLimitedError):
        with pytest.raises(expected), counting_failed_auth(exchange.limits, incoming()):
            raise errors.InvalidTokenError("no")
