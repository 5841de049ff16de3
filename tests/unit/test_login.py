"""Login attempts and their cookies."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.cookies import Jar, Seal
from chalicelib.errors import LoginSpent, LoginUnknown
from chalicelib.login import LIFETIME, MOST, Attempt, Attempts, begun_at

KEY = "0123456789abcdefghijklmnopqrstuv"


def attempts(*lines: str) -> tuple[Attempts, Jar]:
    """The attempts of a browser that has these cookies, given as Set-Cookie lines."""
    jar = Jar("; ".join(line.partition(";")[0] for line in lines), secure=True)
    return Attempts(jar, Seal(Attempts.PURPOSE, [KEY])), jar


def test_a_state_has_128_random_bits_and_a_verifier_256() -> None:
    attempts = [Attempt.begin() for _ in range(1000)]
    assert len({attempt.state for attempt in attempts}) == 1000
    assert len({attempt.code_verifier for attempt in attempts}) == 1000
    for attempt in attempts:
        assert re.fullmatch(r"[\w-]{22}\.\d{10}", attempt.state, re.ASCII)
        assert re.fullmatch(r"[\w-]{43}", attempt.code_verifier, re.ASCII)


def test_the_challenge_is_the_one_of_rfc_7636_appendix_b() -> None:
    attempt = Attempt("state", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    assert attempt.code_challenge == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_a_verifier_stays_out_of_the_repr() -> None:
    attempt = Attempt.begin()
    assert attempt.code_verifier not in repr(attempt)


@given(st.text())
def test_a_foreign_state_was_never_begun(state: str) -> None:
    assert begun_at(state) == 0


def test_a_response_spends_its_attempt_once_and_is_known_again() -> None:
    begun, jar = attempts()
    attempt = begun.begin()
    first, after_first = attempts(*jar.headers())
    assert first.spend(attempt.state, "code") == attempt
    (marker,) = after_first.headers()
    assert attempt.code_verifier not in marker
    assert attempts(marker)[0].spend(attempt.state, "code") is None
    with pytest.raises(LoginSpent):
        attempts(marker)[0].spend(attempt.state, "another code")


def test_only_cookies_of_its_own_format_are_read_counted_or_cleared() -> None:
    """Whoever sends hundreds of cookies gets none of them back in Set-Cookie lines."""
    theirs = [
        f"__Host-spotify-login-{suffix}=x" for suffix in ("", "ABCDEF01", "0123456", "x\r\nSet-Cookie: y")
    ]
    theirs += [f"__Host-spotify-login-{number:08x}=x" for number in range(300)]
    begun, jar = attempts(*theirs)
    begun.begin()
    (line,) = jar.headers()
    assert f"Max-Age={LIFETIME}" in line


def test_an_expired_attempt_is_left_to_its_max_age_and_makes_no_room() -> None:
    seal = Seal(Attempts.PURPOSE, [KEY])
    old = [
        f"__Host-spotify-login-{number:08x}={seal.sign(f'{number:022}.1795478400', 'v' * 43, '')}"
        for number in range(9)
    ]
    begun, jar = attempts(*old)
    begun.begin()
    assert len(jar.headers()) == 1


def test_an_unknown_state_is_a_security_event_unless_the_attempt_may_have_been_dropped() -> None:
    state = Attempt.begin().state
    begun, jar = attempts()
    for held in range(MOST):
        with pytest.raises(LoginUnknown) as failure:
            attempts(*jar.headers())[0].spend(state, "code")
        assert failure.value.security is True, held
        begun.begin()
    with pytest.raises(LoginUnknown) as failure:
        attempts(*jar.headers())[0].spend(state, "code")
    assert failure.value.security is False
