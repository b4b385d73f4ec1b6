"""Mint one client secret: send the vendor's request, and accept only the answer that belongs to it.

A secret is minted for the caller of ``/token``, and for a call where the vendor opens calls with a secret alone. The
answer is read before its connection serves the next request, since one that belongs to another must close it.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from http import HTTPStatus

from service.core.model import Caller, ClientSecret, Event, Grant, TokenRequest
from service.vendors.base import Request, Response, Vendor
from service.vendors.responses import bad_response
from service.vendors.transport import Transport


@dataclass(frozen=True, slots=True)
class Mint:
    """Mint a client secret, an action of ``exchange``.

    ``parse`` reads the body of the route that asks; ``models`` are those that are allowed.
    """

    parse: Callable[[bytes], TokenRequest]
    vendor: Vendor
    transport: Transport
    models: frozenset[str] = frozenset()
    event: Event = "mint"

    def read(self, body: bytes) -> TokenRequest:
        """Read what is asked for."""
        return self.parse(body)

    def act(self, caller: Caller, request: TokenRequest, grant: Grant) -> ClientSecret:
        """Ask the vendor for a secret; the caller's pseudonym names the end user to its abuse checks."""
        del request  # the grant has all of it
        mint = self.vendor.mint(grant, caller.pseudonym)
        return mint_secret(self.vendor, self.transport, mint, grant, self.models)


def mint_secret(
    vendor: Vendor, transport: Transport, request: Request, grant: Grant, models: Container[str]
) -> ClientSecret:
    """Send ``request``, which mints for ``grant``, and read the secret; ``models`` are those that are allowed.

    Raises:
        ServiceError: the vendor refused or could not be asked, or its response is unusable.
        UpstreamError: the secret was minted for another request: whoever asks here must not be given it.
    """
    minted: list[ClientSecret] = []

    def check(response: Response) -> None:
        """Read the secret before its connection is used again."""
        if response.status != HTTPStatus.OK:
            return
        minted.append(vendor.read_mint(response, grant))
        mismatch = vendor.layout.find_mismatch(minted[-1].session, grant, models)
        if mismatch and response.may_be_stray:
            raise bad_response(f"the session is another request's: {mismatch}")

    response = transport.send(request, check=check)
    if response.status != HTTPStatus.OK:
        return vendor.read_mint(response, grant)  # which raises what the vendor said
    return minted[-1]
