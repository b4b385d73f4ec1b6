"""What people get wrong in an environment: more than eighty cases, each with the words that fix it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.support.tokens import AUDIENCE, ISSUER, SECRET

PRIVATE_PEM = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAAA\n-----END PRIVATE KEY-----"
GOOD: Mapping[str, str] = {
    "OPENAI_API_KEY": "sk-proj-0123456789abcdef",
    "JWT_SECRET": SECRET,
    "JWT_ISSUER": ISSUER,
    "JWT_AUDIENCE": AUDIENCE,
    "CALL_TYPES": "none",  # calls in memory are warned about
}


@dataclass(frozen=True)
class Mistake:
    """An environment that is refused: what differs from a good one, who is to blame, and a word of the fix."""

    title: str
    changes: Mapping[str, str]
    variable: str
    fix: str

    @property
    def environ(self) -> dict[str, str]:
        """The whole environment."""
        return {name: value for name, value in {**GOOD, **self.changes}.items() if value != "unset"}


def _one(title: str, variable: str, value: str, fix: str) -> Mistake:
    return Mistake(title, {variable: value}, variable, fix)


def _key(title: str, value: str, fix: str) -> Mistake:
    return Mistake(title, {"JWT_SECRET": "unset", "JWT_PUBLIC_KEY": value}, "JWT_PUBLIC_KEY", fix)


MISTAKES = (
    # What a shell, an editor or a host leaves in a value.
    _one("docker --env-file keeps the quotation marks of the key", "OPENAI_API_KEY", '"sk-proj-0123"', "leave"),
    _one("... of a number", "PORT", '"8000"', "leave the quotation marks out"),
    _one("... single ones, of an issuer", "JWT_ISSUER", "'https://issuer.test'", "leave the quotation marks out"),
    _one("... of a policy, with credentials in it", "SESSION_POLICY", "'{\"mode\": \"sk-canary\"}'", "leave the quot"),
    _one("... of a secret", "JWT_SECRET", f'"{SECRET}"', "leave the quotation marks out"),
    _one("a word processor's quotation marks", "JWT_AUDIENCE", "\u201ctoken-service\u201d", "leave the"),
    _one("a quotation mark at one end", "JWT_AUDIENCE", 'token-service"', "leave it out"),
    _one("a byte order mark", "JWT_ISSUER", "\ufeffhttps://issuer.test", "without BOM"),
    _one("a byte order mark read as Latin-1", "DEFAULT_MODEL", "\u00ef\u00bb\u00bfgpt-realtime-2.1", "without BOM"),
    _one("a line break that echo adds to a secret", "JWT_SECRET", f"{SECRET}\n", "remove it"),
    _one("a line with Windows line ends", "TOKEN_TTL", "60\r", "remove it"),
    _one("a space at the end", "JWT_AUDIENCE", "token-service ", "remove it"),
    _one("a space at the beginning", "RATE_LIMIT_GLOBAL", " 600/minute", "remove it"),
    _one("bytes that are not UTF-8", "JWT_AUDIENCE", "caf\udce9", "as UTF-8"),
    _one("an invisible character copied from a page", "DEFAULT_MODEL", "gpt-realtime\u200b-2.1", "type it anew"),
    _one("a reference that the host did not replace", "OPENAI_API_KEY", "${OPENAI_KEY}", "write the value itself"),
    _one("a template that nobody filled in", "JWT_AUDIENCE", "{{ audience }}", "write the value itself"),
    _one("an example's angle brackets", "OPENAI_API_KEY", "<your key>", "write the value itself"),
    _one("the whole assignment as the value", "JWT_ISSUER", "JWT_ISSUER=https://issuer.test", "only what follows"),
    _one("a list written as JSON", "ALLOWED_ORIGINS", '["https://a.example.com"]', "separate its parts by commas"),
    # The key and the vendor.
    _one("no key", "OPENAI_API_KEY", "unset", "set it"),
    _one("an empty key", "OPENAI_API_KEY", " ", "set it, or OPENAI_API_KEY_FILE"),
    Mistake(
        "the key under another name",
        {"OPENAI_API_KEY": "unset", "OPENAI_KEY": "sk-canary"},
        "OPENAI_API_KEY",
        "OPENAI_KEY is set, but not read: rename it",
    ),
    _one("the key in two lines", "OPENAI_API_KEY", "sk-canary\nx", "copy it again"),
    _one("the key with its scheme", "OPENAI_API_KEY", "Bearer sk-canary", "write the key alone"),
    _one("the documentation's key", "OPENAI_API_KEY", "sk-...", "copy the whole key"),
    _one("a tutorial's key", "OPENAI_API_KEY", "YOUR_OPENAI_API_KEY", "copy a whole key"),
    _one("two keys", "OPENAI_API_KEY", "sk-canary,sk-canary2", "put one key"),
    _one("a project as the key", "OPENAI_API_KEY", "proj_canary", "put a key (sk-…) there"),
    _one("a client secret as the key", "OPENAI_API_KEY", "ek_canary", "put a standard key"),
    _one("an admin key", "OPENAI_API_KEY", "sk-admin-canary", "put a project's key"),
    _one("a secret's path in place of the secret", "OPENAI_API_KEY", "/run/secrets/key", "OPENAI_API_KEY_FILE instead"),
    _one("a base without its version", "OPENAI_BASE_URL", "https://api.openai.com", "https://api.openai.com/v1"),
    _one("a route as the base", "OPENAI_BASE_URL", "https://api.openai.com/v1/realtime", "the API's base alone"),
    _one("a WebSocket's URL as the base", "OPENAI_BASE_URL", "wss://api.openai.com/v1", "must begin with https://"),
    _one("a base without its scheme", "OPENAI_BASE_URL", "api.openai.com/v1", "must be a whole URL"),
    _one("a base in the clear", "OPENAI_BASE_URL", "http://sandbox:9000/v1", "ALLOW_INSECURE_HOSTS"),
    _one("a public base in the clear", "REALTIME_PUBLIC_URL", "http://192.0.2.1/v1", "must begin with https://"),
    _one("a URL as an insecure host", "ALLOW_INSECURE_HOSTS", "http://sandbox:9000", "names of hosts"),
    _one("the vendor as an insecure host", "ALLOW_INSECURE_HOSTS", "api.openai.com", "use https://"),
    _one("a project as the organization", "OPENAI_ORG_ID", "proj_canary", "OPENAI_PROJECT_ID"),
    _one("an organization as the project", "OPENAI_PROJECT_ID", "org-canary", "OPENAI_ORG_ID"),
    _one("an API that does not exist", "REALTIME_API", "v1", "'ga' or 'beta'"),
    _one("milliseconds", "UPSTREAM_TIMEOUT", "10000", "less than or equal to 20"),
    _one("seconds with a unit", "UPSTREAM_TIMEOUT", "10s", "must be a number, such as 10"),
    _one("certificates that are not there", "REQUESTS_CA_BUNDLE", "/no/such/canary.pem", "must be the path of cert"),
    _one("no certificates in the file", "REQUESTS_CA_BUNDLE", "/etc/hostname", "must be the path of certificates"),
    _one("a SOCKS proxy", "HTTPS_PROXY", "socks5://canary@proxy:1080", "must begin with http://"),
    _one("a password with a raw character", "HTTPS_PROXY", "http://u:pa[canary@proxy:3128", "characters with %"),
    # Sign-in.
    _one("no issuer", "JWT_ISSUER", "unset", "is required"),
    _one("no audience", "JWT_AUDIENCE", "unset", "is required"),
    Mistake(
        "the key set under another name",
        {"JWT_SECRET": "unset", "JWT_ISSUER": "acme", "JWT_JWKS": "https://issuer.test/jwks"},
        "JWT_ISSUER",
        "set one of AUTH_PROVIDER, JWT_JWKS_URL",
    ),
    _one("a short secret", "JWT_SECRET", "canary", "at least 32"),
    Mistake("base64 that is none", {"JWT_SECRET_ENCODING": "base64"}, "JWT_SECRET", "JWT_SECRET_ENCODING=text"),
    _key("a private key", PRIVATE_PEM, "public"),
    _key("a key's path in place of the key", "/etc/keys/public.pem", "the file's content"),
    _key("a JWK in place of the key", '{"kty": "RSA", "n": "canary"}', "convert it to PEM"),
    _key("a key for SSH", "ssh-rsa AAAAcanary ada@example", "ssh-keygen -e -m PKCS8"),
    _key("a key set's address in place of the key", "https://issuer.test/canary", "JWT_JWKS_URL"),
    _key("a key that is cut off", "-----BEGIN PUBLIC KEY-----\ncanary", "its END line missing"),
    Mistake(
        "a development secret beside a provider",
        {"AUTH_PROVIDER": "firebase:acme"},
        "JWT_ALLOW_MULTIPLE",
        "unset one",
    ),
    _one("a provider that has no preset", "AUTH_PROVIDER", "ping:acme", "JWT_ISSUER and JWT_AUDIENCE"),
    _one("a preset's domain with its scheme", "AUTH_PROVIDER", "auth0:https://acme.auth0.com", "leave out https://"),
    _one("every tenant in the world", "AUTH_PROVIDER", "entra:common", "tenant"),
    _one("a Keycloak in the clear", "AUTH_PROVIDER", "keycloak:http://keycloak:8080/acme", "ALLOW_INSECURE_HOSTS"),
    _one("a key set in the clear", "JWT_JWKS_URL", "http://issuer.test/jwks", "must begin with https://"),
    _one("metadata as the key set", "JWT_JWKS_URL", "https://x.test/.well-known/openid-configuration", "'jwks_uri'"),
    _one("metadata as the issuer", "JWT_ISSUER", "https://x.test/.well-known/openid-configuration", "'issuer'"),
    _one("issuers separated by spaces", "JWT_ISSUER", "https://a.test https://b.test", "by commas"),
    _one("every issuer", "JWT_ISSUER", "*", "list each value exactly"),
    _one("every audience", "JWT_AUDIENCE", "*", "list each value exactly"),
    _one("a pattern of parties", "JWT_AUTHORIZED_PARTIES", "https://*.example.com", "list each value exactly"),
    _one("a flag that says neither", "JWT_SINGLE_USE", "maybe", "one of them"),
    _one("two scopes", "JWT_REQUIRED_SCOPE", "realtime openid", "must be one scope"),
    _one("every scope", "JWT_REQUIRED_SCOPE", "*", "leave it out"),
    _one("two claims that name the user", "JWT_USER_CLAIM", "sub,uid", "the name of one claim"),
    _one("a life in hours", "JWT_MAX_LIFETIME", "24h", "a whole number, such as 86400"),
    _one("a leeway of an hour", "JWT_LEEWAY", "3600", "less than or equal to 300"),
    # Models, lives and policy.
    _one("models separated by spaces", "ALLOWED_MODELS", "gpt-realtime-2.1 gpt-live-1.1", "separated by commas"),
    _one("a pattern of models", "ALLOWED_MODELS", "gpt-realtime-*", "exact name"),
    _one("two default models", "DEFAULT_MODEL", "gpt-realtime-2.1,gpt-realtime-2", "ALLOWED_MODELS"),
    _one("too short a life", "TOKEN_TTL", "5", "greater than or equal to 10"),
    _one("a life over the longest", "TOKEN_TTL", "900", "TOKEN_MAX_TTL"),
    _one("too long a life", "TOKEN_MAX_TTL", "86400", "less than or equal to 7200"),
    _one("a type that does not exist", "CLIENT_SECRET_TYPES", "realtime,video", "'transcription'"),
    _one("a type of call that does not exist", "CALL_TYPES", "sip", "'live'"),
    _one("models of calls where there are none", "DEFAULT_MODEL", "gpt-live-1.1", "allow live in CALL_TYPES"),
    _one("nothing at all is allowed", "CLIENT_SECRET_TYPES", "none", "allow one, such as"),
    _one("a policy's missing file", "SESSION_POLICY", "/etc/canary.json", "the path of its file"),
    _one("YAML in place of a policy", "SESSION_POLICY", 'mode: {"k": "sk-canary"}', "write the policy itself in JSON"),
    _one("a policy with a comma too many", "SESSION_POLICY", '{"mode": "audit",}', "a comma or a quote too many"),
    _one("a policy's misspelt member", "SESSION_POLICY", '{"profile": {}}', 'did you mean "profiles"'),
    # Limits and storage.
    _one("a limit in an abbreviation", "RATE_LIMIT_PER_USER", "10/min", "10/minute;100/hour"),
    _one("a limit without a time", "RATE_LIMIT_GLOBAL", "600", "10/minute;100/hour"),
    _one("a limit of nobody", "RATE_LIMIT_FAILED_AUTH", "0/minute", "admit no request"),
    _one("tiers that are no JSON", "RATE_LIMIT_TIERS", "pro=60/minute", "JSON"),
    _one("a strategy that does not exist", "RATE_LIMIT_STRATEGY", "leaky-bucket", "'fixed-window'"),
    _one("a storage without its scheme", "REDIS_URL", "canary.example:6379", "redis://HOST:6379"),
    _one("another kind of storage", "RATE_LIMIT_STORAGE_URL", "memcached://canary:11211", "redis://"),
    _one("a password with a raw character, again", "REDIS_URL", "redis://:can/ary@host:6379", "%2F"),
    _one("a password with another raw character", "REDIS_URL", "redis://:can#ary@host:6379", "%23"),
    _one("a database's name", "REDIS_URL", "redis://canary@host:6379/cache", "the number of a database"),
    _one("two hosts", "REDIS_URL", "redis://canary@a:6379,b:6379", "redis+cluster://HOST,HOST"),
    _one("a Sentinel without its service", "REDIS_URL", "redis+sentinel://host:26379", "redis+sentinel://HOST:26379/"),
    _one("an option that the client does not know", "REDIS_URL", "redis://host:6379?tls=1", "leave it out"),
    _one("a policy of failure that does not exist", "RATE_LIMIT_ON_STORAGE_FAILURE", "allow", "'local' or 'deny'"),
    # Browsers and proxies.
    _one("every origin", "ALLOWED_ORIGINS", "*", "list every origin exactly"),
    _one("an origin with a path", "ALLOWED_ORIGINS", "https://app.example.com/login", "without a path"),
    _one("origins separated by spaces", "ALLOWED_ORIGINS", "https://a.test https://b.test", "several by commas"),
    _one("origins separated by semicolons", "ALLOWED_ORIGINS", "https://a.test;https://b.test", "by commas"),
    _one("an origin with a slash", "ALLOWED_ORIGINS", "https://app.example.com/", "without a path or a slash"),
    _one("an origin without its scheme", "ALLOWED_ORIGINS", "app.example.com", "such as https://app.example.com"),
    _one("an origin in upper case", "ALLOWED_ORIGINS", "https://App.example.com", "in lower case"),
    _one("a page from a file", "ALLOWED_ORIGINS", "null", "an origin of its own"),
    _one("a WebSocket as an origin", "ALLOWED_ORIGINS", "wss://app.example.com", "begin with https://"),
    _one("a pattern of every com", "ALLOWED_ORIGINS", "https://*.com", "fewer than two fixed labels"),
    _one("a pattern below a public suffix", "ALLOWED_ORIGINS", "https://*.vercel.app", "list every origin exactly"),
    _one("a pattern within a label", "ALLOWED_ORIGINS", "https://pr-*.example.com", "list every origin exactly"),
    _one("a pattern in the clear", "ALLOWED_ORIGINS", "http://*.preview.example.com", "list every origin exactly"),
    _one("every header", "CORS_ALLOWED_HEADERS", "*", "by name"),
    _one("a header with its value", "CORS_ALLOWED_HEADERS", "X-Team: red", "the name of a header"),
    _one("a list of addresses as the client's", "CLIENT_ADDRESS_HEADER", "X-Forwarded-For", "TRUSTED_PROXY_HOPS"),
    _one("addresses in place of a number of proxies", "TRUSTED_PROXY_HOPS", "10.0.0.0/8", "a whole number, such as 0"),
    _one("a size with a unit", "MAX_BODY_BYTES", "256k", "a whole number, such as 262144"),
    # Metrics, logs and the server.
    _one("a token for metrics that can be guessed", "METRICS_TOKEN", "canary", "at least 16 characters"),
    _one("a level of another library", "LOG_LEVEL", "verbose", "'INFO'"),
    _one("a format that does not exist", "LOG_FORMAT", "text", "'json' or 'console'"),
    _one("a URL to listen on", "HOST", "http://0.0.0.0", "one address"),
    _one("an address with its port", "HOST", "0.0.0.0:8000", "that is PORT's"),
    _one("a port in words", "PORT", "http", "a whole number, such as 8000"),
    _one("processes in words", "WEB_CONCURRENCY", "two", "a whole number, such as 1"),
    _one("no process", "WEB_CONCURRENCY", "0", "greater than or equal to 1"),
    _one("no connection", "WEB_CONNECTIONS", "0", "greater than or equal to 1"),
    # Secrets in files.
    Mistake(
        "a secret given twice",
        {"OPENAI_API_KEY_FILE": "/run/secrets/key"},
        "OPENAI_API_KEY_FILE",
        "unset one of the two",
    ),
    Mistake(
        "a secret's file that is not there",
        {"OPENAI_API_KEY": "unset", "OPENAI_API_KEY_FILE": "/run/secrets/canary"},
        "OPENAI_API_KEY_FILE",
        "must be the path of the file that holds the secret",
    ),
    Mistake(
        "the secret itself in place of its file's path",
        {"JWT_SECRET": "unset", "JWT_SECRET_FILE": "canary-secret-of-more-than-32-bytes"},
        "JWT_SECRET_FILE",
        "must be the path of the file that holds the secret",
    ),
    Mistake(
        "a secret's file that is empty",
        {"METRICS_TOKEN_FILE": "/dev/null"},
        "METRICS_TOKEN_FILE",
        "must be the path of the file that holds the secret",
    ),
)  # fmt: skip

MISNAMED = {
    "OPENAI_KEY": "OPENAI_API_KEY",
    "OPENAI_API_BASE": "OPENAI_BASE_URL",
    "JWT_JWKS": "JWT_JWKS_URL",
    "JWT_ISS": "JWT_ISSUER",
    "ALLOWED_ORIGIN": "ALLOWED_ORIGINS",
    "CORS_ORIGINS": "ALLOWED_ORIGINS",
    "allowed_origins": "ALLOWED_ORIGINS",
    "export TOKEN_TTL": "TOKEN_TTL",
    "\ufeffTOKEN_TTL": "TOKEN_TTL",
    "TOKEN-TTL": "TOKEN_TTL",
    "RATE_LIMIT_PER_USERS": "RATE_LIMIT_PER_USER",
    "RATELIMIT_STORAGE_URL": "RATE_LIMIT_STORAGE_URL",
    "TRUSTED_PROXIES": "TRUSTED_PROXY_HOPS",
    "WEB_CONCURENCY": "WEB_CONCURRENCY",
    "JWT_SECRET_FILES": "JWT_SECRET_FILE",
    "JWT_PUBLIC_KEY_FILE": "JWT_PUBLIC_KEY",
    "SESSION_POLICY_FILE": "SESSION_POLICY",
    "AUTH0_DOMAIN": "AUTH_PROVIDER",
}
"""Names that people give our variables, and the ones they mean."""
