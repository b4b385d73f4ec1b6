"""The one place where the parts meet."""

from __future__ import annotations

import time

from flask import Flask

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
from service.exchange import Exchange
from service.http import responses
from service.http.probes import Watched, describe, probe_routes
from service.http.routes import EVENTS, Services, token_routes
from service.limits import build as build_limits
from service.limits.replay import StorageReplayGuard
from service.observe.metrics import Metrics, NullMetrics
from service.policy import build as build_policy
from service.settings import Settings
from service.store import Store
from service.store import build as build_store
from service.vendors.outbound import Network
from service.vendors.transport import Transport


def create_app(settings: Settings) -> Flask:
    """Put the service together. Nothing outside the app is touched, and no socket is opened before the first request.

    Logs are configured by whoever runs the process: ``serving.gunicorn_conf``, ``wsgi``, a command.
    """
    app = Flask("service", static_folder="static", template_folder="templates")
    app.url_map.merge_slashes = False  # a redirect to the merged path would name this host in the clear
    network = settings.vendor.network
    store = build_store(settings.store)
    limits = build_limits(settings.limits, store)
    limits.init_app(app)
    key_set = key_set_of(settings.auth, network)
    metrics = Metrics() if settings.observe.metrics_token else NullMetrics()
    policy = build_policy(settings.policy, settings.vendor.vendor.layout)
    services = Services(
        exchange=Exchange(authenticator_of(settings, key_set, store), policy, limits),
        vendor=settings.vendor.vendor,
        transport=transport_of(settings, network),
        endpoint=settings.vendor.endpoint,
        http=settings.http,
    )
    responses.install(app, allowed_origins=settings.http.allowed_origins, metrics=metrics, events=EVENTS)
    app.register_blueprint(token_routes(services))
    token, layout = settings.observe.metrics_token, services.vendor.layout
    app.register_blueprint(
        probe_routes(
            Watched(limits, key_set, metrics),
            metrics_token=token.get_secret_value() if token else None,
            proxy_hops=settings.http.trusted_proxy_hops,
            description=describe(
                longest_life=settings.policy.token_max_ttl,
                profiles=bool(settings.policy.session_policy and settings.policy.session_policy.profiles),
                drop_in=services.vendor.drop_in,
                expiry=layout.has_expiry,
            ),
        )
    )
    return app


def transport_of(settings: Settings, network: Network) -> Transport:
    """Make the way to the vendor."""
    return Transport(
        settings.vendor.openai_base_url,
        credential=settings.vendor.credential,
        network=network,
        timeout=settings.vendor.upstream_timeout,
        connections=settings.server.web_connections,
    )


def key_set_of(settings: AuthSettings, network: Network) -> JwksKeys | None:
    """Make the identity provider's key set, where there is a provider."""
    url, provider = settings.jwt_jwks_url, settings.auth_provider
    algorithms = provider.algorithms if provider else PUBLIC_KEY_ALGORITHMS
    return JwksKeys(url, http=network.session(url), algorithms=algorithms) if url else None


def keys_of(settings: AuthSettings, key_set: JwksKeys | None) -> KeySource:
    """Gather the keys that verify tokens, the configured ones before the published ones."""
    configured = [secret_key(secret.get_secret_value()) for secret in settings.jwt_secret]
    if settings.jwt_public_key:
        configured.append(public_key(settings.jwt_public_key))
    sources: list[KeySource] = [StaticKeys(tuple(configured))] if configured else []
    if key_set:
        sources.append(key_set)
    return sources[0] if len(sources) == 1 else CombinedKeys(tuple(sources))


def authenticator_of(settings: Settings, key_set: JwksKeys | None, store: Store) -> Authenticator:
    """Make the part that verifies whom a token speaks of."""
    auth = settings.auth
    rules = TokenRules(
        issuer=auth.jwt_issuer or "",
        audience=auth.jwt_audience,
        required_scope=auth.jwt_required_scope,
        max_lifetime=auth.jwt_max_lifetime,
        leeway=auth.jwt_leeway,
        authorized_parties=auth.jwt_authorized_parties,
        allow_anonymous=auth.allow_anonymous_users,
        provider=auth.auth_provider,
    )
    return Authenticator(
        keys=keys_of(auth, key_set),
        rules=rules,
        pseudonym_key=settings.pseudonym_key,
        clock=time.time,
        replay_guard=StorageReplayGuard(store) if auth.jwt_single_use else None,
    )
