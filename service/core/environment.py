"""Read a group of environment variables, with every problem reported together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one variable. ``message`` never holds the variable's value."""

    variable: str
    message: str


class ConfigurationError(Exception):
    """The environment cannot be used; ``problems`` lists everything that is wrong with it."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        lines = [f"  {problem.variable}: {problem.message}" for problem in problems]
        super().__init__("\n".join(["The environment has problems:", *lines]))


class EnvironmentModel(BaseModel):
    """A group of variables. The alias of each field is the variable's name.

    Checks over several variables are validators of the *later* field that read the earlier ones from
    ``info.data``: so they run in the same pass as all others, and keep quiet where an earlier field is
    itself wrong.
    """

    model_config = ConfigDict(
        frozen=True,
        alias_generator=str.upper,
        validate_default=True,
        hide_input_in_errors=True,
        extra="ignore",
        arbitrary_types_allowed=True,
    )

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read the group from a mapping. An empty variable counts as one that is not set.

        Raises:
            ConfigurationError: naming every variable with a problem, and no value.
        """
        given = {name: value for name, value in environ.items() if value.strip()}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            problems = tuple(
                _problem(detail) for detail in error.errors(include_input=False, include_url=False)
            )
            # The cause holds the inputs, which may be secrets: it must not follow this error into a log.
            raise ConfigurationError(problems) from None

    @property
    def secrets(self) -> frozenset[str]:
        """Every secret value, for the log's last fence against them."""
        values = (getattr(self, name) for name in type(self).model_fields)
        flat = (part for value in values for part in (value if isinstance(value, tuple) else (value,)))
        return frozenset(part.get_secret_value() for part in flat if isinstance(part, SecretStr))

    @classmethod
    def variables(cls) -> dict[str, Any]:
        """Map each variable's name to its default, in the order they are declared."""
        return {str(field.alias): field.default for field in cls.model_fields.values()}


def _problem(detail: Any) -> Problem:
    variable = str(detail["loc"][0]).upper()
    if detail["type"] == "missing":
        return Problem(variable, "is required")
    return Problem(variable, str(detail["msg"]).removeprefix("Value error, "))
