"""Build the authenticator from its settings: which keys are trusted for which issuers, under which rules."""

from __future__ import annotations

import time

from service.auth.authenticator import Authenticator, TrustedIssuer
from service.auth.claim_checks import TokenRules
from service.auth.jwks import JwksKeys
from service.auth.jwks_fetch import KeySetLocation, Network
from service.auth.keys import (
    PUBLIC_KEY_ALGORITHMS,
    StaticKeys,
    load_public_keys,
    load_secret,
    misread_secret,
)
from service.auth.providers.base import Provider
from service.auth.settings import AuthSettings
from service.auth.single_use import SingleUse
from service.store import Store


def build(settings: AuthSettings, *, network: Network, pseudonym_key: bytes, store: Store) -> Authenticator:
    """Build the authenticator. No socket is opened here.

    ``store`` remembers used tokens where ``JWT_SINGLE_USE`` is on.
    """
    return Authenticator(
        trusted_issuers(settings, network),
        pseudonym_key=pseudonym_key,
        clock=time.time,
        single_use=SingleUse(store) if settings.jwt_single_use else None,
        misread_keys=[
            key
            for secret in settings.jwt_secret
            if (key := misread_secret(secret.get_secret_value(), settings.jwt_secret_encoding))
        ],
    )


def trusted_issuers(settings: AuthSettings, network: Network) -> tuple[TrustedIssuer, ...]:
    """List which keys are trusted for which issuers.

    The preset's key set is trusted for the preset's issuers as far as ``JWT_ISSUER`` lists them, or for all that it
    lists where it names others (a custom domain). Configured keys are trusted for the listed issuers that are not the
    preset's; for the preset's where there are no others. An issuer that is left without any keys finds its own by
    discovery. The preset's checks hold for what its keys sign, and for ``JWT_SECRET`` where that is its own.
    """
    provider = settings.auth_provider
    trusted: list[TrustedIssuer] = []
    if settings.jwt_secret:
        encoding = settings.jwt_secret_encoding
        secrets = tuple(load_secret(secret.get_secret_value(), encoding) for secret in settings.jwt_secret)
        preset = provider if provider and provider.shares_secret else None
        trusted.append(TrustedIssuer(StaticKeys(secrets), _rules(settings, settings.secret_issuers, preset)))
    if settings.jwt_public_key:
        keys = StaticKeys(load_public_keys(settings.jwt_public_key))
        trusted.append(TrustedIssuer(keys, _rules(settings, settings.public_key_issuers, None)))
    if settings.jwt_jwks_url:
        key_set = JwksKeys(
            KeySetLocation(url=settings.jwt_jwks_url),
            network=network,
            algorithms=provider.algorithms if provider else PUBLIC_KEY_ALGORITHMS,
        )
        trusted.append(TrustedIssuer(key_set, _rules(settings, settings.key_set_issuers, provider)))
    for issuer in settings.discovered_issuers:
        key_set = JwksKeys(KeySetLocation(issuer=issuer), network=network)
        trusted.append(TrustedIssuer(key_set, _rules(settings, (issuer,), None)))
    return tuple(trusted)


def build_key_sets(settings: AuthSettings, network: Network) -> tuple[JwksKeys, ...]:
    """Make the key sets that would be fetched, for ``check``."""
    trusted = trusted_issuers(settings, network)
    return tuple(each.keys for each in trusted if isinstance(each.keys, JwksKeys))


def _rules(settings: AuthSettings, issuers: tuple[str, ...], provider: Provider | None) -> TokenRules:
    return TokenRules(
        issuers=issuers,
        audiences=settings.jwt_audience,
        required_scope=settings.jwt_required_scope,
        max_lifetime=settings.jwt_max_lifetime,
        leeway=settings.jwt_leeway,
        authorized_parties=settings.jwt_authorized_parties,
        allow_anonymous=settings.allow_anonymous_users,
        allow_machines=settings.allow_machine_tokens,
        user_claim=settings.jwt_user_claim,
        provider=provider,
    )
