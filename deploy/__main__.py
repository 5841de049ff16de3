"""The commands `make deploy`, `make doctor`, `make rotate-key` and `make destroy`.

`chalice deploy` deploys the function and its API. It does not create the table, the secrets, the log group, the alarms
or the request limits, and it does not check the result.
"""

from __future__ import annotations

import argparse
import fcntl
import getpass
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from deploy import PROJECT, bundle, doctor
from deploy.account import Account
from deploy.key import Key
from deploy.monitoring import Monitoring
from deploy.resources import Resources
from deploy.secrets import GIVEN, Secrets
from deploy.spotify import DASHBOARD
from deploy.stage import Problem, Stage, Stop
from deploy.table import Table

FAILURES = (Stop, ClientError, BotoCoreError, KeyboardInterrupt, EOFError)
"""Exceptions that are not bugs in a command."""

RECORDS = PROJECT / ".chalice" / "deployed"
"""The folder of Chalice's records of the resources it created, one file for each stage."""

READY, READY_SECONDS = 5, 120.0
"""Consecutive redirects that mean ready, and the maximum wait in seconds."""


class Deployment:
    """The deployment of a stage, in steps that can be repeated."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._build = bundle.BUILDS / stage.name
        self.steps: dict[str, Callable[[], object]] = {
            "check the setup": self.check,
            f"create the table, {'the key, ' if stage.alias else ''}the log and the alarms": self.data,
            "store the secrets": self.secrets,
            "build the package": self.package,
            "deploy the function and its API": self.deploy,
            "limit the request rate": self.throttle,
            "test the deployment": self.test,
        }

    def check(self) -> None:
        """Find all problems before anything is changed."""
        self._given = given()
        self.account = check(self.stage, self._given, deploying=True)
        self._resources = Resources(self.stage, self.account)

    def data(self) -> None:
        """Create or repair the table, the key, the log group and the alarms."""
        table, key = Table(self.stage, self.account), Key(self.stage, self.account)
        monitoring = Monitoring(self.stage, self.account)
        changes = [*table.faults(), *key.faults(), *monitoring.faults()]
        table.create()
        is_new = key.create()
        monitoring.create()
        for change in changes or ["nothing to change"]:
            print(
                f"    {change}" + ("; created" if change.endswith("exist") else "; fixed" if changes else "")
            )
        if is_new:
            print("    AWS can take up to five minutes to let the function use the key.")
            print("    Until then, users can log in, but their access is not kept.")

    def secrets(self) -> None:
        """Store new and changed settings, and create a key if there is none."""
        written = list(Secrets(self.stage, self.account).store(self._given))
        print("    " + (f"stored {', '.join(written)}" if written else "nothing to change"))

    def package(self) -> None:
        """Build the zip that Lambda runs."""
        path = bundle.package(self.stage.name, self._build)
        print(f"    {path.stat().st_size:,} bytes")

    def deploy(self) -> None:
        """Run `chalice deploy`, reusing an existing API. Keep its record for plain `chalice deploy`."""
        self._resources.claim_role()
        record = self._build / ".chalice" / "deployed" / f"{self.stage.name}.json"
        self._resources.write_record(record)
        bundle.run([bundle.CHALICE, "deploy", "--stage", self.stage.name], cwd=self._build)
        RECORDS.mkdir(parents=True, exist_ok=True)
        shutil.copy(record, RECORDS)

    def throttle(self) -> None:
        """Set the request limits of .chalice/config.json."""
        self._resources.throttle()
        print("    {:g} requests per second, bursts of {}".format(*self.stage.throttling))

    def test(self) -> None:
        """Check the deployment from outside and in AWS, and describe it."""
        url = doctor.address(self._resources, Secrets(self.stage, self.account).read())
        wait_for(url)
        command = [sys.executable, "-m", "pytest", "-c", "deploy/smoke.ini", "deploy/smoke.py"]
        site = {"SMOKE_URL": url, "SMOKE_RATE": str(self.stage.throttling[0] / 2)}
        if subprocess.run(command, cwd=PROJECT, env={**os.environ, **site}, check=False).returncode:
            log = f"aws logs tail /aws/lambda/{self.stage.function} --since 10m"
            raise Stop(
                Problem("The app is deployed, but some checks failed.", "See above, and the log:", log)
            )
        print(f"\nDeployed: {url}/\n")
        review(self.stage, self.account)


def deploy(stage: Stage) -> None:
    """Run all steps. If one fails, print which are complete."""
    steps, done = Deployment(stage).steps, list[str]()
    for number, (title, step) in enumerate(steps.items(), 1):
        print(f"[{number}/{len(steps)}] {title}", flush=True)
        try:
            step()
        except FAILURES:
            print(
                f"\nCompleted steps: {'; '.join(done)}." if done else "\nNothing has been changed.",
                flush=True,
            )
            raise
        done.append(title)


def examine(stage: Stage) -> None:
    """Print all problems, and a summary of a live deployment. Changes nothing."""
    account = check(stage, given())
    live = Resources(stage, account).existing()
    if live:
        review(stage, account)
    print(f"{stage.name} is {'deployed' if live else 'not deployed yet'}. No problems found.")


def given() -> dict[str, str]:
    """The settings in the environment that a deployment stores."""
    return {name: os.environ[name].strip() for name in GIVEN if os.environ.get(name, "").strip()}


def check(stage: Stage, settings: dict[str, str], *, deploying: bool = False) -> Account:
    """Find all problems of a setup; returns the account. A deployment needs the client ID and secret, and asks."""
    problems = list(doctor.before(stage, settings))
    try:
        account = Account.current()
    except Stop as stop:
        stop_for([*problems, *stop.problems])
        raise
    print(f"    account {account.number} in {account.region}, as {account.identity}")
    stored = Secrets(stage, account).read()
    for name in GIVEN[:2] if deploying and sys.stdin.isatty() else ():
        if name not in stored and name not in settings:
            ask = getpass.getpass if name.endswith("SECRET") else input
            settings[name] = ask(f"    {name} from {DASHBOARD}: ").strip()
    problems += doctor.settings(stage, settings, stored, required=deploying)
    stop_for([*problems, *doctor.account(stage, account, settings)])
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


def wait_for(url: str, seconds: float = READY_SECONDS) -> None:
    """Wait until /login redirects several times in a row.

    At first, API Gateway responds to some requests with 403, and a new role's permissions take seconds.

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


def rotate_key(stage: Stage, *, end_sessions: bool) -> None:
    """Replace the key that signs the cookies."""
    account = Account.current()
    print(f"    account {account.number} in {account.region}", flush=True)
    secrets = Secrets(stage, account)
    if end_sessions:
        secrets.end_sessions()
        print("All keys are replaced. All users are logged out within about six minutes.")
    else:
        secrets.rotate(lambda text: print(text, flush=True))


def destroy(stage: Stage, table: str) -> None:
    """Delete a deployment; the users table and its key too if the table is named. Can be repeated after a failure."""
    again = f"make destroy STAGE={stage.name} TABLE={stage.table}"
    if table not in {"", stage.table}:
        sys.exit(
            str(
                Problem(
                    f"The table of {stage.name} is {stage.table}, not {table}.", "To delete it, run:", again
                )
            )
        )
    account = Account.current()
    # The API first: while a custom domain uses it, it cannot be deleted, and then nothing is.
    parts: list[Any] = [Resources(stage, account), Secrets(stage, account), Monitoring(stage, account)]
    parts += [Table(stage, account), Key(stage, account)] if table else []
    found = [what for part in parts for what in part.existing()]
    if not found:
        sys.exit(
            f"{stage.name} is not deployed in {account.region} (account {account.number}). Nothing has been changed."
        )
    print(f"This deletes from account {account.number} in {account.region}:", *found, sep="\n- ")
    print(
        "Without a custom domain, the next deployment gets another URL, which you must register at Spotify."
    )
    if sys.stdin.isatty() and input(f"Type {stage.name} to continue: ").strip() != stage.name:
        sys.exit("Nothing has been changed.")
    for part in parts:
        part.delete()
    (RECORDS / f"{stage.name}.json").unlink(missing_ok=True)
    kept = (
        "The users table and its key are kept. To delete them"
        if stage.alias
        else "The users table is kept. To delete it"
    )
    print(f"{stage.name} is deleted." + ("" if table else f" {kept}, run:\n    {again}"))


@contextmanager
def locked(stage: Stage) -> Iterator[None]:
    """Allow one command at a time to change a stage from this checkout."""
    bundle.BUILDS.mkdir(exist_ok=True)
    with (bundle.BUILDS / f"{stage.name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            what = f"Another command is changing {stage.name} from this checkout."
            raise Stop(Problem(what, "Wait for it to finish.")) from None
        yield


def main() -> None:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(prog="make")
    parser.add_argument("verb", choices=("deploy", "doctor", "rotate-key", "destroy"))
    parser.add_argument("stage")
    parser.add_argument("--table", default="", help="the name of the users table, to delete it too")
    parser.add_argument("--end-sessions", default="", help="yes: log out all users")
    options = parser.parse_args()
    again = f"make {options.verb} STAGE={options.stage}"
    again += f" TABLE={options.table}" if options.table else ""
    again += f" END_SESSIONS={options.end_sessions}" if options.end_sessions else ""
    if options.end_sessions not in {"", "yes"}:
        sys.exit(
            f"END_SESSIONS is {options.end_sessions}, but it must be yes, to log out all users, or unset."
        )
    try:
        stage = Stage.load(options.stage)
    except Stop as stop:
        sys.exit("\n".join(map(str, stop.problems)))
    try:
        if options.verb == "doctor":
            return examine(stage)
        with locked(stage):
            if options.verb == "deploy":
                deploy(stage)
            elif options.verb == "rotate-key":
                rotate_key(stage, end_sessions=bool(options.end_sessions))
            else:
                destroy(stage, options.table)
    except (KeyboardInterrupt, EOFError):
        sys.exit(f"\nInterrupted. To continue, run:\n    {again}")
    except Stop as stop:
        sys.exit("\n- ".join(["", *map(str, stop.problems)]) + f"\n\nFix this, then run:\n    {again}")
    except FAILURES as failure:
        sys.exit(f"\n- A call to AWS failed: {failure}\n\nFix this, then run:\n    {again}")


if __name__ == "__main__":
    main()
