"""The one place where the parts meet."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from flask import Flask
from pydantic import SecretStr

from service import policy
from service.auth.authenticator import Authenticator
from service.auth.claim_checks import TokenRules
from service.auth.jwks import JwksKeys
from service.auth.keys import (
    PUBLIC_KEY_ALGORITHMS,
    CombinedKeys,
    KeySource,
    StaticKeys,
    public_key,
    secret_key,
)
from service.auth.settings import AuthSettings
from service.http import responses
from service.http.openapi.description import describe
from service.http.probes import probe_routes
from service.http.routes import Parts, token_routes
from service.limits.counting import failover_for
from service.limits.extension import attach
from service.limits.limiter import RateLimits
from service.limits.replay import StorageReplayGuard
from service.observe import logs
from service.observe.audit import Audit
from service.observe.metrics import Metrics, Unmeasured
from service.policy.explain import warnings
from service.settings import Settings
from service.vendors.outbound import Network
from service.vendors.settings import UpstreamSettings
from service.vendors.upstream import Upstream


def create_app(settings: Settings) -> Flask:
    """Put the service together. No socket is opened here, so an app may be made before a fork."""
    logs.configure(level=settings.log_level, format=settings.log_format, secrets=settings.secrets)
    app = Flask("service", static_folder="static", template_folder="templates")
    app.url_map.merge_slashes = False  # a redirect to the merged path would name this host in the clear
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the vendor's answer keeps its order
    network = network_of(settings)
    limits = limits_of(settings, app)
    metrics = Metrics() if settings.metrics_token else Unmeasured()
    key_set = key_set_of(settings, network)
    parts = Parts(
        authenticator=authenticator_of(settings, key_set, limits),
        policy=policy.build(settings, settings.layout),
        limits=limits,
        upstream=upstream_of(settings, network),
        audit=Audit(),
        metrics=metrics,
        public_api=settings.public_api,
        max_body_bytes=settings.max_body_bytes,
        trusted_proxy_hops=settings.trusted_proxy_hops,
    )
    responses.install(app, allowed_origins=settings.allowed_origins, metrics=metrics)
    app.register_blueprint(token_routes(parts))
    app.register_blueprint(
        probe_routes(
            limits=limits,
            key_set=key_set,
            metrics=metrics,
            metrics_token=_revealed(settings.metrics_token),
            description=description_of(settings),
        )
    )
    return app


def _revealed(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


def network_of(settings: UpstreamSettings) -> Network:
    """Say how this service reaches the outside."""
    return Network(
        ca_bundle=str(settings.requests_ca_bundle) if settings.requests_ca_bundle else None,
        https_proxy=_revealed(settings.https_proxy),
        no_proxy=settings.no_proxy,
    )


def key_set_of(settings: AuthSettings, network: Network) -> JwksKeys | None:
    """Make the identity provider's key set, where there is a provider."""
    url, provider = settings.jwt_jwks_url, settings.auth_provider
    algorithms = provider.algorithms if provider else PUBLIC_KEY_ALGORITHMS
    return JwksKeys(url, http=network.session(url), algorithms=algorithms) if url else None


def keys_of(settings: Settings, key_set: JwksKeys | None) -> KeySource:
    """Gather the keys that verify tokens, the configured ones before the published ones."""
    configured = [secret_key(secret.get_secret_value()) for secret in settings.jwt_secret]
    if settings.jwt_public_key:
        configured.append(public_key(settings.jwt_public_key))
    sources: list[KeySource] = [StaticKeys(tuple(configured))] if configured else []
    if key_set:
        sources.append(key_set)
    return sources[0] if len(sources) == 1 else CombinedKeys(tuple(sources))


def authenticator_of(settings: Settings, key_set: JwksKeys | None, limits: RateLimits) -> Authenticator:
    """Make the part that knows whom a token speaks of."""
    rules = TokenRules(
        issuer=settings.jwt_issuer or "",
        audience=settings.jwt_audience,
        required_scope=settings.jwt_required_scope,
        max_lifetime=settings.jwt_max_lifetime,
        leeway=settings.jwt_leeway,
        authorized_parties=settings.jwt_authorized_parties,
        allow_anonymous=settings.allow_anonymous_users,
        provider=settings.auth_provider,
    )
    return Authenticator(
        keys=keys_of(settings, key_set),
        rules=rules,
        pseudonym_key=settings.pseudonym_key,
        clock=time.time,
        replay_guard=StorageReplayGuard(limits.counter) if settings.jwt_single_use else None,
    )


def upstream_of(settings: Settings, network: Network) -> Upstream:
    """Make the part that mints."""
    return Upstream(
        session=network.busy_session(settings.openai_base_url, connections=settings.web_connections),
        api=settings.api,
        timeout=settings.upstream_timeout,
    )


def description_of(settings: Settings) -> Mapping[str, Any]:
    """Describe the service as it is configured."""
    return describe(
        longest_life=settings.token_max_ttl,
        profiles=bool(settings.session_policy and settings.session_policy.profiles),
        beta=settings.beta,
    )


def limits_of(settings: Settings, app: Flask) -> RateLimits:
    """Make the part that counts."""
    strategy = attach(
        app,
        url=settings.storage_url,
        strategy=settings.rate_limit_strategy,
        on_heroku=settings.on_heroku,
    )
    counter = failover_for(strategy, on_failure=settings.rate_limit_on_storage_failure)
    return RateLimits(settings.limit_rules, counter)


def warnings_of(settings: Settings) -> tuple[str, ...]:
    """List what the admin should look at, though the service can start with it."""
    held_back = (
        f"WEB_CONCURRENCY: {settings.web_concurrency} processes were asked for and {settings.processes} runs, "
        "since limits are counted in memory; set RATE_LIMIT_STORAGE_URL to share them"
    )
    processes = (held_back,) if settings.processes < settings.web_concurrency else ()
    nameless = "DEFAULT_MODEL: it is not in ALLOWED_MODELS, so a caller who names no model is refused"
    models = (nameless,) if settings.default_model not in settings.allowed_models else ()
    found = warnings(policy.build(settings, settings.layout))
    return (
        *processes,
        *models,
        *settings.limit_rules.warnings(),
        *(f"SESSION_POLICY: {warning}" for warning in found),
    )
