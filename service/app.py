"""The one place where the parts meet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Flask
from pydantic import SecretStr

from service.auth.factory import build as build_authenticator
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
    authenticator = build_authenticator(
        settings,
        network=network,
        pseudonym_key=settings.pseudonym_key,
        single_use=StorageReplayGuard(limits.counter),
    )
    parts = Parts(
        authenticator=authenticator,
        policy=settings.policy,
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
            key_sets=authenticator.key_sets,
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
    policy = (f"SESSION_POLICY: {warning}" for warning in settings.policy.warnings())
    return (*processes, *models, *settings.auth_warnings(), *settings.limit_rules.warnings(), *policy)
