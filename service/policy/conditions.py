"""Rules and conditions on a caller's verified claims. Comparison is exact: there are no patterns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from service.core.claims import Claims, find_claim, has_scope
from service.core.errors import InsufficientScopeError, ServiceError, SessionFieldNotAllowedError
from service.policy.request import ResolvedRequest
from service.policy.rules import Name, Rule, SourcedRule

SCOPE = "scope"
"""The one claim that is looked up as scopes are, and not by its value."""

_SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
"""RFC 6749 §3.3; the scope is named in a header."""


def _claim_values(value: Any) -> tuple[Any, ...]:
    """Take one value or a list of them. Checked here, since a union's errors are no sentence."""
    values = tuple(value) if isinstance(value, list | tuple) else (value,)
    if not values or not all(isinstance(one, str | int) for one in values):
        raise ValueError("must be text, a whole number, true or false, or a list of such values")
    return values


Scalar = str | int | bool
ClaimValues = Annotated[
    tuple[Scalar, ...],
    BeforeValidator(
        _claim_values, json_schema_input_type=Scalar | Annotated[list[Scalar], Field(min_length=1)]
    ),
]
Conditions = dict[Name, ClaimValues]
"""For each claim the values of which the caller must have one: as the claim, or in it where it is a list."""


def all_hold(conditions: Conditions, claims: Claims) -> bool:
    """Return whether verified claims meet all conditions; an absent claim meets none."""
    return all(_holds(claim, values, claims) for claim, values in conditions.items())


def _holds(claim: str, values: tuple[Scalar, ...], claims: Claims) -> bool:
    if claim == SCOPE:
        return any(has_scope(claims, str(value)) for value in values)
    found = find_claim(claims, claim)
    candidates = found if isinstance(found, list) else [found]
    wanted = {(type(value), value) for value in values}  # with types, since Python takes 1 and true for equal
    return any(
        (type(candidate), candidate) in wanted for candidate in candidates if isinstance(candidate, str | int)
    )


def describe_conditions(conditions: Conditions) -> str:
    """Say the conditions as clauses."""
    return " and ".join(
        f"{claim} is {' or '.join(str(value) for value in values)}" for claim, values in conditions.items()
    )


def _check_scopes(value: Conditions) -> Conditions:
    for scope in value.get(SCOPE, ()):
        if not isinstance(scope, str) or not _SCOPE_TOKEN.fullmatch(scope):
            raise ValueError('a scope is one word of ASCII, without quotes; list several as ["a", "b"]')
    return value


class RequiredClaims(Rule[Conditions]):
    """What a caller's claims must say."""

    decides_access = True

    parsed_as = Annotated[Conditions, AfterValidator(_check_scopes)]

    def parts(self, source: str) -> Iterator[SourcedRule]:
        for claim, values in self.value.items():
            yield SourcedRule(source, RequiredClaims({claim: values}))

    def violations(self, request: ResolvedRequest) -> Iterator[ServiceError]:
        for claim, values in self.value.items():
            if _holds(claim, values, request.caller.claims):
                continue
            if claim == SCOPE:
                yield InsufficientScopeError(" ".join(str(value) for value in values))
            else:
                yield SessionFieldNotAllowedError("This profile is not available to you.", param="profile")

    def describe(self) -> str:
        return f"for callers whose {describe_conditions(self.value)}"
