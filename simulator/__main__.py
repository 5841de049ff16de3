"""Run the simulated Spotify by itself: `python -m simulator --port 8001`."""

from __future__ import annotations

import argparse
import signal
import threading

from simulator.loopback import serve
from simulator.spotify import Application, create_app


def main() -> None:
    """Serve until the process is stopped."""
    parser = argparse.ArgumentParser(prog="python -m simulator", description=__doc__)
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--redirect-uri", action="append", help="a registered redirect URI; repeat for more")
    parser.add_argument("--allow-localhost", action="store_true", help="accept localhost redirect URIs")
    parser.add_argument("--rotate", action="store_true", help="replace the refresh token at each refresh")
    options = parser.parse_args()
    application = Application(
        redirect_uris=tuple(options.redirect_uri or Application.redirect_uris),
        allow_localhost=options.allow_localhost,
        rotates=options.rotate,
    )
    url = serve(create_app(application), options.port)
    settings = {
        "SPOTIFY_ACCOUNTS_URL": url,
        "SPOTIFY_API_URL": url,
        "SPOTIFY_CLIENT_ID": application.client_id,
        "SPOTIFY_CLIENT_SECRET": application.client_secret,
    }
    exports = "".join(f"\nexport {name}={value}" for name, value in settings.items())
    print(f"Simulated Spotify at {url}\n\nTo use it:\n{exports}", flush=True)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Event().wait()


if __name__ == "__main__":
    main()
