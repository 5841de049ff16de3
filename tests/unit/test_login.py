"""Login attempts and their cookies."""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.cookies import Jar, Seal
from chalicelib.errors import LoginSpent, LoginUnknown
from chalicelib.login import LIFETIME, MOST, Attempt, Attempts, begun_at

KEY = "0123456789abcdefghijklmnopqrstuv"


def attempts(*lines: str) -> tuple[Attempts, Jar]:
    """The attempts of a browser with these cookies, given as Set-Cookie lines."""
    jar = Jar("; ".join(line.partition(";")[0] for line in lines), secure=True)
    return Attempts(jar, Seal(Attempts.PURPOSE, [KEY])), jar


@pytest.mark.promise("A1")
def test_a_state_has_128_random_bits_and_a_verifier_has_256() -> None:
    attempts = [Attempt.begin() for _ in range(1000)]
    assert len({attempt.state for attempt in attempts}) == 1000
    assert len({attempt.code_verifier for attempt in attempts}) == 1000
    for attempt in attempts:
        assert re.fullmatch(r"[\w-]{22}\.\d{10}", attempt.state, re.ASCII)
        assert re.fullmatch(r"[\w-]{43}", attempt.code_verifier, re.ASCII)


@pytest.mark.promise("A2")
def test_the_challenge_matches_rfc_7636_appendix_b() -> None:
    attempt = Attempt("state", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    assert attempt.code_challenge == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_a_verifier_does_not_appear_in_the_repr() -> None:
    attempt = Attempt.begin()
    assert attempt.code_verifier not in repr(attempt)


@given(st.text())
def test_a_state_in_another_format_has_no_start_time(state: str) -> None:
    assert begun_at(state) == 0


@pytest.mark.promise("H2")
def test_only_attempt_cookies_in_the_apps_format_are_read_counted_or_cleared() -> None:
    """A request with hundreds of other cookies must not get hundreds of Set-Cookie lines."""
    other_cookies = [
        f"__Host-spotify-login-{suffix}=x" for suffix in ("", "ABCDEF01", "0123456", "x\r\nSet-Cookie: y")
    ]
    other_cookies += [f"__Host-spotify-login-{number:08x}=x" for number in range(300)]
    pending, jar = attempts(*other_cookies)
    pending.begin()
    (line,) = jar.headers()
    assert f"Max-Age={LIFETIME}" in line


def test_expired_attempts_are_not_cleared_to_make_room() -> None:
    seal = Seal(Attempts.PURPOSE, [KEY])
    old = [
        f"__Host-spotify-login-{number:08x}={seal.sign(f'{number:022}.1795478400', 'v' * 43, '', '')}"
        for number in range(9)
    ]
    pending, jar = attempts(*old)
    pending.begin()
    assert len(jar.headers()) == 1


@pytest.mark.promise("I3")
def test_an_unknown_state_is_a_security_event_unless_the_attempt_may_have_been_dropped() -> None:
    state = Attempt.begin().state
    pending, jar = attempts()
    for held in range(MOST):
        with pytest.raises(LoginUnknown) as failure:
            attempts(*jar.headers())[0].spend(state, "code")
        assert failure.value.security is True, held
        pending.begin()
    with pytest.raises(LoginSpent) as spent:
        attempts(*jar.headers())[0].spend(state, "code")
    assert spent.value.security is False


def test_a_finished_login_makes_room_before_an_unfinished_one() -> None:
    seal = Seal(Attempts.PURPOSE, [KEY])
    waiting, *others = (
        Attempt(f"{number:022}.{int(time.time()) - 60 + number}", "v" * 43) for number in range(MOST)
    )
    finished = [replace(other, code_verifier="", spent_on="0" * 16) for other in others]
    lines = []
    for attempt in (waiting, *finished):
        name = hashlib.sha256(attempt.state.encode()).hexdigest()[:8]
        value = seal.sign(attempt.state, attempt.code_verifier, attempt.spent_on, "")
        lines.append(f"__Host-spotify-login-{name}={value}")
    pending, jar = attempts(*lines)
    pending.begin()
    (cleared,) = [line for line in jar.headers() if "Max-Age=0" in line]
    assert cleared.partition("=")[0] == lines[1].partition("=")[0], (
        "the oldest finished one, not the waiting one"
    )
