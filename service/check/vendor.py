"""Check the vendor's side: our key, the models it can use and when they retire, and our clock.

One ``GET {base}/models`` (https://developers.openai.com/api/reference/resources/models/methods/list), and where that
does not name what can be used, the vendor's own way to try a model. Neither costs anything.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

import requests

from service.check.finding import Finding, ok, problem
from service.core.errors import RejectedCredentialsError
from service.vendors.base import Request
from service.vendors.credentials import Credential
from service.vendors.network import Network
from service.vendors.responses import read_error
from service.vendors.settings import VendorSettings

TIMEOUT = 10
"""Seconds a read may take."""

SKEW = 5
"""How many seconds a clock may be off: half of the default ``JWT_LEEWAY``."""

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

    @property
    def said(self) -> str:
        """The answer in words."""
        return f"answered {self.status}" + (f" ({self.code})" if self.code else "")


@dataclass(frozen=True, slots=True)
class Account:
    """What is checked: where, and who signs in with which credential.

    ``advice`` says what to do where the vendor refuses it, ``example`` is a base URL of the vendor's, and
    ``lists_models`` tells whether its list names all that the account can use.
    """

    base_url: str
    credential: str
    advice: str
    example: str
    lists_models: bool = True


def judge(
    answer: VendorAnswer,
    *,
    account: Account,
    models: Iterable[str],
    tried: Mapping[str, VendorAnswer] = MappingProxyType({}),
) -> list[Finding]:
    """Say what the answers mean for the credential, each allowed model and the clock. Pure.

    ``tried`` are the answers to trying those models that the vendor has a way to try.
    """
    findings = [_credential(answer, account)]
    if answer.status == HTTPStatus.OK:
        today = datetime.fromtimestamp(answer.received, UTC).date()
        for name in sorted(models):
            if name in tried:
                findings.append(_tried_model(name, tried[name], answer.models or {}))
            else:
                findings.append(_model(name, answer.models, today, lists_all=account.lists_models))
    return [*findings, *_clock(answer)]


def _credential(answer: VendorAnswer, account: Account) -> Finding:
    part = account.credential
    if answer.status == HTTPStatus.OK:
        return ok(part, f"accepted by {account.base_url}")
    fixes = {
        HTTPStatus.UNAUTHORIZED: account.advice,
        HTTPStatus.FORBIDDEN: f"let this {part} list models and create sessions, or {account.advice}",
        HTTPStatus.TOO_MANY_REQUESTS: "look at the account's limits and credit with the vendor, then check again",
    }
    fix = fixes.get(HTTPStatus(answer.status)) if answer.status in set(HTTPStatus) else None
    base = f"see that OPENAI_BASE_URL is the API's base, such as {account.example}"
    return problem(part, f"{account.base_url} {answer.said}", fix or base)


def _tried_model(name: str, answer: VendorAnswer, listed: Collection[str]) -> Finding:
    region = "" if name in listed else "; no model of this name is in the region's list"
    if answer.status == HTTPStatus.OK:
        return ok(f"model {name}", f"its deployment takes client secrets{region}")
    return problem(
        f"model {name}",
        f"its deployment {answer.said}{region}",
        "deploy it, in a region that has it, or name its deployment in ALLOWED_MODELS: public=deployment",
    )


def _model(
    name: str, known: Mapping[str, Mapping[str, Any]] | None, today: date, *, lists_all: bool
) -> Finding:
    part = f"model {name}"
    if known is None:
        return problem(
            part, "the vendor's list of models cannot be read", "see that OPENAI_BASE_URL is right"
        )
    if name not in known and not lists_all:
        return ok(part, "not in the vendor's list (which is incomplete), and cannot be tested free of charge")
    if name not in known:
        return problem(
            part, "unknown to this account", "correct ALLOWED_MODELS, or ask the vendor for access"
        )
    end = _shutdown(known[name])
    if end is None:
        listed = "in the vendor's list, and cannot be tested free of charge"
        return ok(part, "reachable" if lists_all else listed)
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
        RejectedCredentialsError: there is no way to sign in.
        requests.RequestException: there is no answer. Its text may hold the key.
    """
    return session.request(
        request.method,
        url + request.path,
        data=request.body,
        headers={**credential.headers(), **request.headers},
        timeout=TIMEOUT,
        allow_redirects=False,
    )


def check_vendor(
    network: Network, *, vendor: VendorSettings, models: Iterable[str], clock: Callable[[], float]
) -> list[Finding]:
    """Ask the vendor, and judge its answers or its silence."""
    url, credential = vendor.openai_base_url, vendor.credential
    account = Account(
        url, credential.name, credential.advice, vendor.row.example, lists_models=vendor.vendor.lists_models
    )

    def send(request: Request) -> VendorAnswer:
        sent = clock()
        return read_models(ask(network.session(url), url, request, credential), sent=sent, received=clock())

    tried = {}
    try:
        answer = send(vendor.vendor.models())
        if answer.status == HTTPStatus.OK:
            trials = {name: vendor.vendor.try_model(name) for name in models}
            tried = {name: send(trial) for name, trial in trials.items() if trial}
    except (RejectedCredentialsError, requests.RequestException) as error:
        return [_no_answer(error, account)]
    notes = [ok(vendor.vendor.layout.name, note) for note in vendor.vendor.notes]
    return [*judge(answer, account=account, models=models, tried=tried), *notes]


def _no_answer(error: Exception, account: Account) -> Finding:
    part, url = account.credential, account.base_url
    if isinstance(error, RejectedCredentialsError):
        return problem(part, (error.reason or error.message).removeprefix(f"{part}: "), account.advice)
    if isinstance(error, requests.exceptions.ProxyError):
        return problem(part, "the proxy refused", "see that HTTPS_PROXY and NO_PROXY are right")
    if isinstance(error, requests.exceptions.SSLError):
        return problem(
            part, f"{url} did not present a trusted certificate", "set REQUESTS_CA_BUNDLE to its CA file"
        )
    return problem(
        part,
        f"{url} cannot be reached ({type(error).__name__})",
        "see that OPENAI_BASE_URL is right and that this host may connect to it (HTTPS_PROXY)",
    )


def read_models(response: requests.Response, *, sent: float, received: float) -> VendorAnswer:
    """Read the vendor's answer to a request for its models, or to trying one of them."""
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
