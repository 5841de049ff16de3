"""Log in with Spotify: four routes on AWS Lambda. Start reading here."""

from chalice import Chalice

from chalicelib import oauth, pages, services, web
from chalicelib.errors import LoginSpent
from chalicelib.request import Request

app = Chalice(app_name="spotify-login")
app.register_middleware(web.around, "http")
services.prepare()


@app.route("/")
@web.view("home")
def home(request: Request) -> web.Result:
    """Show `User ID: None`, or the logged-in Spotify user."""
    return web.page(pages.home(services.current_user(request), services.scope(request), request.address))


@app.route("/login")
@web.view("login")
def login(request: Request) -> web.Result:
    """Redirect to Spotify's authorization page with a fresh state and PKCE challenge.

    Ask first if another site sent a browser that is logged in.
    """
    if request.foreign and services.sessions(request).claimed():
        return web.page(pages.ask_to_log_in(request.address))
    config = services.config(request)
    attempt = services.attempts(request).begin()
    redirect_uri = request.address.redirect_uri
    url = oauth.authorization_url(config, redirect_uri, attempt, show_dialog=request.show_dialog)
    return web.redirect(url, "begun")


@app.route("/callback")
@web.view("login", moves=False)
def callback(request: Request) -> web.Result:
    """Spend the attempt, exchange the code, fetch the profile, store the user, open the session, go home.

    A callback that is reloaded in a logged-in browser goes home and does nothing else.
    """
    home_url = request.address.url("/")
    response = oauth.read_callback(request.query, services.config(request).accounts_url)
    # The attempt is spent before the response is looked into: it works once, whatever Spotify decided.
    attempt = services.attempts(request).spend(response.state, response.code or response.error)
    if attempt is None:
        if services.current_user(request):
            return web.redirect(home_url)
        raise LoginSpent
    code, spotify = response.authorization_code(), services.spotify(request)
    access_token = spotify.exchange(code, attempt.code_verifier, request.address.redirect_uri)
    session, note = services.sessions(request).open(spotify.fetch_profile(access_token))
    return web.redirect(home_url, "completed", session.login_id, detail=note)


@app.route("/logout")
@web.view("logout")
def logout(request: Request) -> web.Result:
    """Erase the stored user info, clear the cookie, go home. Ask first unless our own page or the user asked."""
    sessions = services.sessions(request)
    claimed = sessions.claimed()
    if claimed and not request.own and request.query.get("confirm") != [claimed.session_id]:
        return web.page(pages.ask_to_log_out(request.address, claimed.session_id))
    home_url, ended = request.address.url("/"), sessions.close()
    if ended is None:
        return web.redirect(home_url, **web.CLEAR_CACHE)
    return web.redirect(home_url, "completed", ended.login_id, **web.CLEAR_CACHE)
