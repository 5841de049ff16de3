"""Every guard that docs/security.md names, and how to remove it: row, file, the guard, what stands there without it."""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    """A guard removed."""

    row: str
    """The row of docs/security.md whose tests must fall."""
    file: str
    guard: str
    """Text that stands once in the file."""
    without: str


ATTEMPTS, COOKIES, SESSIONS, USERS = (
    f"chalicelib/{name}.py" for name in ("attempts", "cookies", "sessions", "users")
)
APP, WEB, REQUEST, OAUTH, ADDRESS, CONFIG, SERVICES, SPOTIFY, WIRE, PROFILE, PAGES, ERRORS = (
    "app.py",
    *(f"chalicelib/{name}.py" for name in ("web", "request", "oauth", "address", "config", "services")),
    *(f"chalicelib/{name}.py" for name in ("spotify", "wire", "profile", "pages/__init__", "errors")),
)
UNKNOWN = "raise LoginExpired if old else LoginUnknown"
ANY_ATTEMPT = 'return Attempt(state, "v" * 43)'
UNSIGNED = '(sealed or "").rpartition(".")[0].encode().decode("ascii")'
SIGNED = 'self._signer.unsign(sealed or "").decode("ascii")'
PER_STATE = "return COOKIE + hashlib.sha256(state.encode()).hexdigest()[:8]"
ONE_FOR_ALL = 'return COOKIE + "only"'
CANCELLED = 'raise Cancelled if self.error == "access_denied" else AuthorizationRefused'
HEADERS = "        if self._request:\n            if self._request.address.secure:"

MUTANTS = [
    Mutant(*fields)
    for fields in (
        ("A1", OAUTH, "{secrets.token_urlsafe(16)}.", "{'x' * 22}."),
        ("A2", OAUTH, '        "code_challenge": attempt.code_challenge,\n', ""),
        ("A2", OAUTH, '"code_challenge_method": "S256"', '"code_challenge_method": "plain"'),
        ("A2", SPOTIFY, '            "code_verifier": code_verifier,\n', ""),
        ("A3", COOKIES, "; HttpOnly", ""),
        ("A3", ATTEMPTS, PER_STATE, ONE_FOR_ALL),
        ("A4", APP, "        config.scope,\n", '        request.query.get("scope", [config.scope])[0],\n'),
        ("A5", CONFIG, '"ugc-image-upload user-follow', '"user-follow'),
        ("A6", APP, "        config.client_id,\n", "        config.client_secret,\n"),
        ("B1", ATTEMPTS, UNKNOWN, ANY_ATTEMPT),
        ("B1", ATTEMPTS, " or not hmac.compare_digest(attempt.state, state)", ""),
        ("B2", ATTEMPTS, UNKNOWN, ANY_ATTEMPT),
        ("B3", ATTEMPTS, UNKNOWN, ANY_ATTEMPT),
        ("B4", ATTEMPTS, '        self._write(Attempt(state, ""), attempt.seconds_left)\n', ""),
        ("B4", APP, "        raise LoginSpent", "        return web.redirect(home_url)"),
        ("B5", ATTEMPTS, "        if attempt.seconds_left <= 0:", "        if False:"),
        ("B6", COOKIES, SIGNED, UNSIGNED),
        ("B6", COOKIES, "if base64_encode(base64_decode(signature)) != signature:", "if False:"),
        ("B7", OAUTH, "if len(values) != 1 or not isinstance", "if not isinstance"),
        ("B7", OAUTH, "if values[0] and not _VALUE.fullmatch(values[0]):", "if False:"),
        ("B8", OAUTH, CANCELLED, "raise AuthorizationRefused"),
        ("B9", OAUTH, CANCELLED, "raise BadRequest(exec(f'BadRequest.message = __import__(\"markupsafe\").Markup({self.error!r})'))"),
        ("B10", SPOTIFY, " or not isinstance(token, str) or not _TOKEN.fullmatch(token):", ":"),
        ("B11", SPOTIFY, "    if answer.status == 403:\n        raise _forbidden(answer)\n", ""),
        ("B11", PROFILE, "isinstance(value, str) and 0 < len(value.encode()) <= KEY_BYTES", "True"),
        ("B12", SESSIONS, 'before.login_id if before else ""', '""'),
        ("B12", SESSIONS, "if before and before.account_key != user.account_key:", "if False:"),
        ("B13", WIRE, "        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))\n", ""),
        ("B14", APP, 'return web.redirect(home_url, outcome="completed"', 'return web.redirect(f"{home_url}?code={code}", outcome="completed"'),
        ("B15", ATTEMPTS, PER_STATE, ONE_FOR_ALL),
        ("C1", COOKIES, "; SameSite=Lax", ""),
        ("C1", COOKIES, '("; Secure" if secure else "")', '""'),
        ("C2", COOKIES, '"__Host-" if secure else ""', '""'),
        ("C3", COOKIES, '"__Host-" if secure else ""', '""'),
        ("C3", COOKIES, '("; Secure" if secure else "")', '"; Secure"'),
        ("C4", ATTEMPTS, "[1 - MOST :]", "[:]"),
        ("B11", PROFILE, "KEY_BYTES = 2048", "KEY_BYTES = 8192"),
        ("C5", SESSIONS, "value, session.seconds_left)", "value, LIFETIME)"),
        ("C6", COOKIES, 'self.set(name, "", 0)', 'self._set[self._prefix + name] = f"{self._prefix}{name}=; Max-Age=0"'),
        ("C7", COOKIES, 'None if name in self._received else value.lstrip(" \\t")', 'value.lstrip(" \\t")'),
        ("C7", COOKIES, 'pair.strip(" \\t")', "pair.strip()"),
        ("C7", COOKIES, "except (BadData, UnicodeError):", "except UnicodeError:"),
        ("C8", COOKIES, "salt=purpose", 'salt="one for all"'),
        ("C9", SESSIONS, "encode(session.account_key), session", 'encode(session.account_key + " Pia"), session'),
        ("D1", USERS, "secrets.token_urlsafe(16)", "secrets.token_urlsafe(2)"),
        ("D2", SESSIONS, "        if profile is None:\n            return None\n", "        profile = profile or Profile(session.account_key, 'x', None, None, '{}')\n"),
        ("D3", SESSIONS, "min(self.issued + IDLE, self.login_time + LIFETIME)", "(self.issued + IDLE)"),
        ("D3", USERS, 'live = int(item["expires_at"]["N"]) > time.time()', "live = True"),
        ("D4", SESSIONS, "min(self.issued + IDLE, self.login_time + LIFETIME)", "(self.login_time + LIFETIME)"),
        ("D5", SESSIONS, "IDLE = 7 * DAY", "IDLE = 8 * DAY"),
        ("D5", USERS, "if_not_exists(login_id, :fresh)", ":fresh"),
        ("D6", SERVICES, "Seal(Sessions.PURPOSE, config().secret_keys)", "Seal(Sessions.PURPOSE, config().secret_keys[-1:])"),
        ("D6", SERVICES, "Seal(Sessions.PURPOSE, config().secret_keys)", "Seal(Sessions.PURPOSE, config().secret_keys[::-1])"),
        ("D7", SESSIONS, "        if profile is None:\n            return None\n", "        profile = profile or Profile(session.account_key, 'x', None, None, '{}')\n"),
        ("D8", COOKIES, SIGNED, UNSIGNED),
        ("D9", USERS, "ConsistentRead=True", "ConsistentRead=False"),
        ("D10", USERS, "int(time.time()) + LIFETIME", "int(time.time()) - 1"),
        ("E1", USERS, 'known = hmac.compare_digest(item["login_id"]["S"].encode(), login_id.encode())', "known = True"),
        ("E1", USERS, 'ConditionExpression="login_id = :login_id"', 'ConditionExpression="login_id = :login_id OR attribute_exists(login_id)"'),
        ("E1", USERS, '":fresh": {"S": secrets.token_urlsafe(16)}', '":fresh": {"S": self.__dict__.setdefault("_fresh", secrets.token_urlsafe(16))}'),
        ("E2", SESSIONS, "            self._users().forget(session.account_key, session.login_id, self._deadline)\n        if COOKIE", "            pass\n        if COOKIE"),
        ("E3", SESSIONS, "        if session:\n", "        if True:\n"),
        ("E4", APP, "    if request.foreign:\n", "    if False:\n"),
        ("E4", REQUEST, 'return site not in ("none", "same-origin")', 'return site == "cross-site"'),
        ("E4", REQUEST, "    return any(source and", "    return False and any(source and"),
        ("E5", WEB, "if is_prefetch(self._received):", "if False:"),
        ("E6", USERS, "    raise error(detail)", "    return {}"),
        ("E7", USERS, 'if detail == "ConditionalCheckFailedException":', "if False:"),
        ("E8", WEB, '"no-store"', '"private"'),
        ("F1", APP, "    ended = services", '    if "next" in request.query:\n        return web.redirect(request.query["next"][0])\n    ended = services'),
        ("F2", ADDRESS, "Address(_origin(domain),", "Address(_origin(host or domain),"),
        ("F2", ADDRESS, '        return f":{LOCAL_PORT}"\n', '        return f":{LOCAL_PORT}@{host}"\n'),
        ("F3", APP, "request.address.redirect_uri\n    spotify", 'request.address.url("/callback/")\n    spotify'),
        ("F4", ADDRESS, "_base_path(context))", '"")'),
        ("F5", APP, "    if request.elsewhere:", "    if False:"),
        ("G1", WEB, "max-age=31536000", "max-age=60"),
        ("G2", PAGES, "\"default-src 'none'\"", "\"default-src 'self'\""),
        ("G2", PAGES, "img-src data: ", "img-src "),
        ("G3", WEB, '    "X-Content-Type-Options": "nosniff",\n', ""),
        ("G3", WEB, "text/html; charset=utf-8", "text/html"),
        ("G4", WEB, '    "Referrer-Policy": "no-referrer",\n', ""),
        ("G4", WEB, '    "Cross-Origin-Opener-Policy": "same-origin",\n', ""),
        ("G4", WEB, '    "Cross-Origin-Resource-Policy": "same-origin",\n', ""),
        ("G5", WEB, '    "Cache-Control": "no-store",\n', ""),
        ("H1", PAGES, "_template(template).format(title=title, **values)", "Markup(str(_template(template)).format(title=title, **values))"),
        ("H2", WEB, HEADERS, '        headers["X-Host"] = str(self._received.headers.get("host"))\n' + HEADERS),
        ("H3", WEB, "events.origin_of(bug)", "repr(bug)"),
        ("H3", WEB, "except Exception as bug:", "except KeyError as bug:"),
        ("H4", APP, '@app.route("/logout")', '@app.route("/logout", methods=["GET", "POST"])'),
        ("I1", WEB, "            if answer.outcome:", "            if False:"),
        ("I2", SERVICES, 'logging.getLogger("botocore").setLevel(logging.WARNING)', 'logging.getLogger("botocore").setLevel(logging.DEBUG)'),
        ("I3", ERRORS, '    remedy = "Allow cookies for this site and log in again, here."\n    security = True\n', ""),
        ("J1", WIRE, '        if deadline.left() <= 0:\n            raise SpotifyTimeout(f"{endpoint} deadline")\n    return body', "    return body"),
        ("J1", WIRE, "min(READ_SECONDS, left))", "READ_SECONDS + left)"),
        ("J2", SPOTIFY, "PATIENCE = 2\n", "PATIENCE = 4\n"),
        ("J3", SPOTIFY, "deadline, data=form, auth=self._client)\n        except", 'deadline, data=form | {"client_secret": self._client[1]})\n        except'),
        ("J3", WIRE, "allow_redirects=False", "allow_redirects=True"),
        ("J3", WIRE, "        self._session.trust_env = False\n", ""),
        ("J3", WIRE, "        self._session.trust_env = False\n", "        self._session.trust_env = False\n        self._session.verify = False\n"),
        ("J3", CONFIG, "return lambda url: url.rstrip", "return lambda url: True or url.rstrip"),
        ("K1", CONFIG, 'len(key.encode(errors="replace")) >= 32', "len(key) >= 6"),
        ("K1", CONFIG, "        if wrong:\n", "        if False:\n"),
        ("K2", ".chalice/policy-prod.json", '"dynamodb:DeleteItem"]', '"dynamodb:DeleteItem", "dynamodb:Scan"]'),
    )
]  # fmt: skip
