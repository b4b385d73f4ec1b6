"""The policy document (``SESSION_POLICY``): what the admin writes, as it is validated and published.

Its members are the rules themselves. The descriptions are the documentation: ``python -m service policy
--schema`` prints them.
"""

from __future__ import annotations

import json
from typing import Literal, Self

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from service.core.claims import Claims
from service.core.model import SessionType
from service.policy.calls import CallTypesMember, DataChannel, MaxCallSecondsMember, SecretTypesMember
from service.policy.conditions import SCOPE, Conditions, RequiredClaims, all_hold
from service.policy.json_path import MISSING, get, put
from service.policy.reading import PolicyError, describe_errors, read_json
from service.policy.rules import (
    AllowedModels,
    AllowedProfiles,
    AllowedTypes,
    MaxExpiresIn,
    Name,
    ProfileRequired,
    Seconds,
    SourcedRule,
    StrictModel,
    rules_of,
)
from service.policy.session_rules import (
    AllowedPrompts,
    AllowedServers,
    AllowedTools,
    AllowedVoices,
    Bounds,
    Fields,
    LockedMembers,
    Tracing,
)
from service.policy.templates import SessionTemplate
from service.vendors.base import model_path


class SessionDefaults(StrictModel):
    """What is sent where the caller says nothing else."""

    model: Name | None = Field(None, description="The model, whatever the type of the session.")
    session: SessionTemplate = Field(
        default_factory=lambda: SessionTemplate({}),
        description="The session in the vendor's own shape. In its strings `{sub}` and `{claim:name}` are filled"
        " in from the caller's JWT.",
    )
    expires_in: Seconds | None = Field(
        None, description="The lifetime of a secret where the caller asks for none."
    )
    locked: LockedMembers = Field(
        default_factory=lambda: LockedMembers(()),
        json_schema_extra={"default": []},
        description="What the caller may not change: paths into the session, `model` and `expires_in`.",
    )
    secret_types: SecretTypesMember = None
    call_types: CallTypesMember = None
    max_call_seconds: MaxCallSecondsMember = None
    data_channel: DataChannel | None = Field(
        None, description="What a live call's client may send and receive."
    )

    @property
    def session_type(self) -> SessionType:
        """The type of session."""
        return self.session.session_type

    @property
    def listed_claims(self) -> Conditions:
        """The claims of which the admin lists the values."""
        return {}

    @model_validator(mode="after")
    def _hosts_are_listed(self) -> Self:
        self.session.check_hosts(self.listed_claims)
        return self

    @model_validator(mode="after")
    def _one_model(self) -> Self:
        path = model_path(self.session_type)
        inner = get(self.session.value, path)
        if self.model is None or inner == self.model:
            return self
        if inner is not MISSING:
            raise ValueError(f'"model" and "session.{".".join(path)}" differ; leave one of them out')
        try:
            put(self.session.value, path, self.model)
        except TypeError as error:
            place = ".".join(error.args[0])
            raise ValueError(f'"session.{place}" must be an object, since the model goes into it') from None
        return self


class Profile(SessionDefaults):
    """A session that a client asks for by name."""

    description: str | None = Field(None, description="For people; never sent.")
    requires: RequiredClaims = Field(
        default_factory=lambda: RequiredClaims({}),
        description='Claims that the caller must have: `{"scope": "realtime:support"}`.',
    )

    @property
    def listed_claims(self) -> Conditions:
        """Those that it requires; a scope has no value of its own."""
        return {claim: values for claim, values in self.requires.value.items() if claim != SCOPE}


class Constraints(StrictModel):
    """What callers may have. What is left out is not limited."""

    types: AllowedTypes | None = Field(None, description="Types of session that may be opened.")
    models: AllowedModels | None = Field(
        None, description="Models, beside `ALLOWED_MODELS`, which always holds."
    )
    max_expires_in: MaxExpiresIn | None = Field(
        None, description="The longest lifetime of a secret, in seconds."
    )
    profile_required: ProfileRequired = Field(
        default_factory=lambda: ProfileRequired(False),  # noqa: FBT003 - as JSON has it
        json_schema_extra={"default": False},
        description="Whether a caller must name a profile.",
    )
    fields: Fields | None = None
    bounds: Bounds = Field(
        default_factory=lambda: Bounds({}),
        json_schema_extra={"additionalProperties": False},
        description="Ranges of numbers in what is sent, by path: `max_output_tokens`.",
    )
    secret_types: SecretTypesMember = None
    call_types: CallTypesMember = None
    max_call_seconds: MaxCallSecondsMember = None
    voices: AllowedVoices | None = Field(None, description="Voices that a caller may choose.")
    tools: AllowedTools | None = Field(None, description="Functions that a caller may bring, by name.")
    mcp: AllowedServers | None = Field(
        None,
        description="Remote MCP servers that a caller may bring: URL, connector or tunnel id. None unless listed.",
    )
    prompts: AllowedPrompts | None = Field(
        None, description="Stored prompts that a caller may use, by id. None unless listed."
    )
    tracing: Tracing | None = Field(None, description="Whether a caller may set `tracing`. Not unless true.")


class ClaimRule(Constraints):
    """Limits for some callers, beside all others: a rule narrows what they get and never widens it."""

    name: Name | None = Field(None, description="For people, and for the log.")
    when: Conditions = Field(
        default_factory=dict,
        description='Callers that the rule applies to, by claim: `{"tier": ["free", "trial"]}`, all of them. A caller'
        " without the claim is not restricted; `unless` is safer.",
    )
    unless: Conditions = Field(
        default_factory=dict, description="Callers that the rule does not apply to: all of these claims."
    )
    profiles: AllowedProfiles | None = Field(None, description="Profiles that the caller may name.")

    @model_validator(mode="after")
    def _decides_something(self) -> Self:
        if not (self.when or self.unless):
            raise ValueError('needs "when" or "unless"; limits for everybody belong at the top level')
        if not self.model_fields_set - {"name", "when", "unless"}:
            raise ValueError('limits nothing; add what it narrows, such as "models"')
        return self

    def applies_to(self, claims: Claims) -> bool:
        """Return whether the rule holds for a caller with these verified claims."""
        exempt = self.unless and all_hold(self.unless, claims)
        return not exempt and all_hold(self.when, claims)


class PolicyDocument(Constraints):
    """Decides what the service's callers may ask of the vendor. Enforced when a secret is minted."""

    mode: Literal["enforce", "audit"] = Field(
        "enforce", description="`audit` refuses nothing and logs what `enforce` would refuse."
    )
    profiles: dict[Name, Profile] = Field(default_factory=dict, description="Sessions to ask for, by name.")
    defaults: SessionDefaults | None = Field(None, description="For callers who name no profile.")
    data_channel: DataChannel | None = Field(
        None,
        description="What a live call's client may send and receive, unless a profile or `defaults` say it.",
    )
    rules: tuple[ClaimRule, ...] = Field((), description="What narrows some callers, by their claims.")

    @field_validator("rules")
    @classmethod
    def _profiles_exist(cls, value: tuple[ClaimRule, ...], info: ValidationInfo) -> tuple[ClaimRule, ...]:
        known = info.data.get("profiles")
        for rule in value:
            for name in rule.profiles.value if rule.profiles else ():
                if known is not None and name not in known:
                    raise ValueError(f'names the profile "{name}", which "profiles" does not define')
        return value

    @model_validator(mode="after")
    def _required_profiles_exist(self) -> Self:
        if self.profile_required.value and not self.profiles:
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
            raise PolicyError(describe_errors(error, cls.model_json_schema())) from None

    def common_rules(self) -> tuple[SourcedRule, ...]:
        """List the rules for every caller; what reaches other systems is denied unless it is listed."""
        denied = {
            "mcp": self.mcp or AllowedServers(()),
            "prompts": self.prompts or AllowedPrompts(()),
            "tracing": self.tracing or Tracing(False),  # noqa: FBT003 - as JSON has it
        }
        return rules_of(self.model_copy(update=denied), "")

    def claim_rules(self) -> tuple[tuple[str, ClaimRule], ...]:
        """List the rules for some callers, each with its place and its name."""
        return tuple(
            (f"rules[{index}]" + (f" ({rule.name})" if rule.name else ""), rule)
            for index, rule in enumerate(self.rules)
        )

    def session_defaults(self) -> dict[str, SessionDefaults]:
        """Map the places of all profiles, and of the defaults, to them."""
        presets: dict[str, SessionDefaults] = {
            f"profiles.{name}": profile for name, profile in self.profiles.items()
        }
        return presets | ({"defaults": self.defaults} if self.defaults else {})

    def find_data_channel(self, profile: str | None) -> DataChannel:
        """Return the first that there is: the profile's, that of ``defaults``, or the document's own."""
        holders = (self.profiles.get(profile or ""), self.defaults, self)
        found = (holder.data_channel for holder in holders if holder and holder.data_channel)
        return next(found, DataChannel())
