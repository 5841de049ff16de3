"""Every guard behind docs/security.md, and how to remove it.

A guard is found by the definition that contains it and by its syntax tree, so it can be moved within that
definition, reformatted or commented.
"""

import ast
from typing import NamedTuple


class Mutant(NamedTuple):
    """A guard to remove."""

    row: str
    """The row of docs/security.md. At least one of its tests must fail."""
    where: str
    """A module, or a definition in it, such as `users.Users.find`; a file path if the guard is plain text."""
    guard: str
    """An expression or statement that occurs once in the definition, or text that occurs once in the file."""
    without: str
    """The replacement; `pass` removes a statement."""

    @property
    def is_file(self) -> bool:
        """Whether `where` is a file path and the guard plain text."""
        return self.where.endswith((".py", ".json"))

    @property
    def file(self) -> str:
        """The path of the file, relative to the project."""
        module = self.where.partition(".")[0]
        special = {"app": "app.py", "pages": "chalicelib/pages/__init__.py"}
        return self.where if self.is_file else special.get(module, f"chalicelib/{module}.py")

    def apply(self, source: str) -> str:
        """Return the source without the guard.

        Raises:
            ValueError: the guard does not occur exactly once.
        """
        if self.is_file:
            found, changed = source.count(self.guard), source.replace(self.guard, self.without)
        else:
            tree = ast.parse(source)
            removal = _Removal(ast.parse(self.guard).body[0], ast.parse(self.without).body[0])
            removal.visit(_definition(tree, self.where.split(".")[1:]))
            found, changed = removal.found, ast.unparse(ast.fix_missing_locations(tree))
        if found != 1:
            raise ValueError(f"{self.row}: found {found} times in {self.where}, not once: {self.guard}")
        return changed


class _Removal(ast.NodeTransformer):
    def __init__(self, guard: ast.stmt, without: ast.stmt) -> None:
        self.found = 0
        self._guard: ast.AST = guard
        self._without: ast.AST = without
        if isinstance(guard, ast.Expr) and isinstance(without, ast.Expr):
            self._guard, self._without = guard.value, without.value
        self._dump = ast.dump(self._guard)

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, type(self._guard)) and ast.dump(node) == self._dump:
            self.found += 1
            return self._without
        return self.generic_visit(node)


def _definition(tree: ast.Module, names: list[str]) -> ast.AST:
    found: ast.AST = tree
    for name in names:
        (found,) = (node for node in ast.iter_child_nodes(found) if getattr(node, "name", "") == name)
    return found


SEALED = '("; Secure" if secure else "")'
UNSIGNED = '(sealed or "").rpartition(".")[0].encode().decode("ascii")'
SIGNED = 'self._signer.unsign(sealed or "").decode("ascii")'
UNKNOWN = "raise LoginSpent if len(self._live()) >= MOST else LoginUnknown"
ANY_ATTEMPT = 'return Attempt(state, "v" * 43)'
NOT_FOUND = "if found is None: return None"
ANYONE = """found = found or __import__("chalicelib.users").users.Found(Profile.parse('{"id": "x"}'), b"")"""
SAME_USER = "before if same_user else None"

MUTANTS = [
    Mutant(*fields)
    for fields in (
        ("A1", "login.Attempt.begin", "secrets.token_urlsafe(16)", '"x" * 22'),
        ("A2", "oauth.authorization_url", "attempt.code_challenge", '""'),
        ("A2", "oauth.authorization_url", '"S256"', '"plain"'),
        ("A2", "spotify.Spotify.exchange", "code_verifier", '"v" * 43'),
        ("A3", "cookies.Jar.__init__", '"; Path=/; HttpOnly; SameSite=Lax"', '"; Path=/; SameSite=Lax"'),
        ("A3", "login._name", "hashlib.sha256(state.encode()).hexdigest()[:8]", '"00000000"'),
        ("A4", "oauth.authorization_url", '{"scope": config.scope}', '{"scope": (__import__("app").app.current_request.query_params or {}).get("scope", config.scope)}'),
        ("A5", "process.Process._supplied", "(*NAMES, *AWS_NAMES, *SECRETS)", '[name for name in (*NAMES, *AWS_NAMES) if name != "SPOTIFY_SCOPE"]'),
        ("A5", "config", "NO_SCOPE not in value.lower().split()", "True"),
        ("A6", "oauth.authorization_url", "config.client_id", "config.client_secret"),
        ("B1", "login.Attempts.spend", UNKNOWN, ANY_ATTEMPT),
        ("B1", "login.Attempts.spend", "hmac.compare_digest(attempt.state, state)", "True"),
        ("B2", "login.Attempts.spend", UNKNOWN, ANY_ATTEMPT),
        ("B3", "login.Attempts.spend", UNKNOWN, ANY_ATTEMPT),
        ("B4", "login.Attempts.spend", "self._write(spent, attempt.seconds_left)", "pass"),
        ("B4", "login.Attempts.spend", "raise LoginSpent", "pass"),
        ("B4", "app.callback", "raise LoginSpent", "return web.redirect(request.return_url)"),
        ("B5", "login.Attempts.spend", "attempt.seconds_left <= 0", "False"),
        ("B6", "cookies.Seal.open", SIGNED, UNSIGNED),
        ("B6", "cookies.Seal.open", "base64_encode(base64_decode(signature)) != signature", "False"),
        ("B7", "oauth._single", "len(values) != 1", "False"),
        ("B7", "oauth._single", "not _VALUE.fullmatch(values[0])", "False"),
        ("B8", "chalicelib/oauth.py", '"access_denied": Cancelled', '"access_denied": AuthorizationRefused'),
        ("B9", "oauth.Callback.authorization_code", "raise AuthorizationRefused", "raise BadRequest(exec(f'BadRequest.message = __import__(\"markupsafe\").Markup({self.error!r})'))"),
        ("B10", "spotify._text", 'value if isinstance(value, str) else ""', "value"),
        ("B10", "spotify._raise_for_status", "response.status != 200", "False"),
        ("B11", "spotify._profile", "response.status == 403", "False"),
        ("B11", "profile._is_key", "isinstance(value, str) and 0 < len(value.encode()) <= KEY_BYTES", "True"),
        ("B11", "profile", "KEY_BYTES = 2048", "KEY_BYTES = 8192"),
        ("B12", "sessions.Sessions.open", SAME_USER, "None"),
        ("B12", "sessions.Sessions.open", "self._users().end(before)", "pass"),
        ("B12", "users._read", "session.session_id in item.get('ended', {'SS': ()})['SS']", "False"),
        ("B13", "transport.Transport.__init__", "self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))", "pass"),
        ("B14", "app.callback", 'web.redirect(request.return_url, "completed", session.login_id, detail=note)', 'web.redirect(f"{request.return_url}?code={code}", "completed", session.login_id, detail=note)'),
        ("B14", "failure.read", "not fields", "False"),
        ("B14", "failure.read", "failed_at < time.time() - LIFETIME", "False"),
        ("B14", "web._reference", "_REQUEST_ID.fullmatch(given)", "given"),
        ("B14", "request.Request.exposes_a_code", "not {'code', 'error', 'state'}.isdisjoint(self.query)", "False"),
        ("B14", "web._respond", "request.path == CALLBACK and failure.NAME in request.query", "failure.NAME in request.query"),
        ("B14", "request.Request.exposes_a_code", "self.path == CALLBACK", "True"),
        ("B15", "login._name", "hashlib.sha256(state.encode()).hexdigest()[:8]", '"00000000"'),
        ("C1", "cookies.Jar.__init__", '"; Path=/; HttpOnly; SameSite=Lax"', '"; Path=/; HttpOnly"'),
        ("C1", "cookies.Jar.__init__", SEALED, '""'),
        ("C2", "cookies.Jar.__init__", '"__Host-" if secure else ""', '""'),
        ("C3", "cookies.Jar.__init__", '"__Host-" if secure else ""', '""'),
        ("C3", "cookies.Jar.__init__", SEALED, '"; Secure"'),
        ("C4", "login.Attempts.begin", "1 - MOST", "0"),
        ("C5", "sessions.Sessions._write", "session.seconds_left", "30 * 24 * 3600"),
        ("C6", "cookies.Jar.clear", 'self.set(name, "", 0)', 'self._set.update({self._prefix + name: f"{self._prefix}{name}=; Max-Age=0"})'),
        ("C7", "cookies.Jar.__init__", 'None if name in self._received else value.lstrip(" \\t")', 'value.lstrip(" \\t")'),
        ("C7", "cookies.Jar.__init__", 'pair.strip(" \\t")', "pair.strip()"),
        ("C7", "cookies.Seal.open", "(BadData, UnicodeError)", "UnicodeError"),
        ("C8", "cookies.Seal.__init__", "purpose", '"one for all"'),
        ("C8", "failure", 'PURPOSE = "failure"', 'PURPOSE = "session"'),
        ("C8", "failure", 'PURPOSE = "failure"', 'PURPOSE = "login attempt"'),
        ("C9", "sessions.Sessions._write", "encode(key)", 'encode(key + " Pia")'),
        ("D1", "users.Users._update", "secrets.token_urlsafe(16)", "secrets.token_urlsafe(2)"),
        ("D1", "sessions.Sessions.open", "secrets.token_urlsafe(12)", "secrets.token_urlsafe(2)"),
        ("D7", "sessions.Sessions.current_user", NOT_FOUND, ANYONE),
        ("D3", "claims.Claims.ends", "min(self.issued + IDLE, self.login_time + LIFETIME)", "self.issued + IDLE"),
        ("D3", "users._read", 'int(item["expires_at"]["N"]) > time.time()', "True"),
        ("D4", "claims.Claims.ends", "min(self.issued + IDLE, self.login_time + LIFETIME)", "self.login_time + LIFETIME"),
        ("D5", "claims", "IDLE = 7 * DAY", "IDLE = 8 * DAY"),
        ("D5", "users", '"login_id = if_not_exists(login_id, :fresh)"', '"login_id = :fresh"'),
        ("D5", "users.Users._end", "_END_ONE", '_END_ONE._replace(sets=("login_id = :fresh",))'),
        ("D6", "request.Request.sessions", "self.config.secret_keys", "self.config.secret_keys[-1:]"),
        ("D6", "request.Request.sessions", "self.config.secret_keys", "self.config.secret_keys[::-1]"),
        ("D7", "sessions.Sessions.current_user", NOT_FOUND, ANYONE),
        ("D8", "cookies.Seal.open", SIGNED, UNSIGNED),
        ("D9", "table.Table.read", "self._client().get_item(**where, ConsistentRead=True)", "self._client().get_item(**where)"),
        ("D10", "users._Login.values", "int(time.time()) + LIFETIME", "int(time.time()) - 1"),
        ("D10", "users.Users.remember", "not _is_usable(item)", "False"),
        ("E1", "users._read", 'hmac.compare_digest(item["login_id"]["S"].encode(), session.login_id.encode())', "True"),
        ("E1", "users.Users.forget", "_LIVE", '"attribute_exists(login_id) AND :login_id = :login_id AND :session_id = :session_id"'),
        ("E1", "users", '"login_id = :login_id AND NOT contains(ended, :session_id)"', '"login_id = :login_id AND :session_id = :session_id"'),
        ("E1", "users.Users._update", "secrets.token_urlsafe(16)", 'self.__dict__.setdefault("_fresh", secrets.token_urlsafe(16))'),
        ("E2", "sessions.Sessions.close", "self._users().forget(session)", "True"),
        ("E3", "sessions.Sessions.close", "session is not None and self._users().forget(session)", "self._users().forget(session)"),
        ("E4", "app.logout", "claimed and not request.own and request.query.get('confirm') != [claimed.session_id]", "False"),
        ("E4", "request.Request.__init__", "(False, True) if self.asks else origin", "origin"),
        ("E4", "request.Request._asked_return_to", 'self.asks and asked[0].startswith("/")', "False"),
        ("E4", "request._origin", 'site in ("none", "same-origin")', 'site != "cross-site"'),
        ("E4", "request._origin", 'not f"{source}/".startswith(f"{address.origin}/")', "False"),
        ("E4", "request._origin", "not address.secure", "True"),
        ("E4", "app.logout", "[claimed.session_id]", "None"),
        ("E5", "web._read", "is_prefetch(received)", "False"),
        ("E5", "errors.Prefetched", "status = 403", "status = 204"),
        ("E6", "table.Table._call", "raise UsersUnavailable(failure.code) from None", "return True, {}"),
        ("E7", "table.Table._call", 'failure.code == "ConditionalCheckFailedException"', "False"),
        ("E8", "web", '"no-store"', '"private"'),
        ("E8", "web", "CLEAR_CACHE = {'Clear-Site-Data': '\"cache\"'}", "CLEAR_CACHE = {}"),
        ("E8", "app.logout", "web.CLEAR_CACHE if claimed else {}", "web.CLEAR_CACHE if ended else {}"),
        ("F1", "app.logout", "claimed = request.sessions.claimed", 'if "next" in request.query: return web.redirect(request.query["next"][0])'),
        ("F2", "address.resolve", 'f"https://{domain.lower()}"', 'f"https://{host or domain}"'),
        ("F2", "address.resolve", "local[1] if local else f':{LOCAL_PORT}'", "local[1] if local else f':{LOCAL_PORT}@{host}'"),
        ("F3", "app.callback", "request.address.redirect_uri", 'request.address.url("/callback/")'),
        ("F4", "address.resolve", 'Address(f"https://{domain.lower()}", base_path)', 'Address(f"https://{domain.lower()}")'),
        ("F5", "web._respond", "moves and request.wrong_host", "False"),
        ("G1", "web", '"max-age=31536000"', '"max-age=60"'),
        ("G1", "web.App.around", "HSTS if received.context.get('domainName') else {}", "HSTS"),
        ("G2", "chalicelib/pages/__init__.py", """"default-src": ("'none'",)""", """"default-src": ("'self'",)"""),
        ("G2", "chalicelib/pages/__init__.py", '("data:", *PICTURE_ORIGINS)', "PICTURE_ORIGINS"),
        ("G3", "web", '"nosniff"', '"sniff"'),
        ("G3", "web", 'HTML = "text/html; charset=utf-8"', 'HTML = "text/html"'),
        ("G4", "web", '"no-referrer"', '"unsafe-url"'),
        ("G4", "chalicelib/web.py", '"Cross-Origin-Opener-Policy": "same-origin"', '"Cross-Origin-Opener-Policy": "unsafe-none"'),
        ("G4", "chalicelib/web.py", '"Cross-Origin-Resource-Policy": "same-origin"', '"Cross-Origin-Resource-Policy": "cross-origin"'),
        ("G5", "web", '"no-store"', '"private"'),
        ("H1", "pages._page", "_template(file).format(title=title, **values)", "Markup(str(_template(file)).format(title=title, **values))"),
        ("H2", "cookies.Jar.set", 'not _PAIR.fullmatch(f"{full}={value}")', "False"),
        ("H3", "log", "BUGS.propagate = False", "BUGS.propagate = True"),
        ("H3", "web._respond", "log.origin_of(bug)", "repr(bug)"),
        ("H3", "web._failure", '{"outcome": "refused" if error.status < 500 else "failed", "error": bug}', '{"outcome": "failed", "detail2": bug}'),
        ("H4", "app.py", '@app.route("/logout")', '@app.route("/logout", methods=["GET", "POST"])'),
        ("H5", "web._error_of_chalice", "response.body == _INTERNAL_ERROR", "isinstance(response.body, dict)"),
        ("H5", "web.App.around", "_error_of_chalice(response)", "None"),
        ("H5", "web._merged", "name.lower() not in names", "name not in headers"),
        ("H6", "web.App.__call__", "return super().__call__({**_ABSENT, **event}, context)", "return super().__call__(event, context)"),
        ("H6", "web.App.__call__", "path in self.routes", "True"),
        ("H6", "events.respond", "return None", "pass"),
        ("I1", "web._respond", "log.write(**{**about, **result.line})", "pass"),
        ("I2", "aws.Clients._create", 'logging.getLogger("botocore").setLevel(logging.WARNING)', 'logging.getLogger("botocore").setLevel(logging.DEBUG)'),
        ("I3", "errors.LoginUnknown", "security = True", "security = False"),
        ("I3", "login.Attempts.spend", "len(self._live()) >= MOST", "False"),
        ("I3", "oauth.Callback.authorization_code", "raise AuthorizationRefused", "raise AuthorizationRefused(self.error)"),
        ("I3", "transport.Transport.send", """re.findall(r"^\\w+://([^/?#]*)(?:/(?:v1|api)/([a-z-]+))?", url)[0]""", 'url.split("/")[2], url.partition("?")[0].rpartition("/")[2]'),
        ("I3", "log.source", 'f"{today} {ip_address}"', "ip_address"),
        ("J1", "aws._attempt", "deadline.within(CALL_SECONDS).run(function)", "function()"),
        ("J1", "transport.Transport.send", "limited.run(lambda: self._send(method, url, host, endpoint, parts))", "self._send(method, url, host, endpoint, parts)"),
        ("J1", "deadline.Deadline.run", "outcome.result(max(self.left(), 0))", "outcome.result(30)"),
        ("J1", "deadline.Deadline.run", "self.left() <= 0", "False"),
        ("J1", "deadline.Deadline.run", "outcome.done()", "True"),
        ("J1", "chalicelib/deadline.py", "        del call, outcome  #", "        #"),
        ("J1", "aws._attempt", "deadline.left() < CALL_SECONDS", "False"),
        ("J2", "spotify", "PATIENCE = 2", "PATIENCE = 4"),
        ("J2", "deadline.Deadline.retry", "wait >= self.left()", "False"),
        ("J3", "chalicelib/spotify.py", "data=form, auth=client", "data=form"),
        ("J3", "chalicelib/transport.py", '"allow_redirects": False', '"allow_redirects": True'),
        ("J3", "transport.Transport.__init__", "self._session.trust_env = False", "pass"),
        ("J3", "chalicelib/transport.py", '"stream": True', '"stream": True, "verify": False'),
        ("J3", "config._is_url_of", "_SIMULATOR.fullmatch(url) is not None", "True"),
        ("K1", "config.is_strong", "len(key.encode()) >= 32", "len(key) >= 6"),
        ("K1", "config.Config.__init__", "(wrong := faults(settings))", "()"),
        ("L1", "return_to.resolve", "not _TEXT.fullmatch(text)", "False"),
        ("L1", "return_to.resolve", "_is_plain(text)", "True"),
        ("L1", "return_to.resolve", "_is_plain(path)", "True"),
        ("L1", "return_to.resolve", 'rest != text and rest[:1] in {"", "/", "?", "#"}', "rest != text"),
        ("L1", "return_to.resolve", "_encoded(text)", "text"),
        ("L1", "return_to.resolve", "_encoded(path)", "path"),
        ("L1", "return_to", '("^`{|}", "\'", "`")', '("^`{}", "\'", "`")'),
        ("L1", "return_to", '("^`{|}", "\'", "`")', '("^`{|}", "", "`")'),
        ("L1", "return_to", '("^`{|}", "\'", "`")', '("^`{|}", "\'", "")'),
        ("L1", "return_to._is_plain", 'not path.startswith("//")', "True"),
        ("L1", "return_to._is_plain", 'not {".", ".."} & {*segments}', "True"),
        ("L1", "return_to._is_plain", "not any(strange)", "True"),
        ("L1", "request.Request._asked_return_to", "len(asked) == 1", "asked"),
        ("L1", "request.Request.return_url", "self._resolve(self.return_to)", "self.return_to"),
        ("L1", "request.Request.link", "self._resolve(self.return_to)", "self.return_to"),
        ("L3", "app.login", '"return_to_refused" if request.return_to_refused else ""', "str(request.query)"),
        ("L4", "return_to.resolve", "app + _encoded(text)", "_encoded(text)"),
        ("L5", "return_to.resolve", "_route(text) not in _OWN_ROUTES", "True"),
        ("L5", "return_to._route", 'unquote(re.split(r"[?#;]", text, maxsplit=1)[0]).rstrip("/")', 'unquote(re.split(r"[?#;]", text, maxsplit=1)[0])'),
        ("L6", "chalicelib/return_to.py", "{1,512}", "{1,5120}"),
        ("L7", "web._failure", "error.asks_to_log_in and request and request.navigates and not request.wants_json", "error.asks_to_log_in and request and not request.wants_json"),
        ("L7", "web._failure", "not request.wants_json", "True"),
        ("L8", "request.Request.require_user", "self.attempts.loops(self.path_and_query)", "False"),
        ("L8", "request.Request.path_and_query", "name != MOVED", "True"),
        ("L8", "login.Attempts.loops", "begun_at(attempt.state) >= since", "True"),
        ("L8", "login.Attempts.loops", "found.count(None) >= 2", "False"),
        ("L8", "login.Attempts.spend", "_digest(state) in self._replaced()", "False"),
        ("L8", "login.Attempt.is_needed", "begun_at(self.state) >= time.time() - LOOP_SECONDS", "False"),
        ("L8", "app.logout", "request.attempts.forget()", "pass"),
        ("L9", "documents.who", "json.dumps(document)", "json.dumps({**document, 'stored': user and user.profile.text})"),
        ("L10", "request.Request.frontend", "origin in self.frontends", "True"),
        ("L10", "web._response", "result.content_type != HTML", "True"),
        ("L10", "config.are_usable", "any(strange)", "False"),
        ("L10", "config.are_usable", "own_origin not in origins", "True"),
        ("L11", "chalicelib/web.py", '    "Vary": "Accept, Origin",\n', ""),
        ("L11", "web._shown", "wants_json(received)", "False"),
        ("L11", "web._shown", "not request.navigates", "True"),
        ("L12", "request._is_sent_by", "navigation", "True"),
        ("L12", "app.login", "request.user", "False"),
        ("L12", "request._is_sent_by", "all(listed)", "any(listed)"),
        ("L12", "request._is_sent_by", "bool(listed)", "True"),
        ("L14", "app.home", "request.sessions.claimed is not None", "True"),
        ("L15", "address.split_path", 'len(segments) - route.count("/")', "len(segments) - 1"),
        ("L15", "web.view.decorate.respond", "partial(route, **parameters)", "route"),
        ("M1", "request.Request.log_in", "not self.config.tokens_kms_alias", "False"),
        ("M1", "request.Request.access_token", "not self.config.tokens_kms_alias", "False"),
        ("M2", "vault.Vault.seal", 'self._call(lambda: self._client().encrypt(Plaintext=text, **self._key)["CiphertextBlob"])', "text"),
        ("M2", "chalicelib/spotify.py", "refresh_token: str = field(repr=False)", "refresh_token: str"),
        ("M3", "vault._read", "found == owner", "found[0] == owner[0]"),
        ("M3", "vault._read", "found == owner", "found[1] == owner[1]"),
        ("M3", "vault.Vault.__init__", '{"table": config.users_table}', '{"table": "users"}'),
        ("M3", "vault.Vault.open", "self._client().decrypt(CiphertextBlob=ciphertext, **self._key)", 'self._client().decrypt(CiphertextBlob=ciphertext, EncryptionContext=self._key["EncryptionContext"])'),
        ("M4", "chalicelib/tokens.py", "NOT refreshing BETWEEN :now AND :latest", ":now < :latest"),
        ("M4", "tokens.KeptAccess._refresh", "self._follow(item)", "False"),
        ("M5", "chalicelib/tokens.py", "NOT refreshing BETWEEN :now AND :latest", ":latest < :now"),
        ("M5", "tokens.KeptAccess._refresh", "_is_pause(held) or patience.left() <= 0", "_is_pause(held)"),
        ("M5", "tokens", "LEASE_SECONDS, HOLD_SECONDS = 20, 13.5", "LEASE_SECONDS, HOLD_SECONDS = 13, 13.5"),
        ("M5", "tokens.KeptAccess._refresh", "self._user.deadline.within(HOLD_SECONDS)", "self._user.deadline"),
        ("M5", "tokens.KeptAccess._refresh", "secrets.randbelow(10**17)", "0"),
        ("M6", "tokens.KeptAccess._follow", 'item.get("login_id", {}).get("S") != self._user.login_id', "False"),
        ("M6", "chalicelib/tokens.py", 'removes=("refreshing",), condition=_STANDS)', 'removes=("refreshing",), condition=f"{_STANDS} OR NOT ({_STANDS})")'),
        ("M7", "chalicelib/tokens.py", 'removes=("tokens", "refreshing"), condition=_STANDS)', 'removes=("tokens", "refreshing"), condition=f"{_STANDS} OR NOT ({_STANDS})")'),
        ("M8", "spotify.Spotify.refresh", "return None", "raise"),
        ("M8", "chalicelib/errors.py", "class AccessEnded(LoginError):", "class AccessEnded(LoginRequired):"),
        ("M9", "tokens.KeptAccess._renew", "not isinstance(failure, errors.ClientRefused)", "True"),
        ("M10", "tokens.KeptAccess._renew", "self._pause(parts, lease, seconds)", "False"),
        ("M10", "tokens.KeptAccess._refresh", "_is_pause(held) or patience.left() <= 0", "patience.left() <= 0"),
        ("M10", "tokens.KeptAccess.token", "not usable", "True"),
        ("M11", "table.Table._call", "failure.item", "{}"),
        ("M11", "tokens.KeptAccess._renew", "self._pause(parts, lease, seconds)", "(self._pause(parts, lease, seconds), False)[1]"),
        ("M11", "spotify.Spotify._request_tokens", "deadline.left() < NEEDED_SECONDS", "False"),
        ("M12", "request.Request.log_in", "self.sessions.open(profile, None)", "self.sessions.open(profile)"),
        ("M13", "chalicelib/tokens.py", 'condition=f"{_STANDS} AND refreshing = :lease"', 'condition=f"{_STANDS} AND refreshing = :lease OR NOT ({_STANDS})"'),
        ("M13", "chalicelib/tokens.py", '_STANDS = "tokens = :tokens AND login_id = :login_id"', '_STANDS = "(tokens = :tokens OR NOT tokens = :tokens) AND (login_id = :login_id OR NOT login_id = :login_id)"'),
        ("M14", "vault.Memory.get", "access.seconds_left > 0", "True"),
        ("M14", "vault.Memory.get", "self._known.get((owner, ciphertext))", "next((known for key, known in self._known.items() if key[1] == ciphertext), None)"),
        ("M14", "request.Request.log_out", "self._process.memory.forget(claimed.account_key)", "pass"),
        ("M14", "chalicelib/request.py", "        finally:\n", "        except ZeroDivisionError:\n"),
        ("P4", "branding.faults", "not _URL.fullmatch(url)", "False"),
        ("P4", "branding.faults", 'not _COLOUR.fullmatch(colours.get(name, ""))', "False"),
        ("P4", "branding.faults", '"</" in (folder / "style.css").read_text(encoding="utf-8")', "False"),
        ("P4", "branding.faults", "path.stat().st_size > MOST_BYTES", "False"),
        ("P4", "pages._own_links", "link.format(url, label)", "Markup(str(link).format(url, label))"),
        ("P4", "pages._laid_out", "_picture_of('logo') + brand.NAME", "_picture_of('logo') + Markup(brand.NAME)"),
        ("P4", "deploy/bundle.py", "branding.faults(brand) or branding.illegible(brand)", "branding.illegible(brand)"),
        ("P4", "local/__main__.py", " or _brand_problem()", ""),
        ("P6", "branding._too_close", "ratio < CONTRAST", "False"),
        ("P6", "branding", "CONTRAST = 4.5", "CONTRAST = 3"),
        ("P6", "deploy/bundle.py", "branding.faults(brand) or branding.illegible(brand)", "branding.faults(brand)"),
        ("P6", "local/__main__.py", "for note in branding.illegible(brand)", "for note in ()"),
        ("P7", "pages.content_security_policy", "all(map(_SOURCE.fullmatch, sources))", "True"),
        ("P7", "pages.content_security_policy", "directive not in ALLOWABLE", "False"),
        ("P7", "pages.content_security_policy", "{**POLICY}", "POLICY"),
        ("M15", "deploy/stage.py", '"ForAnyValue:StringEquals": {"kms:ResourceAliases": alias},', ""),
        ("M16", "tokens.KeptAccess.token", "access.token != self._rejected", "True"),
        ("M16", "tokens.KeptAccess._refresh", "self._user.refreshed or self._user.deadline.left() < NEEDED_SECONDS", "False"),
        ("K2", ".chalice/policy-prod.json", '"dynamodb:DeleteItem"]', '"dynamodb:DeleteItem", "dynamodb:Scan"]'),
    )
]  # fmt: skip
