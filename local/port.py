"""Ports on the loopback address, which other machines cannot reach."""

import socket

HOST = "127.0.0.1"


def answers(port: int) -> bool:
    """Whether a server listens on the port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0
