"""A service for each dialect of the vendors' APIs, and what differs between them, for the cases of the contract.

Those that have calls run as in production, the others in a thread of the tests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.service import API_KEY, Sandbox, TokenService, running_service, serving_app
from tests.support.vendor import Answer, Vendor, scripted_vendor
from tests.support.voice import ADMIN_TOKEN, Voice

MODEL = "gpt-realtime-2.1"
LIVE = "gpt-live-1.1"
EARS = "gpt-live-transcribe"
TRANSLATOR = "gpt-realtime-translate"
GROK = "grok-voice-latest"
METRICS_TOKEN = "a-token-for-metrics"
DEPLOYMENTS = {MODEL: "my-voice", LIVE: "my-live", EARS: "my-ears"}

REFUSED = {
    "fault-401": (502, "upstream_rejected_credentials"),
    "fault-429": (503, "upstream_rate_limited"),
    "fault-500": (502, "upstream_error"),
    "fault-503": (503, "upstream_unavailable"),
}
"""What the vendor surely refuses, by the sandbox's model, and how the caller is told."""
BROKEN = {
    "fault-html": (502, "upstream_error"),
    "fault-truncated": (502, "upstream_error"),
    "fault-empty": (502, "upstream_error"),
    "fault-hang": (504, "upstream_timeout"),
    "fault-drip": (504, "upstream_timeout"),
    "fault-reset": (503, "upstream_unavailable"),
}
"""Answers that leave open what the vendor did."""
LOST = {
    "fault-lost": (503, "upstream_unavailable"),
    "fault-no-location": (502, "upstream_error"),
}
"""Openings that succeed at the vendor without telling anybody."""
ENDINGS = ("fault-hangup-500", "fault-hangup-404")

XAI_MINTED = b'{"value": "xai-realtime-client-secret-1", "expires_at": 4102444800}'
XAI_ANSWERS = {
    "fault-401": Answer(401, b'{"error": {"message": "No.", "code": "unauthorized"}}'),
    "fault-429": Answer(429, b'{"error": {"message": "No."}}'),
    "fault-500": Answer(500, b'{"error": {"message": "No."}}'),
    "fault-503": Answer(503, b'{"error": {"message": "No."}}'),
    "fault-html": Answer(200, b"<html>"),
    "fault-truncated": Answer(200, XAI_MINTED[:30]),
    "fault-empty": Answer(200, b""),
    "fault-reset": Answer(None),
}
"""The same faults as answers of a vendor that has no sandbox; the rest are the transport's affair."""


@dataclass(frozen=True)
class Mint:
    """A request for a secret, as the vendor got it. ``key`` is the hash of what signed it."""

    path: str
    body: dict[str, Any]
    key: str
    user: str | None

    @property
    def session(self) -> dict[str, Any]:
        """The session that it asks for: the beta's is the whole body."""
        inner: dict[str, Any] = self.body.get("session", self.body)
        return inner


@dataclass(frozen=True)
class Dialect:
    """A running service, its vendor, and what the vendor has.

    ``name`` is how refusals name the dialect. ``sent`` is what models are called at the vendor. ``mint_path`` is where
    secrets come from, by type of session. ``voice`` sets a voice in a session, and ``protocols`` are those of the
    recipe, with ``*`` for the secret.
    """

    service: TokenService
    vendor: Sandbox | Vendor
    name: str
    model: str
    mint_path: Mapping[str, str]
    protocols: tuple[str, ...]
    voice: Any = None
    key: str = API_KEY
    calls_query: str = ""
    sent: Mapping[str, str] = field(default_factory=dict)
    drop_in: bool = True
    expiry: bool = True
    webrtc: bool = True
    names_users: bool = True
    calls: bool = True

    @property
    def sandbox(self) -> Sandbox:
        """The vendor, where it is the sandbox."""
        assert isinstance(self.vendor, Sandbox)
        return self.vendor

    def at_vendor(self, model: str) -> str:
        """Return what a model is called at the vendor."""
        return self.sent.get(model, model)

    def reset(self) -> None:
        """Forget what the vendor was asked for; it answers well from now on."""
        if isinstance(self.vendor, Vendor):
            self.vendor.will(Answer(200, XAI_MINTED))
        else:
            self.vendor.reset()

    def mints(self) -> list[Mint]:
        """List the requests for secrets since the last reset."""
        if isinstance(self.vendor, Sandbox):
            return [
                Mint(
                    mint["path"].removeprefix("/v1"),
                    mint["body"],
                    mint["key_sha256"],
                    mint["headers"].get("OpenAI-Safety-Identifier"),
                )
                for mint in self.vendor.mints()
            ]
        return [
            Mint(
                path.removeprefix("/v1"),
                body,
                digest(headers["authorization"].removeprefix("Bearer ")),
                headers.get("openai-safety-identifier"),
            )
            for path, headers, body in self.vendor.requests
        ]

    def user(self, name: str) -> Voice:
        """Return a user's calls."""
        return Voice(self.service, self.sandbox, user=name)

    def metric(self, name: str) -> int:
        """Read one number of the service's metrics."""
        text = self.service.get("/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"}).text
        (line,) = [line for line in text.splitlines() if line.startswith(f"{name} ")]
        return int(float(line.split()[1]))


def digest(key: str) -> str:
    """Hash a key as the sandbox does in its records."""
    return hashlib.sha256(key.encode()).hexdigest()


SECRETS = "/realtime/client_secrets"
GA_PATHS = {
    "realtime": SECRETS,
    "transcription": SECRETS,
    "translation": "/realtime/translations/client_secrets",
}
GA_PROTOCOLS = ("realtime", "openai-insecure-api-key.*")
GA_VOICE = {"audio": {"output": {"voice": "ash"}}}
_SECRET_MODELS = (MODEL, EARS, TRANSLATOR, *REFUSED, *BROKEN)
_MODELS = (*_SECRET_MODELS, LIVE, *LOST, *ENDINGS)
_COMMON = {"UPSTREAM_TIMEOUT": "2", "SAFETY_IDENTIFIER_SECRET": "the same in every dialect"}
_WITH_CALLS = {
    **_COMMON,
    "METRICS_TOKEN": METRICS_TOKEN,
    "ADMIN_TOKEN": ADMIN_TOKEN,
    "RATE_LIMIT_TIERS": '{"short": {"call_minutes": "1/day"}}',
}


@contextmanager
def running_ga(sandbox: Sandbox) -> Iterator[Dialect]:
    """Run a service for OpenAI's API of today."""
    with running_service(sandbox.base_url, ALLOWED_MODELS=",".join(_MODELS), **_WITH_CALLS) as service:
        name = "OPENAI_VENDOR=openai"
        yield Dialect(service, sandbox, name, MODEL, GA_PATHS, GA_PROTOCOLS, voice=GA_VOICE)


@contextmanager
def running_beta(sandbox: Sandbox) -> Iterator[Dialect]:
    """Run a service for a server that speaks the retired beta."""
    variables = {"REALTIME_API": "beta", "ALLOWED_MODELS": ",".join(_SECRET_MODELS)}
    with serving_app(sandbox.base_url, **variables, **_COMMON) as service:
        yield Dialect(
            service,
            sandbox,
            "REALTIME_API=beta",
            MODEL,
            {"realtime": "/realtime/sessions"},
            (*GA_PROTOCOLS, "openai-beta.realtime-v1"),
            voice={"voice": "ash"},
            drop_in=False,
            expiry=False,
            calls=False,
        )


def azure_variables(**more: str) -> dict[str, str]:
    """Make the variables of a service for a resource on Azure whose deployments have names of their own."""
    models = ",".join(f"{name}={DEPLOYMENTS[name]}" if name in DEPLOYMENTS else name for name in _MODELS)
    return {
        "OPENAI_VENDOR": "azure",
        "OPENAI_API_KEY": "azure-key",
        "ALLOWED_MODELS": models,
        **_WITH_CALLS,
        **more,
    }


@contextmanager
def running_azure(sandbox: Sandbox) -> Iterator[Dialect]:
    """Run a service for a resource on Azure."""
    with running_service(sandbox.base_url, **azure_variables()) as service:
        yield Dialect(
            service,
            sandbox,
            "OPENAI_VENDOR=azure",
            MODEL,
            GA_PATHS,
            GA_PROTOCOLS,
            voice=GA_VOICE,
            key="azure-key",
            calls_query="?webrtcfilter=on",
            sent=DEPLOYMENTS,
        )


@contextmanager
def running_xai() -> Iterator[Dialect]:
    """Run a service for xAI, whose answers are recorded bodies."""
    with scripted_vendor() as vendor:
        variables = {"OPENAI_VENDOR": "xai", "DEFAULT_MODEL": GROK, **_COMMON}
        with serving_app(vendor.base_url, **variables) as service:
            yield Dialect(
                service,
                vendor,
                "OPENAI_VENDOR=xai",
                GROK,
                {"realtime": SECRETS},
                ("xai-client-secret.*",),
                webrtc=False,
                names_users=False,
                calls=False,
            )
