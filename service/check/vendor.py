"""The vendor's side: is our key accepted, can it see the models, when do they end, is our clock right.

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

from service.check.finding import Finding, ill, well
from service.vendors import wire
from service.vendors.outbound import Network

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
        return well("key", f"accepted by {base_url}")
    said = f"{base_url} answered {answer.status}" + (f" ({answer.code})" if answer.code else "")
    if answer.status == HTTPStatus.UNAUTHORIZED:
        return ill(
            "key", said, "put a valid key into OPENAI_API_KEY (of the organisation and project, if set)"
        )
    if answer.status == HTTPStatus.FORBIDDEN:
        return ill("key", said, "give the key's project the permission to list models and to create sessions")
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        return ill("key", said, "look at the account's limits and credit with the vendor, then check again")
    return ill("key", said, "see that OPENAI_BASE_URL is the API's base, such as https://api.openai.com/v1")


def _model(name: str, known: Mapping[str, Mapping[str, Any]] | None, today: date) -> Finding:
    part = f"model {name}"
    if known is None:
        return ill(part, "the vendor's list of models cannot be read", "see that OPENAI_BASE_URL is right")
    if name not in known:
        return ill(part, "unknown to this account", "correct ALLOWED_MODELS, or ask the vendor for access")
    end = _shutdown(known[name])
    if end is None:
        return well(part, "reachable")
    if end - today > NOTICE:
        return well(part, f"reachable until its announced shutdown on {end}")
    return ill(part, f"its announced shutdown is on {end}", "allow its successor in ALLOWED_MODELS instead")


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
    # The Date lies in its whole second; only what neither that nor the way there explains is skew.
    skew = max(answer.sent - (theirs + 1), theirs - answer.received, 0)
    if skew <= SKEW:
        return [well("clock", "agrees with the vendor's")]
    side = "ahead of" if theirs < answer.sent else "behind"
    seen = f"{skew:.0f} s {side} the vendor's"
    return [ill("clock", seen, "synchronise this machine's clock (NTP): tokens are judged by it")]


def ask(network: Network, api: wire.Api, *, clock: Callable[[], float]) -> VendorAnswer:
    """List the vendor's models.

    Raises:
        requests.RequestException: where there is no answer. Its text may hold the key.
    """
    session = network.session(api.base_url)
    sent = clock()
    response = session.get(
        api.base_url + wire.MODELS_PATH,
        headers=wire.account_headers(api.account),
        timeout=TIMEOUT,
        allow_redirects=False,
    )
    return VendorAnswer(
        status=response.status_code,
        code=_code(response),
        date=response.headers.get("Date"),
        models=_models(response),
        sent=sent,
        received=clock(),
    )


def _code(response: requests.Response) -> str | None:
    code = wire.read_error(response.content).get("code")
    return code if isinstance(code, str) else None


def _models(response: requests.Response) -> Mapping[str, Mapping[str, Any]] | None:
    try:
        return {model["id"]: model for model in response.json()["data"]}
    except (ValueError, KeyError, TypeError):
        return None


def check_vendor(
    network: Network,
    *,
    api: wire.Api,
    models: Iterable[str],
    clock: Callable[[], float],
) -> list[Finding]:
    """Ask the vendor, and judge its answer or its silence."""
    try:
        answer = ask(network, api, clock=clock)
    except requests.exceptions.ProxyError:
        return [ill("key", "the proxy refused", "see that HTTPS_PROXY and NO_PROXY are right")]
    except requests.exceptions.SSLError:
        return [
            ill("key", f"{api.base_url} showed no trusted certificate", "name its CA in REQUESTS_CA_BUNDLE")
        ]
    except requests.RequestException as error:
        return [
            ill(
                "key",
                f"{api.base_url} cannot be reached ({type(error).__name__})",
                "see that OPENAI_BASE_URL is right and that this host may connect to it (HTTPS_PROXY)",
            )
        ]
    return judge(answer, base_url=api.base_url, models=models)
