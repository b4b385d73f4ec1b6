"""Entra ID on loopback, for ``azure-identity`` to sign in at: over TLS, and a host's own endpoint in the clear."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from service.sandbox.tls import write_certificate
from tests.support.http_server import Quiet, serving

TENANT, CLIENT, CLIENT_SECRET = "tenant-of-tests", "client-of-tests", "canary-client-secret"
FEDERATED_TOKEN, HOST_SECRET = "canary-federated-token", "canary-identity-header"
WRONG_SECRET = {
    "error": "invalid_client",
    "error_description": "AADSTS7000215: Invalid client secret provided. Trace ID: 0000-tests",
}


@dataclass
class Entra:
    """A running token endpoint; ``refusal`` is answered instead of a token while it is set.

    ``forms`` are the parameters of all requests for tokens, and ``expires_in`` is how many seconds the next ones live.
    ``sign_in`` are the variables that say how to sign in.
    """

    url: str
    sign_in: dict[str, str]
    authority: Path | None = None
    tokens: list[str] = field(default_factory=list)
    forms: list[dict[str, str]] = field(default_factory=list)
    refusal: dict[str, Any] | None = None
    expires_in: int = 3600

    @property
    def variables(self) -> dict[str, str]:
        """What makes ``azure-identity`` sign in here."""
        trust = {"REQUESTS_CA_BUNDLE": str(self.authority)} if self.authority else {}
        return {**self.sign_in, **trust}

    def answer(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """Answer a request for a token."""
        self.forms.append(form)
        if self.refusal:
            return 401, self.refusal
        self.tokens.append(f"eyJ-entra-token-{len(self.tokens)}")
        expires_on = str(int(time.time()) + self.expires_in)
        token = {"token_type": "Bearer", "access_token": self.tokens[-1]}
        return 200, {**token, "expires_in": self.expires_in, "expires_on": expires_on}


class Answering(Quiet, BaseHTTPRequestHandler):
    """Answers in JSON."""

    def reply(self, status: int, body: dict[str, Any]) -> None:
        """Send an answer."""
        sent = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)


@contextmanager
def running_entra(directory: Path) -> Iterator[Entra]:
    """Serve until the block ends; the certificate is written to ``directory``. A client secret signs in."""
    certificate = write_certificate(directory)

    class Handler(Answering):
        def do_GET(self) -> None:
            base = f"{entra.url}/{TENANT}"
            self.reply(
                200,
                {
                    "issuer": f"{base}/v2.0",
                    "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                    "token_endpoint": f"{base}/oauth2/v2.0/token",
                },
            )

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self.reply(*entra.answer(dict(parse_qsl(body))))

    with serving(Handler, certificate) as url:
        sign_in = {
            "AZURE_AUTHORITY_HOST": url,
            "AZURE_TENANT_ID": TENANT,
            "AZURE_CLIENT_ID": CLIENT,
            "AZURE_CLIENT_SECRET": CLIENT_SECRET,
            "AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential",
        }
        entra = Entra(url, sign_in, certificate.authority)
        yield entra


@contextmanager
def running_workload_identity(directory: Path) -> Iterator[Entra]:
    """Serve until the block ends, for a token of Kubernetes in a file, as its webhook sets the variables."""
    token = directory / "azure-identity-token"
    token.write_text(FEDERATED_TOKEN)
    with running_entra(directory) as entra:
        del entra.sign_in["AZURE_CLIENT_SECRET"]
        entra.sign_in |= {"AZURE_FEDERATED_TOKEN_FILE": str(token), "AZURE_TOKEN_CREDENTIALS": "prod"}
        yield entra


@contextmanager
def running_managed_identity(_: Path) -> Iterator[Entra]:
    """Serve until the block ends as a host does whose identity Azure manages: App Service, without TLS.

    https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference
    """

    class Handler(Answering):
        def do_GET(self) -> None:
            assert self.headers["X-IDENTITY-HEADER"] == HOST_SECRET
            self.reply(*entra.answer(dict(parse_qsl(urlsplit(self.path).query))))

    with serving(Handler) as url:
        sign_in = {
            "IDENTITY_ENDPOINT": f"{url}/msi/token",
            "IDENTITY_HEADER": HOST_SECRET,
            "AZURE_CLIENT_ID": CLIENT,  # one that the admin assigned
            "AZURE_TOKEN_CREDENTIALS": "prod",
        }
        entra = Entra(url, sign_in)
        yield entra
