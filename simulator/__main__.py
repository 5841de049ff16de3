"""Run it alone: `python -m simulator --port 8001`."""

from __future__ import annotations

import argparse
import signal
import threading

from simulator.loopback import serve
from simulator.spotify import Application, create_app


def main() -> None:
    """Serve until the process ends."""
    parser = argparse.ArgumentParser(prog="python -m simulator", description=__doc__)
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--client-id", default=Application.client_id)
    parser.add_argument("--client-secret", default=Application.client_secret)
    parser.add_argument("--redirect-uri", action="append", help="registered; may be given several times")
    parser.add_argument("--allow-localhost", action="store_true", help="as Spotify did until November 2025")
    parser.add_argument("--code-lifetime", type=float, default=Application.code_lifetime, help="seconds")
    options = parser.parse_args()
    application = Application(
        client_id=options.client_id,
        client_secret=options.client_secret,
        redirect_uris=tuple(options.redirect_uri or Application.redirect_uris),
        allow_localhost=options.allow_localhost,
        code_lifetime=options.code_lifetime,
    )
    url = serve(create_app(application), options.port)
    print(f"Spotify simulated at {url}", flush=True)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Event().wait()


if __name__ == "__main__":
    main()
