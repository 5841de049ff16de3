"""Ports on the loopback address, which other machines cannot reach."""

import socket

HOST = "127.0.0.1"


def answers(port: int) -> bool:
    """Whether a server listens on the port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


def another(port: int) -> int:
    """A port to try instead. Only root can open those below 1024."""
    return port + 1 if 1024 <= port < 65535 else 5000
