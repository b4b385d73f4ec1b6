"""The policy document (``SESSION_POLICY``): what the admin writes, as it is validated and published.

The descriptions are the documentation: ``python -m service policy --schema`` prints them.
"""

from __future__ import annotations

import json
import re
from typing import Any, Literal, Self

from pydantic import Field, JsonValue, ValidationError, ValidationInfo, field_validator, model_validator

from service.core.model import SessionType
from service.policy.conditions import SCOPE
from service.policy.limits import Conditions, DottedPath, Limits, Name, Names, Part, Seconds
from service.policy.paths import MISSING, dotted, get, put
from service.policy.problems import PolicyError, describe, read_json
from service.vendors.wire import model_path

_SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
"""RFC 6749 §3.3; the scope is named in a header."""


class Preset(Part):
    """What is sent where the caller says nothing else."""

    model: Name | None = Field(None, description="The model, whatever the type of the session.")
    session: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="The session in the vendor's own shape. In its strings `{sub}` and `{claim:name}` are filled"
        " in from the caller's JWT.",
    )
    expires_in: Seconds | None = Field(
        None, description="The life of a secret where the caller asks for none."
    )
    locked: tuple[DottedPath, ...] = Field(
        (), description="What the caller may not change: paths into the session, `model` and `expires_in`."
    )

    @property
    def session_type(self) -> SessionType:
        """The type of session, ``realtime`` where none is said."""
        given: Any = self.session.get("type", "realtime")
        session_type: SessionType = given
        return session_type

    @field_validator("session")
    @classmethod
    def _type_is_known(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if value.get("type", "realtime") not in ("realtime", "transcription", "translation"):
            raise ValueError('"type" must be realtime, transcription or translation')
        return value

    @model_validator(mode="after")
    def _one_model(self) -> Self:
        path = model_path(self.session_type)
        inner = get(self.session, path)
        if self.model is None or inner == self.model:
            return self
        if inner is not MISSING:
            raise ValueError(f'"model" and "session.{dotted(path)}" differ; leave one of them out')
        try:
            put(self.session, path, self.model)
        except TypeError as error:
            place = dotted(error.args[0])
            raise ValueError(f'"session.{place}" must be an object, since the model goes into it') from None
        return self


class Profile(Preset):
    """A session that a client asks for by name."""

    description: str | None = Field(None, description="For people; never sent.")
    requires: Conditions = Field(
        default_factory=dict,
        description='Claims that the caller must have: `{"scope": "realtime:support"}`.',
    )

    @field_validator("requires")
    @classmethod
    def _scopes_are_scopes(cls, value: Conditions) -> Conditions:
        for scope in value.get(SCOPE, ()):
            if not isinstance(scope, str) or not _SCOPE_TOKEN.fullmatch(scope):
                raise ValueError('a scope is one word of ASCII, without quotes; list several as ["a", "b"]')
        return value


class ClaimRule(Limits):
    """Limits for some callers, beside all others: a rule narrows what they get and never widens it."""

    name: Name | None = Field(None, description="For people, and for the log.")
    when: Conditions = Field(
        default_factory=dict,
        description='Callers whom the rule holds, by claim: `{"tier": ["free", "trial"]}`, all of them. A caller'
        " without the claim is not held; `unless` is the safer one.",
    )
    unless: Conditions = Field(
        default_factory=dict, description="Callers whom the rule does not hold: all of these claims."
    )
    profiles: Names | None = Field(None, description="Profiles that the caller may name.")

    @model_validator(mode="after")
    def _decides_something(self) -> Self:
        if not (self.when or self.unless):
            raise ValueError('needs "when" or "unless"; limits for everybody belong at the top level')
        if not self.model_fields_set - {"name", "when", "unless"}:
            raise ValueError('limits nothing; add what it narrows, such as "models"')
        return self


class PolicyDocument(Limits):
    """Decides what the service's callers may ask of the vendor. Enforced when a secret is minted."""

    mode: Literal["enforce", "audit"] = Field(
        "enforce", description="`audit` refuses nothing and logs what `enforce` would refuse."
    )
    profiles: dict[Name, Profile] = Field(default_factory=dict, description="Sessions to ask for, by name.")
    defaults: Preset | None = Field(None, description="For callers who name no profile.")
    rules: tuple[ClaimRule, ...] = Field((), description="What narrows some callers, by their claims.")

    @field_validator("rules")
    @classmethod
    def _profiles_exist(cls, value: tuple[ClaimRule, ...], info: ValidationInfo) -> tuple[ClaimRule, ...]:
        known = info.data.get("profiles")
        for rule in value:
            for name in rule.profiles or ():
                if known is not None and name not in known:
                    raise ValueError(f'names the profile "{name}", which "profiles" does not define')
        return value

    @model_validator(mode="after")
    def _required_profiles_exist(self) -> Self:
        if self.profile_required and not self.profiles:
            raise ValueError('"profile_required" is true but "profiles" defines none')
        return self

    @classmethod
    def load(cls, text_or_path: str) -> Self:
        """Read the document, given as JSON or as the path of a file that holds it.

        Raises:
            PolicyError: a ``ValueError`` that lists every problem in words.
        """
        document = read_json(text_or_path)
        try:
            return cls.model_validate_json(json.dumps(document))
        except ValidationError as error:
            raise PolicyError(describe(error, cls.model_json_schema())) from None
