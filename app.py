"""Log in with Spotify: four routes on AWS Lambda. Start reading here."""

from chalicelib import documents, oauth, pages, web
from chalicelib.errors import LoginSpent
from chalicelib.login import begun_at
from chalicelib.request import Request
from chalicelib.site.routes import routes

app = web.App()
app.register_blueprint(routes)
app.process.prepare()


@app.route("/")
@web.view("home")
def home(request: Request) -> web.Result:
    """Show `User ID: None`, or the logged-in Spotify user; as JSON to those who ask for it."""
    user = request.user
    ended = user is None and request.sessions.claimed is not None
    if request.wants_json:
        return web.document(documents.who(user, ended=ended))
    if user:
        return web.page(pages.home_of(user, request.address))
    scope, keeps_access = request.settings.scope, request.settings.keeps_access
    return web.page(pages.home(request.address, scope, keeps_access=keeps_access, ended=ended))


@app.route("/login")
@web.view("login")
def login(request: Request) -> web.Result:
    """Redirect to Spotify's authorization page with a fresh state and PKCE challenge.

    Ask first if another site sent a browser that is logged in. The login returns to `return_to`, or home.
    """
    if request.foreign and request.user:
        return web.ask_first(request, pages.ask_to_log_in(request))
    attempt = request.attempts.begin(request.return_to)
    redirect_uri, show_dialog = request.address.redirect_uri, request.show_dialog
    url = oauth.authorization_url(request.config, redirect_uri, attempt, show_dialog=show_dialog)
    return web.redirect(url, "begun", detail="return_to_refused" if request.return_to_refused else "")


@app.route("/callback")
@web.view("login", moves=False)
def callback(request: Request) -> web.Result:
    """Spend the attempt, exchange the code, fetch the profile, store the user, open the session, return.

    A callback that is reloaded in a logged-in browser returns and does nothing else.
    """
    response = oauth.read_callback(request.query, request.config.accounts_url)
    request.return_to = request.attempts.return_to(response.state)
    # The attempt is spent before the response is looked into: it works once, whatever Spotify decided.
    attempt = request.attempts.spend(response.state, response.code or response.error)
    if attempt is None:
        claimed = request.sessions.claimed
        if claimed and claimed.login_time >= begun_at(response.state) and request.user:
            return web.redirect(request.return_url)
        raise LoginSpent
    code = response.authorization_code()
    tokens = request.spotify.exchange(code, attempt.code_verifier, request.address.redirect_uri)
    profile = request.spotify.fetch_profile(tokens.access_token)
    session, note = request.log_in(profile, tokens)
    request.attempts.complete(attempt, response.code)
    return web.redirect(request.return_url, "completed", session.login_id, detail=note)


@app.route("/logout")
@web.view("logout")
def logout(request: Request) -> web.Result:
    """Erase the stored user info, clear the cookie, return. Ask first unless our own page or the user asked."""
    claimed = request.sessions.claimed
    if claimed and not request.own and request.query.get("confirm") != [claimed.session_id]:
        return web.ask_first(request, pages.ask_to_log_out(request, claimed.session_id))
    ended = request.log_out()
    headers = web.CLEAR_CACHE if claimed else {}
    if ended is None:
        return web.redirect(request.return_url, **headers)
    request.attempts.forget()
    return web.redirect(request.return_url, "completed", ended.login_id, **headers)
