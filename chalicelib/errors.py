"""Everything that can go wrong, and what the user reads about it.

::

    LoginError
    ├── ConfigurationError        500  configuration
    ├── BadRequest                400  bad_request
    │   ├── MethodNotAllowed      405  method_not_allowed
    │   └── UnsupportedMediaType  415  unsupported_media_type
    ├── NotRestApi                501  not_a_rest_api
    ├── Prefetched                403  prefetch
    ├── LoginRefused
    │   ├── Cancelled             400  cancelled
    │   ├── AuthorizationRefused  400  authorization_refused
    │   ├── AppRefused            500  app_refused
    │   ├── LoginExpired          400  login_expired
    │   ├── LoginUnknown          400  login_unknown
    │   ├── LoginSpent            400  login_spent
    │   └── CodeRefused           400  invalid_grant
    ├── SpotifyError
    │   ├── NotOnUserList         403  not_on_user_list
    │   ├── PremiumRequired       403  premium_required
    │   ├── SpotifyForbids        403  spotify_forbids
    │   ├── ClientRefused         500  invalid_client
    │   ├── SpotifyRateLimited    503  spotify_rate_limited
    │   │   └── QuotaExceeded     503  spotify_quota_exceeded
    │   ├── SpotifyTimeout        504  spotify_timeout
    │   ├── SpotifyUnavailable    502  spotify_unavailable
    │   ├── SpotifyUnreachable    502  spotify_unreachable
    │   └── SpotifyMalformed      502  spotify_malformed
    │       └── ProfileInvalid    502  profile_invalid
    ├── LoginRequired             401  login_required
    │   └── LoginLoops            401  login_loops
    ├── AccessEnded               403  access_ended
    ├── AccessDelayed             503  access_delayed
    ├── KeyUnavailable            503  key_unavailable
    └── UsersUnavailable          503  users_unavailable

Every leaf has a `status` (HTTP), a `reason` (the code in the log), a `title`, a `message` that says what
happened, a `remedy` that says who can do what about it, and `acts`, who that is. Visitors read the last four: no
internals in them.
"""

from enum import Enum
from typing import ClassVar

DASHBOARD = "https://developer.spotify.com/dashboard"


class Acts(Enum):
    """Who must act, as the label of the error page says."""

    YOU = "You can fix this"
    OWNER = "The owner of this site must act"
    WAIT = "Try again later"


class LoginError(Exception):
    """The root: a failure with an error page. Raise the leaves."""

    status: ClassVar[int] = 500
    reason: ClassVar[str] = "bug"
    title: ClassVar[str] = "Something went wrong"
    message: ClassVar[str] = "Something failed on our side."
    remedy: str = "Try again. If it fails again, give the owner of this site the reference below."
    acts: ClassVar[Acts] = Acts.OWNER

    security: bool = False
    """Whether the log marks it as a security event."""

    offers: ClassVar[tuple[str, ...]] = ("login", "home")
    """The links of the page, in order. The first is a button."""

    asks_to_log_in: ClassVar[bool] = False
    """Whether a navigation is redirected to /login instead."""

    returns: ClassVar[bool] = False
    """Whether a login that its page offers returns to the page that failed."""

    settings: tuple[str, ...] = ()
    """The settings at fault, by name, for the log."""

    retry_after: int | None = None
    """Seconds after which a retry can succeed: the response's Retry-After (RFC 9110 §10.2.3)."""

    def __init__(self, detail: str = "") -> None:
        """`detail` is for the log: a code, such as an HTTP status; never a text that Spotify or AWS sent."""
        super().__init__(detail)
        self.detail = detail


class ConfigurationError(LoginError):
    """Settings are missing or unusable. Its arguments are their names, never their values, and an exception's name."""

    reason = "configuration"
    title = "This site is not set up yet"
    message = "A setting that this page needs is missing or unusable."
    remedy = "The owner of this site can find what is wrong in the log, under the reference below."
    acts = Acts.OWNER
    offers = ("home", "login")

    def __init__(self, *settings: str, detail: str = "") -> None:
        super().__init__(detail)
        self.settings = settings


class BadRequest(LoginError):
    """The request cannot come from a link or a redirect of this app."""

    status = 400
    reason = "bad_request"
    title = "This address is not complete"
    message = "The link you followed is damaged, or part of it is missing."
    remedy = "Start again from the home page."
    acts = Acts.YOU
    offers = ("home", "login")


class MethodNotAllowed(BadRequest):
    """A method that the route does not have, where API Gateway does not reject it first."""

    status = 405
    reason = "method_not_allowed"
    title = "This address cannot be used that way"
    message = "This address does not accept requests of this kind."


class UnsupportedMediaType(BadRequest):
    """A Content-Type that the route does not accept, or none where it needs one."""

    status = 415
    reason = "unsupported_media_type"
    title = "This address cannot be used that way"
    message = "This address does not accept data of this type."


class NotRestApi(LoginError):
    """The function was called by an HTTP API, a function URL, a load balancer, or a REST API with other routes."""

    status = 501
    reason = "not_a_rest_api"
    title = "This site is not set up yet"
    message = "This app works only behind its own REST API of API Gateway, and something else called it."
    remedy = "The owner of this site can create that REST API with make deploy or chalice deploy."


class Prefetched(LoginError):
    """A browser sent the request before its user followed the link.

    Browsers drop a 4xx, and send the request again when the user follows the link. A 2xx they would show.
    """

    status = 403
    reason = "prefetch"
    title = "Not yet"
    message = "This page cannot be loaded in advance."
    remedy = "Open the link to continue."
    acts = Acts.YOU


class LoginRequired(LoginError):
    """A visitor who is not logged in opened a page that requires it."""

    status = 401
    reason = "login_required"
    title = "You are not logged in"
    message = "This page is for logged-in users."
    remedy = "Log in to see it."
    acts = Acts.YOU
    asks_to_log_in = True
    returns = True


class LoginLoops(LoginRequired):
    """Two recent logins returned here without a session; another redirect would loop."""

    reason = "login_loops"
    title = "You are still not logged in"
    message = "This site does not recognize your recent logins."
    remedy = "Log in again. If that does not help, allow cookies for this site, or give its owner the reference below."
    asks_to_log_in = False


class LoginRefused(LoginError):
    """The branch of logins that end at the callback without a profile. Nothing was stored."""

    status = 400
    message = "Nothing was stored."
    remedy = "Log in again."
    acts = Acts.YOU


class Cancelled(LoginRefused):
    """The user declined (RFC 6749 §4.1.2.1, access_denied)."""

    reason = "cancelled"
    title = "You cancelled the login"
    remedy = "You can log in again at any time."


class AuthorizationRefused(LoginRefused):
    """Spotify sent an error code that is not in RFC 6749 §4.1.2.1."""

    reason = "authorization_refused"
    title = "Spotify did not complete the login"
    remedy = "Log in again. If Spotify refuses again, give the owner of this site the reference below."


class AppRefused(LoginRefused):
    """Spotify rejected the authorization request itself (RFC 6749 §4.1.2.1), such as invalid_scope."""

    status = 500
    reason = "app_refused"
    title = "This site is not set up yet"
    message = "Spotify does not accept what this app asks for."
    remedy = f"The owner of this site can compare the app's settings with those at {DASHBOARD}."
    acts = Acts.OWNER
    offers = ("home", "login")


class LoginExpired(LoginRefused):
    """The login began more than ten minutes ago."""

    reason = "login_expired"
    title = "This login has expired"
    message = "A login must be finished within ten minutes. This one began earlier."
    remedy = "If the home page does not show that you are logged in, log in again."
    offers = ("home", "login")


class LoginUnknown(LoginRefused):
    """The browser has no attempt with this state (RFC 6749 §10.12)."""

    reason = "login_unknown"
    title = "This browser does not recognize this login"
    message = "It may have begun in another browser, or cookies are off."
    remedy = "Allow cookies for this site, then log in again in this browser."
    security = True


class LoginSpent(LoginRefused):
    """The callback's state was used before (RFC 6749 §4.1.2), or newer attempts took the place of this one."""

    reason = "login_spent"
    title = "This login is no longer valid"
    message = "It was used before, or newer logins in this browser replaced it. The home page shows whether you are logged in."
    remedy = "If you are not, or want to use another account, log in again."
    offers = ("home", "login")


class CodeRefused(LoginRefused):
    """The token endpoint returned invalid_grant (RFC 6749 §5.2)."""

    reason = "invalid_grant"
    title = "Spotify did not accept this login"
    message = "It was used before, or it is too old. The home page shows whether you are logged in."
    remedy = "If you are not, log in again."
    offers = ("home", "login")


class SpotifyError(LoginError):
    """The branch of failures at Spotify, during a login or a later call."""

    status = 502
    title = "Spotify is not available right now"
    remedy = "Wait a moment, then try again."
    acts = Acts.WAIT


class NotOnUserList(SpotifyError):
    """403: the application is in development mode and the user is not on its list."""

    status = 403
    reason = "not_on_user_list"
    title = "You are not on this app's list of users"
    message = "This app is in development mode at Spotify, where only listed users can log in."
    remedy = f"The owner of this site can add you under User Management at {DASHBOARD}. Then log in again."
    acts = Acts.OWNER
    offers = ("home", "login", "another")


class PremiumRequired(SpotifyError):
    """403: the application's owner has no Premium subscription."""

    status = 403
    reason = "premium_required"
    title = "Spotify has paused this app"
    message = "Spotify requires the owner of this app to have an active Premium subscription."
    remedy = f"The owner can renew it; see {DASHBOARD}. Logins work again a few hours later."
    acts = Acts.OWNER
    offers = ("home", "login")


class SpotifyForbids(SpotifyError):
    """403 for another reason. Spotify sends 403 for what the application may not do: its owner must act."""

    status = 403
    reason = "spotify_forbids"
    title = "Spotify could not log you in"
    message = "Spotify does not allow this app to read your profile."
    remedy = f"The owner of this site can check the app's status at {DASHBOARD}."
    acts = Acts.OWNER
    offers = ("home", "login")


class ClientRefused(SpotifyError):
    """The token endpoint returned invalid_client (RFC 6749 §5.2): the client ID or secret is wrong."""

    status = 500
    reason = "invalid_client"
    title = "This site is not set up yet"
    message = "Spotify does not recognize this app."
    remedy = f"The owner of this site can compare the client ID and secret with those at {DASHBOARD}."
    acts = Acts.OWNER
    offers = ("home", "login")
    settings = ("SPOTIFY_CLIENT_ID", "SPOTIFY_CLIENT_SECRET")


class SpotifyRateLimited(SpotifyError):
    """429 with a wait that is too long for a visitor."""

    status = 503
    reason = "spotify_rate_limited"
    title = "Too many requests to Spotify"
    message = "This app has reached Spotify's rate limit."

    def __init__(self, detail: str = "", retry_after: int = 1) -> None:
        super().__init__(detail)
        self.retry_after = max(retry_after, 1)
        units = {7200: (3600, "hour"), 120: (60, "minute"), 1: (1, "second")}
        size, unit = next(unit for least, unit in units.items() if self.retry_after >= least)
        number = -(-self.retry_after // size)  # rounded up
        self.remedy = f"Log in again in {number} {unit}{'' if number == 1 else 's'}."


class QuotaExceeded(SpotifyRateLimited):
    """429 because the application's quota is used up (QUOTA_EXCEEDED)."""

    reason = "spotify_quota_exceeded"
    title = "This app has used up its quota at Spotify"
    acts = Acts.OWNER
    message = "Spotify limits how much an app may ask for."


class SpotifyTimeout(SpotifyError):
    """Spotify did not respond in time."""

    status = 504
    reason = "spotify_timeout"
    message = "Spotify took too long to respond."


class SpotifyUnavailable(SpotifyError):
    """5xx, the connection broke, a new access token was rejected, or the callback's error was server_error."""

    reason = "spotify_unavailable"
    message = "Something failed at Spotify."


class SpotifyUnreachable(SpotifyError):
    """No connection could be used. In all likelihood nothing arrived, so the request can be sent again."""

    reason = "spotify_unreachable"
    message = "Spotify cannot be reached."


class SpotifyMalformed(SpotifyError):
    """A response that Spotify's documentation does not allow: not JSON, another shape, too large."""

    reason = "spotify_malformed"
    title = "Spotify sent an unexpected response"
    message = "This site could not use Spotify's response."


class ProfileInvalid(SpotifyMalformed):
    """A profile that is not JSON, or has no usable ID."""

    reason = "profile_invalid"
    message = "Spotify sent an incomplete profile, or one without a usable ID. Nothing was stored."


class AccessEnded(LoginError):
    """There is no access to the user's account, or none that works. The user is still logged in."""

    status = 403
    reason = "access_ended"
    title = "This page needs access to your Spotify account"
    message = "This site no longer has the access that this page needs, or never had it."
    remedy = "Log in again to give it access."
    acts = Acts.YOU
    returns = True


class AccessDelayed(LoginError):
    """An access token could not be refreshed. The refresh token is kept, so a later attempt can succeed."""

    status = 503
    reason = "access_delayed"
    title = "This page is not available right now"
    message = "This site could not renew its access to your Spotify account."
    acts = Acts.WAIT
    returns = True

    def __init__(self, detail: str = "", retry_after: int = 1) -> None:
        super().__init__(detail)
        self.retry_after = max(retry_after, 1)
        self.remedy = f"Try again in {self.retry_after} second{'' if self.retry_after == 1 else 's'}."


class KeyUnavailable(LoginError):
    """KMS did not encrypt or decrypt a user's tokens. They are kept, and the user is still logged in."""

    status = 503
    reason = "key_unavailable"
    title = "This page is not available right now"
    message = "This site could not use its access to your Spotify account."
    remedy = "Try again in a moment."
    acts = Acts.WAIT
    returns = True


class UsersUnavailable(LoginError):
    """The users table did not respond. A write may have happened all the same."""

    status = 503
    reason = "users_unavailable"
    title = "Storage is not available right now"
    message = (
        "Your last step may or may not have taken effect. The home page shows whether you are logged in."
    )
    remedy = "Try again in a moment. To erase what is stored, log in, then log out. It expires after 30 days at most."
    acts = Acts.WAIT
    offers = ("home", "login", "logout")


def of(reason: str, retry_after: int = 0) -> LoginError:
    """Create the error that has a reason. `retry_after` is in seconds; 0 if the error has none.

    Raises:
        BadRequest: no error has this reason.
    """
    kinds: list[type[LoginError]] = [LoginError]
    for kind in kinds:
        if kind.reason == reason:
            return kind("", retry_after) if retry_after else kind()  # type: ignore[call-arg]
        kinds += kind.__subclasses__()
    raise BadRequest
