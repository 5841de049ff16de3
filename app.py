"""Log in with Spotify: four routes on AWS Lambda. Start reading here."""

from chalicelib import documents, oauth, pages, services, web
from chalicelib.errors import LoginSpent
from chalicelib.request import Request
from chalicelib.site.routes import routes

app = web.App(app_name="spotify-login")
app.register_blueprint(routes)
services.prepare()


@app.route("/")
@web.view("home")
def home(request: Request) -> web.Result:
    """Show `User ID: None`, or the logged-in Spotify user; as JSON to those who ask for it."""
    sessions = services.sessions(request)
    user = sessions.current_user()
    ended = user is None and sessions.claimed() is not None
    if request.wants_json:
        return web.document(documents.who(user, ended=ended))
    if user:
        return web.page(pages.home_of(user, request.address))
    keeps_access, scope = services.keeps_access(request), services.scope(request)
    return web.page(pages.home(request.address, scope, keeps_access=keeps_access, ended=ended))


@app.route("/login")
@web.view("login")
def login(request: Request) -> web.Result:
    """Redirect to Spotify's authorization page with a fresh state and PKCE challenge.

    Ask first if another site sent a browser that is logged in. The login returns to `return_to`, or home.
    """
    if request.foreign and services.current_user(request):
        return web.ask_first(request, pages.ask_to_log_in(request))
    config = services.config(request)
    attempt = services.attempts(request).begin(request.return_to)
    redirect_uri = request.address.redirect_uri
    url = oauth.authorization_url(config, redirect_uri, attempt, show_dialog=request.show_dialog)
    return web.redirect(url, "begun", detail="return_to_refused" if request.return_to_refused else "")


@app.route("/callback")
@web.view("login", moves=False)
def callback(request: Request) -> web.Result:
    """Spend the attempt, exchange the code, fetch the profile, store the user, open the session, return.

    A callback that is reloaded in a logged-in browser returns and does nothing else.
    """
    response = oauth.read_callback(request.query, services.config(request).accounts_url)
    attempts = services.attempts(request)
    request.return_to = attempts.return_to(response.state)
    # The attempt is spent before the response is looked into: it works once, whatever Spotify decided.
    attempt = attempts.spend(response.state, response.code or response.error)
    if attempt is None:
        if services.has_logged_in(request, since=response.state):
            return web.redirect(request.return_url)
        raise LoginSpent
    code, spotify = response.authorization_code(), services.spotify(request)
    tokens = spotify.exchange(code, attempt.code_verifier, request.address.redirect_uri)
    profile = spotify.fetch_profile(tokens.access_token)
    session, note = services.log_in(request, profile, tokens)
    attempts.complete(attempt, response.code)
    return web.redirect(request.return_url, "completed", session.login_id, detail=note)


@app.route("/logout")
@web.view("logout")
def logout(request: Request) -> web.Result:
    """Erase the stored user info, clear the cookie, return. Ask first unless our own page or the user asked."""
    sessions = services.sessions(request)
    claimed = sessions.claimed()
    if claimed and not request.own and request.query.get("confirm") != [claimed.session_id]:
        return web.ask_first(request, pages.ask_to_log_out(request, claimed.session_id))
    ended = services.log_out(request)
    headers = web.CLEAR_CACHE if claimed else {}
    if ended is None:
        return web.redirect(request.return_url, **headers)
    services.attempts(request).forget()
    return web.redirect(request.return_url, "completed", ended.login_id, **headers)
