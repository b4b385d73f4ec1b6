"""Read a group of environment variables, with every problem reported together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self, get_args

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError, ValidationInfo, field_validator

from service.core.environment_values import MisreadError, read_variable


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one variable, and what would be right. ``message`` never holds the variable's value."""

    variable: str
    message: str

    def __str__(self) -> str:
        """Write it as one line of a report."""
        return f"{self.variable}: {self.message}"


class ConfigurationError(Exception):
    """The environment cannot be used; ``problems`` lists everything that is wrong with it.

    Its text is a line for each problem, and a last line that counts them: the first line that anybody sees names a
    variable, and on a host that shows the end of a log the last line tells that there is more above.
    """

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        count = "one problem" if len(problems) == 1 else f"{len(problems)} problems"
        last = f"The environment has {count}; run `python -m service check` for details."
        super().__init__("\n".join([*map(str, problems), last]))


class EnvironmentModel(BaseModel):
    """A group of variables. The alias of each field is the variable's name.

    A field of type ``SecretStr`` can also be given as a file, whose path is in the variable ``<NAME>_FILE``.

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

    stripped: ClassVar[frozenset[str]] = frozenset()
    """Variables around whose value white space does no harm."""

    read_elsewhere: ClassVar[frozenset[str]] = frozenset()
    """Secrets that a library reads from the environment itself, so that no file can stand for them."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read the group from a mapping. An empty variable counts as one that is not set.

        Raises:
            ConfigurationError: naming every variable with a problem, and no value.
        """
        secret, given = cls.secret_variables(), {}
        for name in cls.variables():
            value = read_variable(
                name, environ, is_secret=name in secret, may_have_space=name in cls.stripped
            )
            if value is not None:
                given[name] = value
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            problems = tuple(
                cls._problem(detail) for detail in error.errors(include_input=False, include_url=False)
            )
            # The cause holds the inputs, which may be secrets: it must not follow this error into a log.
            raise ConfigurationError(problems) from None

    @field_validator("*", mode="before")
    @classmethod
    def _is_readable(cls, value: Any) -> Any:
        """Refuse, in the same pass as all other problems, what could not be read as the variable's text."""
        if isinstance(value, MisreadError):
            raise value
        return value

    @property
    def secrets(self) -> frozenset[str]:
        """Every secret value, for the log's last check against them."""
        values = (getattr(self, name) for name in type(self).model_fields)
        flat = (part for value in values for part in (value if isinstance(value, tuple) else (value,)))
        return frozenset(part.get_secret_value() for part in flat if isinstance(part, SecretStr))

    @classmethod
    def variables(cls) -> dict[str, Any]:
        """Map each variable's name to its default, in the order they are declared."""
        return {str(field.alias): field.default for field in cls.model_fields.values()}

    @classmethod
    def secret_variables(cls) -> frozenset[str]:
        """Name the variables that hold secrets, each of which may be given as ``<NAME>_FILE`` instead."""
        fields = cls.model_fields.values()
        secret = {str(field.alias) for field in fields if SecretStr in _types_in(field.annotation)}
        return frozenset(secret - cls.read_elsewhere)

    @classmethod
    def _problem(cls, detail: Any) -> Problem:
        variable, kind, words = str(detail["loc"][0]).upper(), detail["type"], str(detail["msg"])
        cause = detail.get("ctx", {}).get("error")
        if isinstance(cause, MisreadError):
            return Problem(cause.variable, str(cause))
        if kind == "missing":
            or_file = (
                f", or {variable}_FILE to a file that holds it" if variable in cls.secret_variables() else ""
            )
            return Problem(variable, f"is required; set it{or_file}")
        if kind in {"int_parsing", "int_from_float", "float_parsing"}:
            kind_of_number = "number" if kind == "float_parsing" else "whole number"
            return Problem(variable, f"must be a {kind_of_number}, such as {cls.variables()[variable]}")
        return Problem(variable, words.removeprefix("Value error, ").replace("Input should be", "must be"))


def is_given(field: str, info: ValidationInfo) -> bool:
    """Return whether an earlier field has a value other than an empty default: one with a problem has."""
    return bool(info.data.get(field, True))


def _types_in(annotation: Any) -> Iterator[Any]:
    """Yield a type annotation and all that it is made of."""
    yield annotation
    for part in get_args(annotation):
        yield from _types_in(part)
