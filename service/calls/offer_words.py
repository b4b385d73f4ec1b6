"""Keep the vendor's words about an offer from repeating it: it holds addresses, and is never logged or passed on."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final

from service.core.errors import RejectedSessionError, ServiceError
from service.core.model import Offer

_LONGEST_WORDS: Final = 1000
"""Characters of the vendor's words about an opening: longer ones repeat what was sent to it."""

_SHORTEST_LINE: Final = 8
"""Characters: a shorter line of an offer, such as ``v=0``, says nothing of anybody."""

_LINE_TYPE: Final = len("a=")
_DIGIT: Final = re.compile("[0-9]")
"""A line without any, such as ``a=rtcp-mux``, is in every offer."""

_WORDS: Final = (re.compile(r"[\w+/:][\w+/:.-]*"), re.compile(r"[\w+/][\w+/.-]*"))
"""With colons, as fingerprints and IPv6 addresses have them, and without, as in ``password:…``."""

_LONG_WORD: Final = 22
"""Characters: passwords of ICE (RFC 8445 §5.3) and fingerprints have at least as many, formats of audio fewer."""


def without_offer(error: ServiceError, offer: Offer) -> ServiceError:
    """Return the vendor's refusal, without its words, in the log too, where they repeat something of the offer."""
    if error.reason and repeats(error.reason, offer):
        error.reason = (
            f"{error.reason.partition(': ')[0]} (its words are left out: they may repeat the offer)"
        )
    if repeats(error.message, offer):
        return RejectedSessionError("The Realtime API refused the offer.", param="sdp", reason=error.reason)
    return error


def repeats(text: str, offer: Offer) -> bool:
    """Return whether a text has a line of an offer, with or without its type, or an address, fingerprint or password.

    A text that is too long to tell counts as one that has.
    """
    length, sdp = _SHORTEST_LINE, offer.sdp.decode(errors="replace")
    words = {word.rstrip(".:-") for pattern in _WORDS for word in pattern.findall(text[:_LONGEST_WORDS])}
    telling = (word for word in words if len(word) >= _LONG_WORD or _is_address(word))
    if len(text) > _LONGEST_WORDS or any(word in sdp for word in telling):
        return True
    # Each line is looked for only where its beginning occurs: an offer may have thousands of them.
    beginnings = {text[start : start + length] for start in range(len(text) - length + 1)}
    lines = (line.strip()[_LINE_TYPE:] for line in sdp.splitlines())
    return any(line[:length] in beginnings and line in text and _DIGIT.search(line) for line in lines)


def _is_address(word: str) -> bool:
    try:
        ip_address(word)
    except ValueError:
        return False
    return True
