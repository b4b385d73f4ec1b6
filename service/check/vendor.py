"""Check the vendor's side: our key, the models it can use and when they retire, and our clock.

One ``GET {base}/models``, which costs nothing
(https://developers.openai.com/api/reference/resources/models/methods/list).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import requests

from service.check.finding import Finding, ok, problem
from service.vendors.base import Request
from service.vendors.credentials import Credential
from service.vendors.openai import read_error
from service.vendors.outbound import Network
from service.vendors.settings import VendorSettings

TIMEOUT = 10
"""Seconds a read may take."""

SKEW = 5
"""Seconds that a clock may be off: half of the default ``JWT_LEEWAY``."""

NOTICE = timedelta(days=30)
"""How long before a model's end its mere announcement becomes a problem."""


@dataclass(frozen=True, slots=True)
class VendorAnswer:
    """What the vendor said to a request for its models, and when by our clock (seconds since the epoch)."""

    status: int
    code: str | None
    date: str | None
    models: Mapping[str, Mapping[str, Any]] | None
    sent: float
    received: float


def judge(answer: VendorAnswer, *, base_url: str, models: Iterable[str]) -> list[Finding]:
    """Say what the answer means for the key, each allowed model and the clock. Pure."""
    findings = [_key(answer, base_url)]
    if answer.status == HTTPStatus.OK:
        today = datetime.fromtimestamp(answer.received, UTC).date()
        findings += [_model(name, answer.models, today) for name in sorted(models)]
    return [*findings, *_clock(answer)]


def _key(answer: VendorAnswer, base_url: str) -> Finding:
    if answer.status == HTTPStatus.OK:
        return ok("key", f"accepted by {base_url}")
    said = f"{base_url} answered {answer.status}" + (f" ({answer.code})" if answer.code else "")
    if answer.status == HTTPStatus.UNAUTHORIZED:
        return problem(
            "key", said, "put a valid key into OPENAI_API_KEY (of the organisation and project, if set)"
        )
    if answer.status == HTTPStatus.FORBIDDEN:
        return problem(
            "key", said, "give the key's project the permission to list models and to create sessions"
        )
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        return problem(
            "key", said, "look at the account's limits and credit with the vendor, then check again"
        )
    return problem(
        "key", said, "see that OPENAI_BASE_URL is the API's base, such as https://api.openai.com/v1"
    )


def _model(name: str, known: Mapping[str, Mapping[str, Any]] | None, today: date) -> Finding:
    part = f"model {name}"
    if known is None:
        return problem(
            part, "the vendor's list of models cannot be read", "see that OPENAI_BASE_URL is right"
        )
    if name not in known:
        return problem(
            part, "unknown to this account", "correct ALLOWED_MODELS, or ask the vendor for access"
        )
    end = _shutdown(known[name])
    if end is None:
        return ok(part, "reachable")
    if end - today > NOTICE:
        return ok(part, f"reachable until its announced shutdown on {end}")
    return problem(
        part, f"its announced shutdown is on {end}", "allow its successor in ALLOWED_MODELS instead"
    )


def _shutdown(model: Mapping[str, Any]) -> date | None:
    try:
        return date.fromisoformat(model["shutdown_date"])
    except (KeyError, TypeError, ValueError):
        return None


def _clock(answer: VendorAnswer) -> list[Finding]:
    try:
        theirs = parsedate_to_datetime(answer.date or "").timestamp()
    except ValueError:
        return []
    # A Date has whole seconds; only what neither that nor the time on the network explains is skew.
    skew = max(answer.sent - (theirs + 1), theirs - answer.received, 0)
    if skew <= SKEW:
        return [ok("clock", "agrees with the vendor's")]
    side = "ahead of" if theirs < answer.sent else "behind"
    seen = f"{skew:.0f} s {side} the vendor's"
    return [problem("clock", seen, "synchronise this machine's clock (NTP): tokens are judged by it")]


def ask(session: requests.Session, url: str, request: Request, credential: Credential) -> requests.Response:
    """Send one request, with the key; no redirect is followed.

    Raises:
        requests.RequestException: there is no answer. Its text may hold the key.
    """
    headers = {**credential.headers(), **request.headers}
    return session.request(
        request.method, url + request.path, headers=headers, timeout=TIMEOUT, allow_redirects=False
    )


def check_vendor(
    network: Network, *, vendor: VendorSettings, models: Iterable[str], clock: Callable[[], float]
) -> list[Finding]:
    """Ask the vendor, and judge its answer or its silence."""
    url, sent = vendor.openai_base_url, clock()
    try:
        response = ask(network.session(url), url, vendor.vendor.models(), vendor.credential)
    except requests.exceptions.ProxyError:
        return [problem("key", "the proxy refused", "see that HTTPS_PROXY and NO_PROXY are right")]
    except requests.exceptions.SSLError:
        return [problem("key", f"{url} showed no trusted certificate", "name its CA in REQUESTS_CA_BUNDLE")]
    except requests.RequestException as error:
        return [
            problem(
                "key",
                f"{url} cannot be reached ({type(error).__name__})",
                "see that OPENAI_BASE_URL is right and that this host may connect to it (HTTPS_PROXY)",
            )
        ]
    return judge(read_models(response, sent=sent, received=clock()), base_url=url, models=models)


def read_models(response: requests.Response, *, sent: float, received: float) -> VendorAnswer:
    """Read the vendor's answer to a request for its models."""
    try:
        models = {model["id"]: model for model in response.json()["data"]}
    except (ValueError, KeyError, TypeError):
        models = None
    code = read_error(response.content).get("code")
    return VendorAnswer(
        status=response.status_code,
        code=code if isinstance(code, str) else None,
        date=response.headers.get("Date"),
        models=models,
        sent=sent,
        received=received,
    )
