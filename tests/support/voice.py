"""Calls as a test sees them: opened over the service, and looked at in the sandbox."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import requests

from tests.support.offers import OFFER
from tests.support.processes import wait_until
from tests.support.service import Sandbox, TokenService
from tests.support.tokens import sign

ADMIN_TOKEN = "an-admin-token-of-at-least-32-characters"
MODELS = "gpt-realtime-2.1,gpt-live-1.1"
LIVE = "gpt-live-1.1"


def at_sandbox(sandbox: Sandbox, *, state: str | None = None) -> list[dict[str, Any]]:
    """List the sandbox's calls in the order of their opening."""
    answer = requests.get(sandbox.base_url.replace("/v1", "/sandbox/calls"), timeout=20)
    calls: list[dict[str, Any]] = answer.json()["calls"]
    return [call for call in calls if state in {None, call["state"]}]


@dataclass
class Voice:
    """A user's calls over a service, whose vendor is the sandbox."""

    service: TokenService
    sandbox: Sandbox
    user: str = "ada"

    @property
    def jwt(self) -> str:
        return sign(sub=self.user)

    def open(self, offer: str = OFFER, **body: Any) -> requests.Response:
        """Open a call by ``POST /calls``."""
        return self.service.post("/calls", {"sdp": offer, **body}, jwt=self.jwt)

    def opened(self, offer: str = OFFER, **body: Any) -> str:
        """Open a call and return its id."""
        answer = self.open(offer, **body)
        assert answer.status_code == 201, answer.text
        call_id: str = answer.json()["call"]["id"]
        return call_id

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request with the user's JWT."""
        headers = {"Authorization": f"Bearer {self.jwt}", **options.pop("headers", {})}
        return requests.request(method, self.service.url + path, headers=headers, timeout=30, **options)

    def end(self, call_id: str) -> requests.Response:
        """End a call by ``DELETE``."""
        return self.request("DELETE", f"/calls/{call_id}")

    def read(self, call_id: str) -> dict[str, Any]:
        """Read one of the user's calls."""
        call: dict[str, Any] = self.request("GET", f"/calls/{call_id}").json()["call"]
        return call

    def listed(self) -> list[dict[str, Any]]:
        """List the user's open calls."""
        calls: list[dict[str, Any]] = self.request("GET", "/calls").json()["calls"]
        return calls

    def admin(self, method: str, path: str, token: str = ADMIN_TOKEN, **options: Any) -> requests.Response:
        """Send a request as the company's own backend."""
        headers = {"Authorization": f"Bearer {token}"}
        return requests.request(
            method, f"{self.service.url}/admin{path}", headers=headers, timeout=30, **options
        )

    def wait_until_ended(self, number: int = 0, *, seconds: float = 2.5) -> None:
        """Wait until nothing but ``number`` calls is open at the sandbox."""

        def done() -> bool:
            return len(at_sandbox(self.sandbox, state="open")) == number

        wait_until(done, seconds=seconds, what="the end at the sandbox")

    def wait_until_told(self, call_id: str, cause: str) -> None:
        """Wait until the user is told that a call has ended, and why."""
        wait_until(lambda: self.read(call_id)["state"] == "ended", seconds=2, what=f"the end of {call_id}")
        assert self.read(call_id)["ended_by"] == cause
