"""Entra ID on loopback: a token endpoint over TLS, for ``azure-identity`` to sign in at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from service.sandbox.tls import write_certificate
from tests.support.http_server import Quiet, serving

TENANT, CLIENT, CLIENT_SECRET = "tenant-of-tests", "client-of-tests", "canary-client-secret"
WRONG_SECRET = {
    "error": "invalid_client",
    "error_description": "AADSTS7000215: Invalid client secret provided. Trace ID: 0000-tests",
}


@dataclass
class Entra:
    """A running token endpoint; ``refusal`` is answered instead of a token while it is set.

    ``expires_in`` is how many seconds the next tokens live.
    """

    url: str
    authority: Path
    tokens: list[str] = field(default_factory=list)
    forms: list[dict[str, str]] = field(default_factory=list)
    refusal: dict[str, str] | None = None
    expires_in: int = 3600

    @property
    def variables(self) -> dict[str, str]:
        """What makes ``azure-identity`` sign in here by a client secret, and look nowhere else."""
        return {
            "AZURE_AUTHORITY_HOST": self.url,
            "AZURE_TENANT_ID": TENANT,
            "AZURE_CLIENT_ID": CLIENT,
            "AZURE_CLIENT_SECRET": CLIENT_SECRET,
            "AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential",
            "REQUESTS_CA_BUNDLE": str(self.authority),
        }


@contextmanager
def running_entra(directory: Path) -> Iterator[Entra]:
    """Serve until the block ends; the certificate is written to ``directory``."""
    certificate = write_certificate(directory)

    class Handler(Quiet, BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            base = f"{entra.url}/{TENANT}"
            self._answer(
                200,
                {
                    "issuer": f"{base}/v2.0",
                    "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                    "token_endpoint": f"{base}/oauth2/v2.0/token",
                },
            )

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            entra.forms.append({name: values[0] for name, values in parse_qs(body).items()})
            if entra.refusal:
                self._answer(401, entra.refusal)
                return
            entra.tokens.append(f"eyJ-entra-token-{len(entra.tokens)}")
            token = {"token_type": "Bearer", "access_token": entra.tokens[-1]}
            self._answer(200, {**token, "expires_in": entra.expires_in})

        def _answer(self, status: int, body: dict[str, Any]) -> None:
            sent = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

    with serving(Handler, certificate) as url:
        entra = Entra(url, certificate.authority)
        yield entra
