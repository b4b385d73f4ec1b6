"""Mint one client secret: send the vendor's request, and accept only the answer that belongs to it.

A secret is minted for the caller of ``/token``, and for a call where the vendor opens calls with a secret alone. The
answer is read before its connection serves the next request, since one that belongs to another must close it.
"""

from __future__ import annotations

from collections.abc import Container
from http import HTTPStatus

from service.core.model import ClientSecret, Grant
from service.vendors.base import Request, Response, Vendor
from service.vendors.responses import bad_response
from service.vendors.transport import Transport


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
