"""What is wrong with a request body, in the words of its author: pydantic's first finding as our error."""

from __future__ import annotations

from pydantic_core import ErrorDetails

from service.core.errors import InvalidRequestError, InvalidValueError, UnknownParameterError
from service.vendors.wire import MIN_SECRET_TTL

_MAX_ECHO = 200
"""How much of a caller's own member name an error repeats, in characters."""


def refusal_of(problems: list[ErrorDetails]) -> InvalidRequestError:
    """Put the first problem into words, without the value that caused it."""
    problem = problems[0]
    kind = problem["type"]
    param = ".".join(str(part) for part in problem["loc"])[:_MAX_ECHO]
    if kind == "extra_forbidden":
        return UnknownParameterError(f"Unknown parameter: '{param}'.", param=param)
    if kind == "missing":
        return InvalidValueError(f"Missing required parameter: '{param}'.", param=param)
    if kind == "finite_number":
        return InvalidValueError("A number in 'session' is too large.", param="session")
    return InvalidValueError(f"Invalid value for '{param}': {_WORDS.get(kind, problem['msg'])}.", param=param)


_WORDS = {
    "dict_type": "it must be an object",
    "model_type": "it must be an object",
    "string_type": "it must be a string",
    "int_type": "it must be a whole number",
    "string_too_short": "it must not be empty",
    "string_too_long": "it is too long",
    "greater_than_equal": f"it must be at least {MIN_SECRET_TTL}",
    "literal_error": "it must be 'created_at'",
    "value_error": "leave it out rather than giving null",
}
"""Pydantic's error types as API users know them; the bound and the literal are those of ``expires_after``."""
