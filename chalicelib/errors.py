"""Everything that can go wrong, and what a person is told of it.

::

    LoginError
    ├── ConfigurationError        500  configuration
    ├── BadRequest                400  bad_request
    ├── Prefetched                503  prefetch
    ├── LoginRefused
    │   ├── Cancelled             400  cancelled
    │   ├── AuthorizationRefused  400  authorization_refused
    │   ├── LoginExpired          400  login_expired
    │   ├── LoginUnknown          400  login_unknown          (security event)
    │   ├── LoginSpent            400  login_spent            (security event)
    │   └── CodeRefused           400  invalid_grant
    ├── SpotifyError
    │   ├── NotOnUserList         403  not_on_user_list
    │   ├── PremiumRequired       403  premium_required
    │   ├── SpotifyForbids        403  spotify_forbids
    │   ├── ClientRefused         500  invalid_client
    │   ├── SpotifyRateLimited    503  spotify_rate_limited
    │   ├── SpotifyTimeout        504  spotify_timeout
    │   └── SpotifyUnavailable    502  spotify_unavailable
    │       ├── SpotifyUnreachable     spotify_unreachable    (nothing was sent)
    │       └── SpotifyNonsense        spotify_nonsense
    │           └── ProfileInvalid     profile_invalid
    └── UsersUnavailable          503  users_unavailable
        └── UsersUncertain             users_uncertain        (a write may have happened)

Every leaf has a `status` (HTTP), a `reason` (the code in the log), a `title`, a `message` that says what
happened and a `remedy` that says whose move it is. They are shown to visitors: nothing internal enters them.
"""

from __future__ import annotations

from typing import ClassVar

DASHBOARD = "https://developer.spotify.com/dashboard"


class LoginError(Exception):
    """The root: a failure that has a page of its own. Raise the leaves."""

    status: ClassVar[int] = 500
    reason: ClassVar[str] = "bug"
    title: ClassVar[str] = "Something went wrong"
    message: ClassVar[str] = "This is our mistake, not yours."
    remedy: str = "Try again. If it happens again, tell whoever runs this site the reference below."
    security: ClassVar[bool] = False

    settings: tuple[str, ...] = ()
    """The settings at fault, by name, for the log."""

    retry_after: int | None = None
    """Seconds after which trying again can help: the answer's Retry-After (RFC 9110 §10.2.3)."""

    def __init__(self, detail: str = "") -> None:
        """`detail` is for the log: a code of the other side's, such as a status; never a text of theirs."""
        super().__init__(detail)
        self.detail = detail


class ConfigurationError(LoginError):
    """Settings are missing or unusable. Its argument: their names, never their values."""

    reason = "configuration"
    title = "This site is not set up yet"
    message = "Logging in needs settings that are missing or not usable."
    remedy = (
        "Its owner finds their names in the log (of make run: in the terminal), under the reference below."
    )

    def __init__(self, *settings: str) -> None:
        super().__init__()
        self.settings = settings


class BadRequest(LoginError):
    """The request cannot have come from a link or a redirect of ours."""

    status = 400
    reason = "bad_request"
    title = "This address is not complete"
    message = "The page was opened with an address that this site never makes."
    remedy = "Start again from the home page."


class Prefetched(LoginError):
    """A browser asked before its user did."""

    status = 503
    reason = "prefetch"
    title = "Not yet"
    message = "This page is not loaded ahead of time."
    remedy = "Open the link to go on."


class LoginRefused(LoginError):
    """The branch of logins that end at the callback, before or instead of a profile."""

    status = 400
    title = "You are not logged in"
    remedy = "Log in again."


class Cancelled(LoginRefused):
    """The user said no (RFC 6749 §4.1.2.1, access_denied)."""

    reason = "cancelled"
    title = "You cancelled the login"
    message = "You did not agree at Spotify, so nothing was stored."
    remedy = "If that was a slip, log in again."


class AuthorizationRefused(LoginRefused):
    """Spotify sent another error than access_denied (RFC 6749 §4.1.2.1)."""

    reason = "authorization_refused"
    message = "Spotify did not go through with the login and nothing was stored."
    remedy = "Log in again. If Spotify refuses again, tell whoever runs this site the reference below."


class LoginExpired(LoginRefused):
    """The login was begun more than ten minutes ago."""

    reason = "login_expired"
    title = "This login has expired"
    message = "A login has to be finished within ten minutes; this one was begun earlier."


class LoginUnknown(LoginRefused):
    """The browser holds no attempt of that state (RFC 6749 §10.12)."""

    reason = "login_unknown"
    message = "This login was begun in another browser, or this browser blocks cookies."
    remedy = "Allow cookies for this site and log in again, here."
    security = True


class LoginSpent(LoginRefused):
    """The callback's state was used before, and nobody is signed in here (RFC 6749 §4.1.2)."""

    reason = "login_spent"
    message = "This login was finished before; its address works only once."
    security = True


class CodeRefused(LoginRefused):
    """The token endpoint answered invalid_grant (RFC 6749 §5.2)."""

    reason = "invalid_grant"
    message = "Spotify did not accept the login's code: it was used before, or it is too old."
    remedy = "If the home page does not show you as logged in, log in again."


class SpotifyError(LoginError):
    """The branch of what Spotify does to a login that the user agreed to."""

    status = 502
    title = "Spotify could not log you in"
    remedy = "Wait a moment and log in again."


class NotOnUserList(SpotifyError):
    """403: the application is in development mode and this user is not on its list."""

    status = 403
    reason = "not_on_user_list"
    title = "You are not on this app's list of users"
    message = (
        "Spotify says that you are not registered for this application: it is in development mode, "
        "where only listed users can log in."
    )
    remedy = f"Its owner can add you under User Management at {DASHBOARD}. Then log in again."


class PremiumRequired(SpotifyError):
    """403: the application's owner has no Premium subscription."""

    status = 403
    reason = "premium_required"
    title = "This app is paused by Spotify"
    message = "Spotify says that the owner of this application needs an active Premium subscription."
    remedy = f"Its owner renews it (see {DASHBOARD}); it can then take a few hours before logging in works."


class SpotifyForbids(SpotifyError):
    """403 for a reason that we do not know."""

    status = 403
    reason = "spotify_forbids"
    message = "Spotify does not allow this application to see who you are."
    remedy = f"Its owner finds the application's state at {DASHBOARD}."


class ClientRefused(SpotifyError):
    """The token endpoint answered invalid_client (RFC 6749 §5.2): our id or secret is wrong."""

    status = 500
    reason = "invalid_client"
    title = "This site is not set up yet"
    message = "Spotify does not recognize this application."
    remedy = f"Its owner compares the client ID and secret with those at {DASHBOARD}."
    settings = ("SPOTIFY_CLIENT_ID", "SPOTIFY_CLIENT_SECRET")


class SpotifyRateLimited(SpotifyError):
    """429, with a wait that is longer than a visitor's."""

    status = 503
    reason = "spotify_rate_limited"
    title = "Spotify asks this app to slow down"
    message = "Too many people are using this application right now, or it has used up its quota at Spotify."

    def __init__(self, detail: str, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after
        minutes = round(retry_after / 60)
        wait = f"{max(retry_after, 1)} seconds" if minutes < 2 else f"about {minutes} minutes"
        self.remedy = f"Log in again in {wait}."


class SpotifyTimeout(SpotifyError):
    """Spotify did not answer in time."""

    status = 504
    reason = "spotify_timeout"
    title = "Spotify is slow right now"
    message = "Spotify took too long to answer."


class SpotifyUnavailable(SpotifyError):
    """5xx, or the connection broke."""

    reason = "spotify_unavailable"
    title = "Spotify is not available right now"
    message = "Spotify had a problem of its own."


class SpotifyUnreachable(SpotifyUnavailable):
    """No connection was made: nothing was sent, so sending it again is safe."""

    reason = "spotify_unreachable"
    message = "Spotify cannot be reached."


class SpotifyNonsense(SpotifyUnavailable):
    """An answer that Spotify's documents do not allow: not JSON, another shape, too large."""

    reason = "spotify_nonsense"
    title = "Spotify's answer makes no sense"
    message = "Spotify answered something that this site does not understand."


class ProfileInvalid(SpotifyNonsense):
    """A profile that is not JSON, or has no usable id."""

    reason = "profile_invalid"
    message = "Spotify sent a profile without a usable ID or in pieces, so nothing was stored."


class UsersUnavailable(LoginError):
    """The users table did not answer, and nothing was written."""

    status = 503
    reason = "users_unavailable"
    title = "Our storage is not available right now"
    message = "Nothing was changed: you are logged in, or not, just as before."
    remedy = "Wait a moment and try again."


class UsersUncertain(UsersUnavailable):
    """A login's write may or may not have happened."""

    reason = "users_uncertain"
    message = (
        "You are not logged in. Your Spotify profile may have been stored all the same; "
        "if so, it erases itself within 30 days, or when you next log in and out."
    )
    remedy = "Wait a moment and log in again."
