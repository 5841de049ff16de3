"""Spotify's authorization page, token endpoint and current-user endpoint, as they work in late 2026."""

from __future__ import annotations

import hmac
import re
import secrets
from collections import Counter
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from flask import Flask, Response, jsonify, redirect, render_template, request

from simulator.grants import TOKEN_LIFETIME, Grant, Grants
from simulator.personas import PERSONAS

_SCOPES = """
playlist-modify-private playlist-modify-public playlist-read-collaborative playlist-read-private
ugc-image-upload user-follow-modify user-follow-read user-library-modify user-library-read
user-modify-playback-state user-read-currently-playing user-read-email user-read-playback-position
user-read-playback-state user-read-private user-read-recently-played user-top-read
app-remote-control streaming
"""
SCOPES = frozenset(_SCOPES.split())
"""The scopes that an app created in 2026 can request. Spotify rejects a request with any other scope."""

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
    code_lifetime: float = 600

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


def create_app(application: Application) -> Flask:
    """Create a simulated Spotify with one registered app. It sets no cookies, and counts its requests."""
    app = Flask(__name__)
    grants = Grants(application.code_lifetime)
    received: Counter[str] = Counter()

    @app.before_request
    def count() -> None:
        if request.endpoint and not request.path.startswith("/_simulator"):
            received[f"{request.method} {request.path}"] += 1

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
        user_id = request.form.get("user_id", "").strip() or PERSONAS[persona].user_id
        grant = Grant(
            application.client_id,
            query["redirect_uri"],
            query["scope"],
            query["code_challenge"],
            persona,
            user_id,
        )
        return _back(query["redirect_uri"], {"code": grants.give_code(grant), **state})

    @app.post("/api/token")
    def token() -> Any:
        """Exchange a code for an access token (RFC 6749 §4.1.3), or give the app a token of its own (§4.4)."""
        result = _token_error(application, grants)
        if result is None:
            own = "BQ" + secrets.token_urlsafe(96)
            return jsonify(access_token=own, token_type="Bearer", expires_in=TOKEN_LIFETIME)  # noqa: S106 - a token type
        if isinstance(result, Grant):
            return jsonify(
                access_token=grants.give_token(result),
                token_type="Bearer",  # noqa: S106 - a token type
                scope=result.scope,
                expires_in=TOKEN_LIFETIME,
                refresh_token="AQ" + secrets.token_urlsafe(96),
            )
        code, description = result
        return jsonify(error=code, error_description=description), 400

    @app.get("/v1/me")
    def me() -> Any:
        """Return the profile of the user who agreed to the token."""
        kind, _, value = request.headers.get("Authorization", "").partition(" ")
        if not value:
            return jsonify(error={"status": 401, "message": "No token provided"}), 401
        grant = grants.of_token(value) if kind == "Bearer" else None
        if grant is None:
            return jsonify(error={"status": 401, "message": "Invalid access token"}), 401
        reply = PERSONAS[grant.persona].me(grant.user_id, grant.scope.split())
        return Response(reply.body, reply.status, dict(reply.headers))

    @app.get("/_simulator/asked")
    def counts() -> Any:
        """Return the number of requests that each endpoint has received."""
        return jsonify(received)

    @app.errorhandler(Refused)
    def refused(error: Refused) -> Any:
        return render_template("refused.html", text=str(error)), 400

    return app


def _authorization_request(application: Application) -> dict[str, str]:
    """Validate an authorization request (RFC 6749 §4.1.1, RFC 7636 §4.3). Returns its parameters.

    Raises:
        Refused: with the text that Spotify shows.
    """
    names = (
        "client_id",
        "response_type",
        "redirect_uri",
        "scope",
        "state",
        "code_challenge",
        "code_challenge_method",
    )
    query = {name: request.args.get(name, "") for name in names}
    wrong_uri = application.refuses(query["redirect_uri"])
    uses_pkce = bool(query["code_challenge"] or query["code_challenge_method"])
    for wrong, text in (
        (any(len(request.args.getlist(name)) > 1 for name in names), "Duplicate parameter"),
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


def _token_error(application: Application, grants: Grants) -> Grant | tuple[str, str] | None:
    """The grant of a valid token request; the error and description of any other (RFC 6749 §5.2).

    None for a valid request with the app's own credentials, which needs no grant.
    """
    form = request.form
    if request.mimetype != "application/x-www-form-urlencoded":
        return "unsupported_grant_type", "grant_type parameter is missing"
    client = request.authorization
    if client is None or client.type != "basic" or client.username != application.client_id:
        return "invalid_client", "Invalid client"
    if not hmac.compare_digest((client.password or "").encode(), application.client_secret.encode()):
        return "invalid_client", "Invalid client secret"
    if form.get("grant_type") == "client_credentials":
        return None
    if form.get("grant_type") != "authorization_code":
        return (
            "unsupported_grant_type",
            "grant_type must be client_credentials, authorization_code or refresh_token",
        )
    if not form.get("code"):
        return "invalid_request", "code must be supplied"
    grant, in_time = grants.take_code(form["code"])
    if grant is None:
        return "invalid_grant", "Invalid authorization code"
    if not in_time:
        return "invalid_grant", "Authorization code expired"
    if form.get("redirect_uri") != grant.redirect_uri:
        return "invalid_grant", "Invalid redirect URI"
    if grant.code_challenge and not form.get("code_verifier"):
        return "invalid_request", "code_verifier required"
    if grant.code_challenge and not grant.matches(form["code_verifier"]):
        return "invalid_grant", "code_verifier was incorrect"
    return grant
