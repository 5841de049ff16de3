"""Find every problem of a setup or a deployment, and how to fix it, without changing anything.

Chalice stops at the first problem, often halfway, and never checks a deployment again.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qs, urlsplit

import requests

from chalicelib import config
from deploy import declared, spotify
from deploy.account import Account
from deploy.live import Api, Function, Role
from deploy.secrets import FALLBACKS, GIVEN, KEY, Secrets
from deploy.spotify import DASHBOARD
from deploy.stage import ALIAS, CONFIG, Problem, Stage, Stop
from deploy.table import Table

SPOTIFY_URLS = ("SPOTIFY_ACCOUNTS_URL", "SPOTIFY_API_URL")

PARAMETERS = {*GIVEN, KEY, FALLBACKS}
"""The settings that the function reads from Parameter Store, unless its environment has them."""

OLDEST, BEST, NEWEST = (3, 11), (3, 13), (3, 14)
"""The Python versions that this app, Chalice and Lambda all support. AWS deprecates 3.11 on 2027-06-30:
https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
"""

NEW_ACCOUNT = 10
"""Concurrent executions: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""

READY, ELSEWHERE = "it redirects to Spotify", "it redirects with another redirect URI"
"""What /login does: with the app's own redirect URI, or with that of another address."""


def recipients() -> Iterator[Problem]:
    """Yield the addresses in the environment to which the client secret must not be sent."""
    given = {name: os.environ[name] for name in SPOTIFY_URLS if name in os.environ}
    for name in sorted({*given} & {*config.faults(given)}):
        what = f"{name} is {given[name]}, which is neither Spotify nor a simulator on this machine."
        yield Problem(what, "Unset it, so that no other server gets the client secret:", f"unset {name}")


def before(stage: Stage, given: Mapping[str, str]) -> Iterator[Problem]:
    """Yield the problems that can be found without AWS and Spotify."""
    yield from _python(stage)
    for name in sorted({*stage.variables} & PARAMETERS):
        what = f"{name} is in .chalice/config.json, in plain text, and would override the stored parameter."
        yield Problem(what, "Remove it from that file, and keep it only in Parameter Store.")
    yield from _copies(stage)
    if (alias := config.read(os.environ, ALIAS)) not in {"", stage.alias}:
        what = f"{ALIAS} is {alias} here, but {stage.alias or 'not set'} in .chalice/config.json."
        remedy = "On AWS, only that file counts. Change it there, or run:"
        yield Problem(what, remedy, f"unset {ALIAS}", stops=False)
    for name in sorted(
        {name for name in given if given[name]} & {*config.faults(given)} - {"FRONTEND_ORIGINS"}
    ):
        value = "" if name.endswith("SECRET") else f", which is {given[name]!r}"
        yield Problem(f"The app cannot use {name}{value}.", "See docs/settings.md, and set it again.")
    uri = given.get("SPOTIFY_REDIRECT_URI", "")
    own_origin = "/".join(uri.split("/")[:3]) or "https:"
    if "FRONTEND_ORIGINS" in given and not config.are_usable(given["FRONTEND_ORIGINS"], own_origin):
        what = f"FRONTEND_ORIGINS is {given['FRONTEND_ORIGINS']}, but it must list https origins other than the app's."
        remedy = "An origin has no path, and no slash at its end. Correct it, or unset it:"
        yield Problem(what, remedy, "unset FRONTEND_ORIGINS")
    if uri.startswith("http://") and not os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://"):
        what = f"SPOTIFY_REDIRECT_URI is {uri}, but on AWS it must be an https URL."
        yield Problem(what, "Set it to https://your.domain/callback, or unset it to use the API's own URL.")


def _python(stage: Stage) -> Iterator[Problem]:
    version = sys.version_info[:2]
    supported = OLDEST <= version <= NEWEST
    if version != BEST:
        verdict = "which works" if supported else f"but it supports only 3.{OLDEST[1]} to 3.{NEWEST[1]}"
        what = f"Lambda would run the app on Python {version[0]}.{version[1]}, {verdict}."
        remedy = f"Python 3.{BEST[1]} is recommended. To use it, install the libraries again:"
        command = f"make clean && make deploy STAGE={stage.name} PYTHON=python3.{BEST[1]}"
        yield Problem(what, remedy, command, stops=not supported)


def _copies(stage: Stage) -> Iterator[Problem]:
    """Compare the names that follow from the app's name, the stage and USERS_TABLE."""
    path, policy = f"/{stage.app}/{stage.name}", str(stage.policy)
    if stage.parameter_path != path:
        what = f"PARAMETER_PATH of stage {stage.name} in {CONFIG} is {stage.parameter_path}."
        yield Problem(what, f"It must be made of the app's name and the stage's: {path}")
    needed = (f":table/{stage.table}'", f":parameter{path}/*'", f":/aws/lambda/{stage.function}:*'")
    if missing := [name.strip(":'") for name in needed if name not in policy]:
        what = f"{stage.policy_file} does not allow {' and '.join(missing)}, which {CONFIG} names."
        yield Problem(what, "Write the names of that file into the policies:", "make policies")


def settings(
    stage: Stage, given: Mapping[str, str], stored: Mapping[str, str], *, required: bool
) -> Iterator[Problem]:
    """Yield the problems of the Spotify app's settings and of the keys; `required` ones must be there."""
    client = {name: given.get(name) or stored.get(name, "") for name in GIVEN[:2]}
    for name in (name for name, value in client.items() if not value):
        what = f"{name} is set neither in the environment nor in Parameter Store."
        remedy = f"`make deploy` asks for it in a terminal. Or run this, and paste it from {DASHBOARD}:"
        option = "-rs" if name.endswith("SECRET") else "-r"
        yield Problem(what, remedy, f"read {option} {name} && export {name}", stops=required)
    if all(client.values()):
        yield from spotify.credentials(*client.values())
    both = {**stored, **given}
    if uri := both.get("SPOTIFY_REDIRECT_URI"):
        scope = config.read(both, "SPOTIFY_SCOPE")
        notes = spotify.authorization(both.get("SPOTIFY_CLIENT_ID", ""), uri, scope)
        yield from (problem for problem in notes if problem.stops)
    keys = {name: stored[name] for name in (KEY, FALLBACKS) if name in stored}
    if weak := sorted({*keys} & {*config.faults(keys)}):
        what = f"{' and '.join(weak)} is too weak: sessions could be forged."
        command = f"make rotate-key STAGE={stage.name} END_SESSIONS=yes"
        yield Problem(what, "Replace all keys. This logs out all users:", command)


def account(stage: Stage, account: Account, given: Mapping[str, str]) -> Iterator[Problem]:
    """Yield the problems of an account: conflicting names, and limits."""
    if not stage.role_arn:
        yield from Role(stage, account).conflicts()
    yield from Api(stage, account).conflicts()
    for resource in declared.resources(stage, account):
        try:
            resource.read()
        except Stop as stop:
            yield from stop.problems
    uri = given.get("SPOTIFY_REDIRECT_URI")
    for other in stage.others if uri else ():
        if Secrets(Stage.load(other), account).values().get("SPOTIFY_REDIRECT_URI") == uri:
            what = f"SPOTIFY_REDIRECT_URI is {uri}, which stage {other} uses."
            yield Problem(what, "Set this stage's own, or unset it:", "unset SPOTIFY_REDIRECT_URI")
    limits = account.client("lambda").get_account_settings()["AccountLimit"]
    if limits["ConcurrentExecutions"] <= NEW_ACCOUNT:
        what = f"This account runs {limits['ConcurrentExecutions']} requests at a time, across all its functions."
        remedy = "That is enough to try the app. Before you have many visitors, ask AWS for more:"
        quota = (
            "aws service-quotas request-service-quota-increase --service-code lambda --quota-code L-B99A9384"
        )
        yield Problem(what, remedy, f"{quota} --desired-value 1000", stops=False)


def moving(
    stage: Stage, account: Account, given: Mapping[str, str], stored: Mapping[str, str]
) -> Iterator[Problem]:
    """Yield what would break the logins of a stage that works if it moved to the given redirect URI."""
    uri, current = given.get("SPOTIFY_REDIRECT_URI", ""), address(stage, account, stored)
    url = uri.removesuffix("/callback")
    if url in {"", current} or not current or login_state(current) != READY:
        return
    state = login_state(url)
    if state not in {READY, ELSEWHERE}:
        what = f"SPOTIFY_REDIRECT_URI is {uri}, but {url}/login is not this app: {state}."
        yield Problem(what, "Correct it, or first point its host name to the API.")
    both = {**stored, **given}
    for note in spotify.authorization(both["SPOTIFY_CLIENT_ID"], uri, config.read(both, "SPOTIFY_SCOPE")):
        yield note._replace(stops=True)


def deployed(stage: Stage, account: Account) -> Iterator[Problem]:
    """Yield the problems of a deployed stage."""
    stored, again = Secrets(stage, account).values(), f"make deploy STAGE={stage.name}"
    for resource in declared.resources(stage, account):
        for name, fault in resource.faults().items():
            if name == "Runtime":
                yield Problem(f"{fault}.", "The next deployment from here changes it.", stops=False)
            else:
                yield Problem(f"{fault}.", "Deploy again:", again)
    log = f"aws logs tail /aws/lambda/{stage.function} --since 10m"
    function = Function(stage, account)
    if function.describe() and (failed := function.check()):
        words = " ".join([failed["reason"], failed.get("detail", ""), *failed.get("settings", ())]).strip()
        what = f"{function} cannot do what a login needs: {words}."
        yield Problem(what, "Deploy again, or find the reason in docs/operations.md and the log:", log)
    if url := address(stage, account, stored):
        state = login_state(url)
        if state != READY:
            what = f"{url}/login does not redirect to Spotify: {state}."
            remedy = "Check that its host name points to the API. If it does, find the setting at fault in the log:"
            yield Problem(what, remedy, log)
        scope = config.read(stored, "SPOTIFY_SCOPE")
        yield from spotify.authorization(stored.get("SPOTIFY_CLIENT_ID", ""), f"{url}/callback", scope)
    yield from _access(stage, stored)


def _access(stage: Stage, stored: Mapping[str, str]) -> Iterator[Problem]:
    """Yield what is wrong or dangerous about kept access."""
    if ALIAS in stored:
        what = f"{stage.parameter_path}/{ALIAS} exists, but only {ALIAS} in .chalice/config.json creates the key."
        delete = f"aws ssm delete-parameter --name {stage.parameter_path}/{ALIAS}"
        yield Problem(what, "Set it in that file, deploy, and delete the parameter:", delete)
    scope = config.read(stored, "SPOTIFY_SCOPE")
    if stage.alias and {*config.EVERY_SCOPE.split()} <= {*scope.split()}:
        what = (
            f"The app keeps access with all {len(scope.split())} scopes: a stolen token could do everything."
        )
        deploy = f'SPOTIFY_SCOPE="user-read-private user-top-read" make deploy STAGE={stage.name}'
        yield Problem(what, "Name only the scopes that your routes need, for example:", deploy, stops=False)


def address(stage: Stage, account: Account, stored: Mapping[str, str]) -> str:
    """The app's URL: that of its redirect URI if one is set, otherwise the API's own."""
    return stored.get("SPOTIFY_REDIRECT_URI", "").removesuffix("/callback") or Api(stage, account).url


def login_state(url: str) -> str:
    """What /login does: `READY`, `ELSEWHERE`, another status, or the type of the failure to reach it."""
    try:
        reply = requests.get(f"{url}/login", timeout=30, allow_redirects=False)
    except requests.RequestException as failure:
        return type(failure).__name__
    if reply.status_code != requests.codes.temporary_redirect:
        return f"status {reply.status_code}"
    query = parse_qs(urlsplit(reply.headers["Location"]).query)
    return READY if query.get("redirect_uri") == [f"{url}/callback"] else ELSEWHERE


def summary(stage: Stage, account: Account) -> Iterator[tuple[str, str]]:
    """Yield the names and values that describe a live deployment."""
    secrets = Secrets(stage, account)
    url = address(stage, account, secrets.values())
    yield "URL", f"{url}/"
    yield "redirect URI", f"{url}/callback"
    commit = Function(stage, account).commit()
    yield "commit", commit or "unknown (deployed without make deploy, or without git)"
    yield "items", f"{Table(stage, account).describe()['ItemCount']} (AWS counts them about every six hours)"
    if stage.alias:
        yield "access", f"kept, key {stage.alias}"
    yield "signing key", f"changed {secrets.written(KEY):%Y-%m-%d %H:%M} UTC"
