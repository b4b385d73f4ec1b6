"""From the document to rules: what each part of it means, spelled as values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from service.core.claims import Claims
from service.policy.access import AllowedProfiles, ProfileRequired
from service.policy.conditions import Condition, conditions_of
from service.policy.content import AllowedVoices, NotFields, OnlyFields
from service.policy.document import ClaimRule, PolicyDocument
from service.policy.foundation import Foundation, compile_preset
from service.policy.limits import Limits
from service.policy.paths import Path
from service.policy.reach import AllowedPrompts, AllowedServers, AllowedTools, NoTracing
from service.policy.rules import AllowedModels, AllowedTypes, Bound, LongestLife, Rule
from service.vendors.wire import output_limit_path, voice_path


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """Rules that hold some callers, by their claims."""

    source: str
    when: tuple[Condition, ...]
    unless: tuple[Condition, ...]
    rules: tuple[Rule, ...]

    def apply_to(self, claims: Claims) -> bool:
        """Tell whether a caller with these verified claims is held."""
        spared = self.unless and all(condition.holds(claims) for condition in self.unless)
        return not spared and all(condition.holds(claims) for condition in self.when)


@dataclass(frozen=True, slots=True)
class Rulebook:
    """A whole document, as values."""

    enforcing: bool = True
    profiles: Mapping[str, Foundation] = field(default_factory=dict)
    defaults: Foundation | None = None
    rules: tuple[Rule, ...] = ()
    claim_rules: tuple[ClaimRules, ...] = ()


def compile_document(document: PolicyDocument, *, default_model: str, beta: bool) -> Rulebook:
    """Make a document values."""
    profiles = {
        name: compile_preset(f"profiles.{name}", profile, profile=name, default_model=default_model)
        for name, profile in document.profiles.items()
    }
    defaults = None
    if document.defaults:
        defaults = compile_preset("defaults", document.defaults, profile=None, default_model=default_model)
    claim_rules = tuple(
        compile_rule(f"rules[{index}]" + (f" ({rule.name})" if rule.name else ""), rule, beta=beta)
        for index, rule in enumerate(document.rules)
    )
    return Rulebook(
        enforcing=document.mode == "enforce",
        profiles=profiles,
        defaults=defaults,
        rules=compile_document_limits(document, beta=beta),
        claim_rules=claim_rules,
    )


def compile_rule(source: str, rule: ClaimRule, *, beta: bool) -> ClaimRules:
    """Make one of the document's rules values."""
    rules = list(compile_limits(source, rule, beta=beta))
    if rule.profiles is not None:
        rules.append(AllowedProfiles(f"{source}.profiles", rule.profiles))
    return ClaimRules(source, conditions_of(rule.when), conditions_of(rule.unless), tuple(rules))


def compile_limits(source: str, limits: Limits, *, beta: bool) -> Iterator[Rule]:
    """Make limits values; what is left out makes none."""
    at = f"{source}." if source else ""
    if limits.profile_required:
        yield ProfileRequired(f"{at}profile_required")
    if limits.types is not None:
        yield AllowedTypes(f"{at}types", limits.types)
    if limits.models is not None:
        yield AllowedModels(f"{at}models", limits.models)
    if limits.max_expires_in is not None:
        yield LongestLife(f"{at}max_expires_in", limits.max_expires_in)
    if limits.fields and limits.fields.allow is not None:
        yield OnlyFields(f"{at}fields.allow", _paths(limits.fields.allow))
    if limits.fields and limits.fields.deny is not None:
        yield NotFields(f"{at}fields.deny", _paths(limits.fields.deny))
    for name, bound in limits.bounds.items():
        (path,) = _paths((name,))
        unlimited = path == output_limit_path(beta=beta)
        yield Bound(f"{at}bounds.{name}", path, bound.min, bound.max, unlimited_if_absent=unlimited)
    yield from _content_rules(at, limits, beta=beta)


def _paths(names: tuple[str, ...]) -> tuple[Path, ...]:
    return tuple(tuple(name.split(".")) for name in names)


def _content_rules(at: str, limits: Limits, *, beta: bool) -> Iterator[Rule]:
    if limits.voices is not None:
        yield AllowedVoices(f"{at}voices", voice_path(beta=beta), limits.voices)
    if limits.tools is not None:
        yield AllowedTools(f"{at}tools", limits.tools)
    if limits.mcp is not None:
        yield AllowedServers(f"{at}mcp", limits.mcp)
    if limits.prompts is not None:
        yield AllowedPrompts(f"{at}prompts", limits.prompts)
    if limits.tracing is False:
        yield NoTracing(f"{at}tracing")


def compile_document_limits(limits: Limits, *, beta: bool) -> tuple[Rule, ...]:
    """Make the document's own limits values; what reaches other systems is closed unless it is listed."""
    closed = {
        "mcp": limits.mcp or (),
        "prompts": limits.prompts or (),
        "tracing": limits.tracing or False,
    }
    return tuple(compile_limits("", limits.model_copy(update=closed), beta=beta))
