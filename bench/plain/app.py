"""The same four routes as a first version would have them: Chalice, boto3, requests and itsdangerous, in one file.

Only for comparison, not for use: its sessions survive a logout, and it trusts whatever Spotify sends.
"""

import os
import secrets
from html import escape
from urllib.parse import urlencode

import boto3
import requests
from chalice import Chalice, Response
from itsdangerous import BadSignature, URLSafeTimedSerializer

app = Chalice(app_name="plain")
table = boto3.resource("dynamodb").Table(os.environ.get("USERS_TABLE", ""))
signer = URLSafeTimedSerializer(os.environ.get("SECRET_KEY", ""))
ACCOUNTS = os.environ.get("SPOTIFY_ACCOUNTS_URL", "https://accounts.spotify.com")
API = os.environ.get("SPOTIFY_API_URL", "https://api.spotify.com")
CLIENT_ID = os.environ.get("SPOTIFY_CLIENT_ID", "")
CLIENT_SECRET = os.environ.get("SPOTIFY_CLIENT_SECRET", "")
REDIRECT_URI = os.environ.get("SPOTIFY_REDIRECT_URI", "")
HOME = REDIRECT_URI.removesuffix("callback")


def _cookie(name: str, max_age: int) -> str:
    header = getattr(app.current_request, "headers", {}).get("cookie", "")
    cookies = dict(pair.strip().partition("=")[::2] for pair in header.split(";"))
    try:
        return str(signer.loads(cookies.get(name, ""), max_age=max_age))
    except BadSignature:
        return ""


def _redirect(url: str, name: str = "", value: str = "") -> Response:
    headers: dict[str, str | list[str]] = {"Location": url}
    if name:
        sealed = f"{signer.dumps(value)}; Max-Age=604800" if value else "; Max-Age=0"
        headers["Set-Cookie"] = f"{name}={sealed}; Path=/; Secure; HttpOnly; SameSite=Lax"
    return Response("", headers, 307)


@app.route("/")
def home() -> Response:
    """Show who is logged in."""
    user_id = _cookie("session", 604800)
    item = table.get_item(Key={"account_id": user_id}).get("Item") if user_id else None
    name = escape(str(item["display_name"])) if item else "None"
    links = '<a href="login">Log in</a> <a href="logout">Log out</a>'
    body = f"<p>User ID: {name}\n</p>{links}"
    return Response(body, headers={"Content-Type": "text/html; charset=utf-8"})


@app.route("/login")
def login() -> Response:
    """Send the browser to Spotify."""
    state = secrets.token_urlsafe(16)
    query = {"client_id": CLIENT_ID, "response_type": "code", "redirect_uri": REDIRECT_URI, "state": state}
    return _redirect(f"{ACCOUNTS}/authorize?{urlencode(query)}", "state", state)


@app.route("/callback")
def callback() -> Response:
    """Exchange the code, then fetch and store the user."""
    query = getattr(app.current_request, "query_params", None) or {}
    if not query.get("state") or query["state"] != _cookie("state", 600):
        return Response("Log in again.", status_code=400)
    form = {"grant_type": "authorization_code", "code": query["code"], "redirect_uri": REDIRECT_URI}
    client = (CLIENT_ID, CLIENT_SECRET)
    token = requests.post(f"{ACCOUNTS}/api/token", data=form, auth=client, timeout=5).json()
    headers = {"Authorization": f"Bearer {token['access_token']}"}
    user = requests.get(f"{API}/v1/me", headers=headers, timeout=5).json()
    table.put_item(Item={"account_id": user["id"], "display_name": user["id"]})
    return _redirect(HOME, "session", user["id"])


@app.route("/logout")
def logout() -> Response:
    """Delete the user and clear the cookie."""
    if user_id := _cookie("session", 604800):
        table.delete_item(Key={"account_id": user_id})
    return _redirect(HOME, "session")
