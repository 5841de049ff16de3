"""A deployment in repeatable steps, in which what visitors notice changes as late as possible.

`chalice deploy` deploys the function and its API. It does not create the table, the secrets, the log group, the alarms
or the request limits, and it does not check the result.
"""

from __future__ import annotations

import base64
import getpass
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import requests

from deploy import PROJECT, bundle, declared, doctor
from deploy.account import Account
from deploy.live import Api, Function
from deploy.secrets import GIVEN, KNOWN_EVERYWHERE, REQUIRED, Secrets
from deploy.spotify import DASHBOARD
from deploy.stage import Problem, Stage, Stop

RECORDS = PROJECT / ".chalice" / "deployed"
"""The folder of Chalice's records of the resources it created, one file for each stage."""

READY, READY_SECONDS = 5, 120.0
"""Consecutive redirects that mean ready, and the maximum wait in seconds."""

SMOKE_SHARE = 0.5
"""The share of the request limit that the checks of a deployment use. Visitors have the rest."""


class Deployment:
    """The deployment of a stage."""

    UNNOTICED = 3
    """The number of steps before users notice anything."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._build = bundle.BUILDS / stage.name
        key = "the key, " if stage.alias else ""
        self.steps: dict[str, Callable[[], object]] = {
            "check the setup": self.check,
            f"create the table, {key}the log, the alarms and the role": self.data,
            "build the package": self.package,
            "deploy the function and its API": self.live,
            "store the settings": self.settings,
            "test the deployment": self.test,
        }

    def check(self) -> None:
        """Find all problems before anything is changed."""
        self._given = given()
        self._account = check(self.stage, self._given, deploying=True)
        self._function = Function(self.stage, self._account)
        self._secrets = Secrets(self.stage, self._account)
        self._before = self._secrets.values()

    def data(self) -> None:
        """Create or repair what the function needs."""
        changes = self._repair("data")
        if any(change.startswith(f"Key {self.stage.alias} does not") for change in changes):
            print("    AWS can take up to five minutes to let the function use the key.")
            print("    Until then, users can log in, but their access is not kept.")

    def package(self) -> None:
        """Build the zip that Lambda runs."""
        path = bundle.package(self.stage.name, self._build)
        print(f"    {path.stat().st_size:,} bytes")

    def live(self) -> None:
        """Run `chalice deploy`, reusing an existing API. Keep its record, and the package that was live before."""
        package = (self._build / "out" / "deployment.zip").read_bytes()
        built = base64.b64encode(hashlib.sha256(package).digest()).decode()
        before, url = self._function.code()
        previous = bundle.BUILDS / f"{self.stage.name}-previous.zip"
        if before not in {"", built}:
            previous.write_bytes(download(url))
        record = self._build / ".chalice" / "deployed" / f"{self.stage.name}.json"
        Api(self.stage, self._account).write_record(record)
        failure = chalice(self._build, "deploy", "--stage", self.stage.name)
        RECORDS.mkdir(parents=True, exist_ok=True)
        if record.exists():
            shutil.copy(record, RECORDS)
        if failure:
            is_live = self._function.code()[0] == built
            what = f"`chalice deploy` failed: {failure}"
            remedy = (
                f"The new code is {'live' if is_live else 'not live'}; the settings are those from before."
            )
            command = (
                f"aws lambda update-function-code --function-name {self.stage.function} --zip-file fileb://"
            )
            back = f"{command}{previous.relative_to(PROJECT)}" if is_live and previous.exists() else ""
            raise Stop(Problem(what, f"{remedy} To return to the previous code:" if back else remedy, back))
        self._repair("live")
        print("    {:g} requests per second, bursts of {}".format(*self.stage.throttling))

    def settings(self) -> None:
        """Store new and changed settings, and create a signing key if there is none."""
        for name in self._secrets.store(self._given):
            print(f"    {name} {'stored' if self._given[name] else 'deleted'}")
        self._repair("settings")

    def test(self) -> None:
        """Check the deployment from outside. If the new address does not work, restore the settings from before."""
        url = doctor.address(self.stage, self._account, self._secrets.values())
        changed = self._secrets.values() != self._before
        try:
            wait_for(url, KNOWN_EVERYWHERE if changed else READY_SECONDS)
        except Stop:
            if changed and self._before:
                list(self._secrets.store({**dict.fromkeys(self._secrets.values(), ""), **self._before}))
                print("    The settings from before are stored again.")
            raise
        command = [sys.executable, "-m", "pytest", "-c", "deploy/smoke.ini", "deploy/smoke.py"]
        site = {"SMOKE_URL": url, "SMOKE_RATE": str(self.stage.throttling[0] * SMOKE_SHARE)}
        if subprocess.run(command, cwd=PROJECT, env={**os.environ, **site}, check=False).returncode:
            log = f"aws logs tail /aws/lambda/{self.stage.function} --since 10m"
            what = "The app is deployed, but some checks failed."
            raise Stop(Problem(what, "See above, and the log:", log))
        print(f"\nDeployed: {url}/\n")
        review(self.stage, self._account)

    def _repair(self, step: str) -> list[str]:
        found = declared.resources(self.stage, self._account)
        changes = [change for resource in found if step == resource.STEP for change in resource.repair()]
        for change in changes or ["nothing to change"]:
            print(f"    {change}")
        return changes


def given() -> dict[str, str]:
    """The settings in the environment that a deployment stores. It deletes an optional one that is empty."""
    found = {name: os.environ[name].strip() for name in GIVEN if name in os.environ}
    return {name: value for name, value in found.items() if value or name not in REQUIRED}


def check(stage: Stage, settings: dict[str, str], *, deploying: bool = False) -> Account:
    """Find all problems of a setup; returns the account. A deployment needs the client ID and secret, and asks."""
    stop_for(list(doctor.recipients()))
    problems = list(doctor.before(stage, settings))
    try:
        account = Account.current()
    except Stop as stop:
        stop_for([*problems, *stop.problems])
        raise
    print(f"    account {account.number} in {account.region}, as {account.identity}")
    stored = Secrets(stage, account).values()
    for name in GIVEN[:2] if deploying and sys.stdin.isatty() else ():
        if name not in stored and name not in settings:
            ask = getpass.getpass if name.endswith("SECRET") else input
            settings[name] = ask(f"    {name} from {DASHBOARD}: ").strip()
    problems += doctor.settings(stage, settings, stored, required=deploying)
    problems += doctor.account(stage, account, settings)
    stop_for(problems)
    stop_for(list(doctor.moving(stage, account, settings, stored)))
    return account


def review(stage: Stage, account: Account) -> None:
    """Find all problems of a deployment, and describe it."""
    stop_for(list(doctor.deployed(stage, account)))
    for name, value in doctor.summary(stage, account):
        print(f"    {name:12} {value}")


def stop_for(problems: Iterable[Problem]) -> None:
    """Print the notes among some problems, and raise `Stop` for the others."""
    for problem in problems:
        if not problem.stops:
            print(f"\nNote: {problem}\n")
    if serious := [problem for problem in problems if problem.stops]:
        raise Stop(*serious)


def download(url: str) -> bytes:
    """The package that is live.

    Raises:
        Stop: it could not be downloaded. Without it, the previous code could not be restored.
    """
    try:
        reply = requests.get(url, timeout=60)
        reply.raise_for_status()
    except requests.RequestException as failure:
        what = f"The live package could not be downloaded: {type(failure).__name__}."
        raise Stop(Problem(what, "Check your connection. The code and the settings are unchanged.")) from None
    return reply.content


def chalice(folder: Path, *arguments: str) -> str:
    """Run a command of Chalice, and show its output without a traceback. Returns its error; "" if it succeeded.

    It inherits the lock of this command, and so keeps it if this command is killed.
    """
    output, traceback = list[str](), False
    options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen([bundle.CHALICE, *arguments], cwd=folder, close_fds=False, **options) as process:
        for line in process.stdout or ():
            output.append(line)
            traceback = traceback or line.startswith("Traceback (most recent call last):")
            if not traceback:
                print(f"    {line}", end="", flush=True)
    if process.returncode == 0:
        return ""
    indented = [number for number, line in enumerate(output) if line.startswith(" ")]
    return "".join(output[indented[-1] + 1 :] if indented else output).strip() or "it printed no reason"


def wait_for(url: str, seconds: float = READY_SECONDS) -> None:
    """Wait until /login redirects to Spotify several times in a row.

    At first, API Gateway responds to some requests with 403, and a new role's permissions take seconds. After a
    change of the redirect URI, an instance can use the old one for `KNOWN_EVERYWHERE` seconds.

    Raises:
        Stop: /login did not redirect in time.
    """
    in_a_row, state, end = 0, "", time.monotonic() + seconds
    while in_a_row < READY:
        if time.monotonic() > end:
            what = f"{url}/login did not redirect to Spotify: {state}."
            raise Stop(Problem(what, "Check that its host name points to the API. If it does, see the log."))
        state = doctor.login_state(url)
        in_a_row = in_a_row + 1 if state == doctor.READY else 0
        time.sleep(0.5)
