"""Log in with Spotify: four routes on AWS Lambda. Start reading here."""

from chalice import Chalice

from chalicelib import oauth, pages, services, web
from chalicelib.errors import LoginSpent
from chalicelib.profile import Profile
from chalicelib.request import Request

app = Chalice(app_name="spotify-login")
services.prepare()
view = web.views(app, services.redirect_uri, services.on_lambda)


@app.route("/")
@view("home")
def home(request: Request) -> web.Answer:
    """Show `User ID: None`, or the logged-in Spotify user."""
    return web.page(pages.home(services.current_user(request), services.scope(), request.address))


@app.route("/login")
@view("login")
def login(request: Request) -> web.Answer:
    """Send the browser to Spotify's authorization page, with a fresh state and PKCE challenge.

    First to the app's own address, if it came by another; and not without asking, if another site sent
    someone who is logged in.
    """
    if request.elsewhere:
        return web.redirect(request.own_login)
    if request.foreign and services.sessions(request.jar, request.deadline).claimed():
        return web.page(pages.ask_to_log_in(request.address))
    config = services.config()
    attempt = services.attempts(request.jar).begin()
    url = oauth.authorization_url(
        config.accounts_url,
        config.client_id,
        config.scope,
        request.address.redirect_uri,
        attempt,
        show_dialog=request.show_dialog,
    )
    return web.redirect(url, outcome="begun")


@app.route("/callback")
@view("login")
def callback(request: Request) -> web.Answer:
    """Check the state, exchange the code, fetch the current user, remember them, open the session."""
    answer = oauth.read_callback(request.query, services.config().accounts_url)
    attempt = services.attempts(request.jar).spend(answer.state)
    sessions = services.sessions(request.jar, request.deadline)
    home_url = request.address.url("/")
    if attempt.spent:
        if sessions.current_user():
            return web.redirect(home_url)
        raise LoginSpent
    code, redirect_uri = answer.authorization_code(), request.address.redirect_uri
    spotify = services.spotify()
    access_token = spotify.exchange(code, attempt.code_verifier, redirect_uri, request.deadline)
    user = Profile.parse(spotify.current_user(access_token, request.deadline))
    session = sessions.open(user)
    return web.redirect(home_url, outcome="completed", login_id=session.login_id)


@app.route("/logout")
@view("logout")
def logout(request: Request) -> web.Answer:
    """Erase the stored user info, drop the cookie, go home. Asks first, if another site sent the browser."""
    if request.foreign:
        return web.page(pages.ask_to_log_out(request.address))
    ended = services.sessions(request.jar, request.deadline).close()
    home_url = request.address.url("/")
    return web.redirect(home_url, "completed", ended.login_id) if ended else web.redirect(home_url)
