"""Spotify's authorization page and token endpoint, as they work in late 2026, in an app with all endpoints."""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from flask import Flask, jsonify, redirect, render_template, request

from simulator.controls import create_controls
from simulator.failures import ORDINARY, Failures
from simulator.grants import TOKEN_SECONDS, Grant, Grants, Tokens
from simulator.library import Library
from simulator.personas import PERSONAS
from simulator.web_api import create_web_api

_SCOPES = """
playlist-modify-private playlist-modify-public playlist-read-collaborative playlist-read-private
ugc-image-upload user-follow-modify user-follow-read user-library-modify user-library-read
user-modify-playback-state user-read-currently-playing user-read-email user-read-playback-position
user-read-playback-state user-read-private user-read-recently-played user-top-read
app-remote-control streaming
"""
SCOPES = frozenset(_SCOPES.split())
"""The scopes that an app created in 2026 can request. Spotify rejects a request with any other scope."""

PKCE = ("code_challenge", "code_challenge_method")
PARAMETERS = ("client_id", "response_type", "redirect_uri", "scope", "state", *PKCE)
"""The parameters of an authorization request that the simulator reads."""

LITERALS = ("127.0.0.1", "::1")
CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class Application:
    """An app, as its owner registered it in Spotify's dashboard."""

    name: str = "Login on this machine"
    client_id: str = "simulated-client-id"
    client_secret: str = "simulated-client-secret"  # noqa: S105 - made up
    redirect_uris: tuple[str, ...] = ("http://127.0.0.1/callback",)
    allow_localhost: bool = False
    """Whether http://localhost can be registered. Spotify has rejected it since November 2025."""
    rotates: bool = False
    """Whether a refresh token works once and is replaced. Spotify's have stayed valid since June 2026."""

    def refuses(self, redirect_uri: str) -> str:
        """The text of Spotify's error page for a redirect URI; empty if Spotify accepts the URI."""
        parts = urlsplit(redirect_uri)
        localhost = parts.hostname == "localhost" and self.allow_localhost
        if parts.scheme != "https" and not (
            parts.scheme == "http" and (parts.hostname in LITERALS or localhost)
        ):
            return "INVALID_CLIENT: Insecure redirect URI"
        if redirect_uri in self.redirect_uris or _without_port(redirect_uri) in self.redirect_uris:
            return ""
        return "redirect_uri: Not matching configuration"


def _without_port(redirect_uri: str) -> str:
    """Drop the port of a loopback address: one that is registered without a port matches any (RFC 8252 §7.3)."""
    parts = urlsplit(redirect_uri)
    if parts.scheme != "http" or parts.hostname not in LITERALS:
        return redirect_uri
    return parts._replace(netloc=parts.netloc.removesuffix(f":{parts.port}")).geturl()


class Refused(Exception):
    """An authorization request that Spotify rejects with an error page instead of a redirect."""


class Invalid(Exception):
    """A token request that Spotify rejects with an error and its description (RFC 6749 §5.2)."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error


def create_app(application: Application) -> Flask:
    """Create a simulated Spotify with one registered app. It sets no cookies, and counts its requests."""
    app = Flask(__name__)
    grants = Grants(rotates=application.rotates)
    failures, asked = Failures(), list[str]()
    library = Library()
    app.register_blueprint(create_web_api(grants, library))
    app.register_blueprint(create_controls(grants, failures, library, asked))

    @app.before_request
    def count() -> None:
        if request.endpoint and request.blueprint != "controls":
            endpoint = f"{request.method} {request.path}"
            asked.extend([endpoint, f"{endpoint} refresh_token"] if _refreshes() else [endpoint])

    @app.get("/authorize")
    def authorize() -> Any:
        """Redirect a valid request to the consent page, as Spotify does to its login."""
        _authorization_request(application)
        return redirect(f"/authorize/consent?{request.query_string.decode()}", 303)

    @app.get("/authorize/consent")
    def consent() -> str:
        """Show what the app asks for, and let the developer pick a persona and agree or cancel."""
        query = _authorization_request(application)
        return render_template(
            "consent.html",
            application=application.name,
            redirect_uri=query["redirect_uri"],
            scopes=query["scope"].split(),
            personas=PERSONAS,
            decision=f"/authorize?{request.query_string.decode()}",
            granted={slug: grants.granted(persona.user_id) for slug, persona in PERSONAS.items()},
        )

    @app.post("/authorize")
    def decide() -> Any:
        """Redirect to the app with a code, or with access_denied."""
        query = _authorization_request(application)
        state = {"state": query["state"]} if query["state"] else {}
        if request.form.get("decision") != "agree":
            return _back(query["redirect_uri"], {"error": "access_denied", **state})
        persona = request.form.get("persona", "premium")
        if persona not in PERSONAS:
            raise Refused(f"Unknown persona: {persona}")
        refused = request.form.getlist("refused")
        user_id = request.form.get("user_id", "").strip() or PERSONAS[persona].user_id
        agreed = " ".join(scope for scope in query["scope"].split() if scope not in refused)
        grant = Grant(query["redirect_uri"], agreed, query["code_challenge"], persona, user_id)
        return _back(query["redirect_uri"], {"code": grants.give_code(grant), **state})

    @app.post("/api/token")
    def token() -> Any:
        """Issue tokens, unless a test has planned a failure."""
        failure = failures.take() if _refreshes() else None
        return (failure or ORDINARY).respond(lambda: jsonify(_token_response(application, grants)))

    @app.errorhandler(Invalid)
    def invalid(error: Invalid) -> Any:
        return jsonify(error=error.error, error_description=str(error)), 400

    @app.errorhandler(Refused)
    def refused(error: Refused) -> Any:
        return render_template("refused.html", text=str(error)), 400

    return app


def _authorization_request(application: Application) -> dict[str, str]:
    """Validate an authorization request (RFC 6749 §4.1.1, RFC 7636 §4.3). Returns its parameters.

    Raises:
        Refused: with the text that Spotify shows.
    """
    query = {name: request.args.get(name, "") for name in PARAMETERS}
    wrong_uri = application.refuses(query["redirect_uri"])
    uses_pkce = any(query[name] for name in PKCE)
    for wrong, text in (
        (any(len(request.args.getlist(name)) > 1 for name in PARAMETERS), "Duplicate parameter"),
        (not query["client_id"], "Missing required parameter: client_id"),
        (query["client_id"] != application.client_id, "INVALID_CLIENT: Invalid client"),
        (not query["response_type"], "Missing required parameter: response_type"),
        (query["response_type"] not in ("code", "token"), "response_type must be code or token"),
        (query["response_type"] == "token", "unsupported_response_type"),
        (not query["redirect_uri"], "Missing required parameter: redirect_uri"),
        (wrong_uri, wrong_uri),
        (not set(query["scope"].split()) <= SCOPES, "Illegal scope"),
        (uses_pkce and query["code_challenge_method"] != "S256", "code_challenge_method must be S256"),
        (uses_pkce and not CHALLENGE.fullmatch(query["code_challenge"]), "Invalid code_challenge"),
    ):
        if wrong:
            raise Refused(text)
    return query


def _back(redirect_uri: str, parameters: dict[str, str]) -> Any:
    return redirect(
        f"{redirect_uri}{'&' if urlsplit(redirect_uri).query else '?'}{urlencode(parameters)}", 303
    )


def _refreshes() -> bool:
    """Whether the request is one for a refresh."""
    return request.path == "/api/token" and request.form.get("grant_type") == "refresh_token"


def _token_response(application: Application, grants: Grants) -> dict[str, Any]:
    """The response to a token request: for a code (RFC 6749 §4.1.3), the app itself (§4.4) or a refresh (§6).

    Raises:
        Invalid: with Spotify's error and description.
    """
    _authenticate(application)
    kind = request.form.get("grant_type")
    if kind == "client_credentials":
        tokens = Tokens("BQ" + secrets.token_urlsafe(96))
    elif kind == "authorization_code":
        tokens = grants.give_tokens(_redeemed(grants))
    elif kind == "refresh_token":
        tokens = _refreshed(grants)
    else:
        raise Invalid(
            "unsupported_grant_type",
            "grant_type must be client_credentials, authorization_code or refresh_token",
        )
    issued = {name: value for name, value in asdict(tokens).items() if value is not None}
    return {**issued, "token_type": "Bearer", "expires_in": TOKEN_SECONDS}


def _authenticate(application: Application) -> None:
    """Check that a token request is a form with the app's credentials."""
    if request.mimetype != "application/x-www-form-urlencoded":
        raise Invalid("unsupported_grant_type", "grant_type parameter is missing")
    client = request.authorization
    if client is None or client.type != "basic" or client.username != application.client_id:
        raise Invalid("invalid_client", "Invalid client")
    if not hmac.compare_digest((client.password or "").encode(), application.client_secret.encode()):
        raise Invalid("invalid_client", "Invalid client secret")


def _redeemed(grants: Grants) -> Grant:
    """The grant of the code in the request."""
    form = request.form
    if not form.get("code"):
        raise Invalid("invalid_request", "code must be supplied")
    grant, in_time = grants.take_code(form["code"])
    if grant is None:
        raise Invalid("invalid_grant", "Invalid authorization code")
    if not in_time:
        raise Invalid("invalid_grant", "Authorization code expired")
    if form.get("redirect_uri") != grant.redirect_uri:
        raise Invalid("invalid_grant", "Invalid redirect URI")
    if grant.code_challenge and not form.get("code_verifier"):
        raise Invalid("invalid_request", "code_verifier required")
    if grant.code_challenge and not grant.matches(form["code_verifier"]):
        raise Invalid("invalid_grant", "code_verifier was incorrect")
    return grant


def _refreshed(grants: Grants) -> Tokens:
    """The tokens for the refresh token in the request."""
    refresh_token = request.form.get("refresh_token")
    if not refresh_token:
        raise Invalid("invalid_request", "refresh_token must be supplied")
    tokens, revoked = grants.refresh(refresh_token)
    if tokens is None:
        raise Invalid("invalid_grant", "Refresh token revoked" if revoked else "Invalid refresh token")
    return tokens
