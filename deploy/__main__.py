"""`make deploy`, `make doctor`, `make rotate-key` and `make destroy`."""

from __future__ import annotations

import argparse
import getpass
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import requests
from botocore.exceptions import BotoCoreError, ClientError

from deploy import bundle, doctor, smoke
from deploy import table as users_table
from deploy.account import Account
from deploy.api import Api
from deploy.secrets import GIVEN, Secrets
from deploy.stack import Stack
from deploy.stage import Problem, Stage, Stop

FAILURES = (Stop, ClientError, BotoCoreError, subprocess.CalledProcessError, KeyboardInterrupt)
"""Exceptions that stop a command without being a bug of it."""

DASHBOARD = "https://developer.spotify.com/dashboard"


class Deployment:
    """The deployment of a stage, in steps that can be repeated."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._given = {name: os.environ[name].strip() for name in GIVEN if os.environ.get(name, "").strip()}

    @property
    def steps(self) -> dict[str, Callable[[], None]]:
        """The steps in their order, by their titles."""
        return {
            "check the setup": self.check,
            "create the table, the log and the alarms": self.data,
            "store the secrets": self.secrets,
            "build the package": self.package,
            "deploy the function and its API": self.deploy,
            "limit the request rate": self.throttle,
            "test the deployment": self.smoke,
        }

    def check(self) -> None:
        """Find all problems before anything is changed."""
        problems = list(doctor.before(self.stage, self._given))
        try:
            self.account = Account.current()
        except Stop as stop:
            raise Stop(*problems, *stop.problems) from None
        print(f"    account {self.account.number} in {self.account.region}, as {self.account.identity}")
        stored = Secrets(self.stage, self.account).read()
        self._ask({name for name in GIVEN[:2] if name not in stored and name not in self._given})
        problems += doctor.settings(self.stage, self._given, stored)
        problems += doctor.in_the_way(self.stage, self.account)
        if problems:
            raise Stop(*problems)

    def _ask(self, missing: set[str]) -> None:
        for name in sorted(missing) if sys.stdin.isatty() else ():
            self._given[name] = getpass.getpass(
                f"    {name} from {DASHBOARD} (hidden while you type): "
            ).strip()

    def data(self) -> None:
        """Create or update the stacks."""
        changes = [
            change
            for template in ("data", "watch")
            for change in Stack(self.stage, self.account, template).apply()
        ]
        print("    " + (", ".join(changes) if changes else "nothing to change"))

    def secrets(self) -> None:
        """Store new and changed settings, and create a key if there is none."""
        written = list(Secrets(self.stage, self.account).store(self._given))
        print("    " + (f"stored {', '.join(written)}" if written else "nothing to change"))

    def package(self) -> None:
        """Build the zip that Lambda runs."""
        self._build = bundle.BUILDS / self.stage.name
        path = bundle.package(self.stage.name, self._build)
        print(f"    {path.stat().st_size:,} bytes")

    def deploy(self) -> None:
        """Run `chalice deploy`; rebuild its record first, if that is missing."""
        api = Api(self.stage, self.account)
        found = api.recall()
        if found:
            print(f"    there is no record of this deployment; found in AWS: {', '.join(found)}")
        chalice("deploy", self.stage, self._build, api.record)

    def throttle(self) -> None:
        """Set the request limits of .chalice/config.json."""
        Api(self.stage, self.account).throttle(self.stage.throttling)
        for path, (rate, burst) in self.stage.throttling.items():
            print(f"    {'all requests' if path == '*' else path}: {rate} per second, bursts of {burst}")

    def smoke(self) -> None:
        """Check the deployment from outside, and print the redirect URI to register at Spotify."""
        url = doctor.address(Api(self.stage, self.account), Secrets(self.stage, self.account).read())
        _wait_for(url)
        if smoke.check(url):
            log = f"aws logs tail /aws/lambda/{self.stage.function}"
            raise Stop(Problem("The app is deployed, but some checks failed.", "See the log:", log))
        print(
            f"\nDeployed: {url}/\n\nAfter the first deployment, register exactly this redirect URI"
            f"\nat {DASHBOARD}:\n\n    {url}/callback\n"
        )


def chalice(verb: str, stage: Stage, build: Path, record: Path) -> None:
    """Run `chalice deploy` or `chalice delete` in a bundle, and save its record.

    Raises:
        Stop: it failed.
    """
    there = build / ".chalice" / "deployed" / record.name
    there.parent.mkdir(parents=True, exist_ok=True)
    if record.exists():
        shutil.copy(record, there)
    command = [str(Path(sys.executable).with_name("chalice")), verb, "--stage", stage.name]
    status = subprocess.run(command, cwd=build, check=False).returncode
    if there.exists():
        record.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(there, record)
    if status:
        raise Stop(Problem(f"chalice {verb} failed.", "See its output above."))


def _wait_for(url: str) -> None:
    """Wait until the app responds, with any status. API Gateway can take half a minute to serve a new URL."""
    last = ""
    for _ in range(20):
        try:
            reply = requests.get(f"{url}/", timeout=30)
            if reply.status_code not in {requests.codes.forbidden, requests.codes.not_found}:
                return
            last = f"status {reply.status_code}"
        except requests.RequestException as failure:
            last = type(failure).__name__
        time.sleep(2)
    raise Stop(
        Problem(
            f"The app did not respond at {url}/: {last}.",
            "If SPOTIFY_REDIRECT_URI is set, its host name must point to the API.",
        )
    )


def deploy(stage: Stage) -> None:
    """Run all steps. If one fails, print what failed, the completed steps and how to continue."""
    steps = Deployment(stage).steps
    done: list[str] = []
    for number, (title, step) in enumerate(steps.items(), 1):
        print(f"[{number}/{len(steps)}] {title}", flush=True)
        try:
            step()
        except FAILURES as failure:
            lead, titles = _explain(failure), "; ".join(done) or "none"
            state = f"Completed steps: {titles}." if number > 1 else "Nothing has been changed."
            sys.exit(f"\n{state}\n{lead}\n    make deploy STAGE={stage.name}")
        if number > 1:
            done.append(title)


def examine(stage: Stage) -> None:
    """Print all problems. Changes nothing."""
    given = {name: os.environ[name] for name in GIVEN if os.environ.get(name)}
    problems = list(doctor.before(stage, given))
    try:
        account = Account.current()
        problems += doctor.settings(stage, given, Secrets(stage, account).read())
        problems += doctor.in_the_way(stage, account)
        if not problems:
            problems += doctor.deployed(stage, account)
        live = Stack(stage, account, "data").status and Api(stage, account).record.exists()
    except Stop as stop:
        raise Stop(*problems, *stop.problems) from None
    if problems:
        raise Stop(*problems)
    print(f"{stage.name} is {'deployed' if live else 'not deployed yet'}. No problems found.")


def rotate_key(stage: Stage, *, end_sessions: bool) -> None:
    """Replace the key that signs the cookies."""
    secrets = Secrets(stage, Account.current())
    if end_sessions:
        secrets.end_sessions()
        print("The old keys are deleted, and a new one signs. All users are logged out within five minutes.")
    else:
        secrets.rotate(lambda text: print(text, flush=True))


def destroy(stage: Stage, table: str) -> None:
    """Delete a deployment, and the users table too if its name is given."""
    if table and table != stage.table:
        command = f"make destroy STAGE={stage.name} TABLE={stage.table}"
        sys.exit(
            f"The table of {stage.name} is {stage.table}, not {table}.\nTo delete it too, run:\n    {command}"
        )
    account = Account.current()
    fate = f"The table {stage.table} is {'deleted too, with all its items' if table else 'kept'}."
    print(f"This deletes {stage.function} from account {account.number} in {account.region}. {fate}")
    print("The API's URL is lost. The next deployment gets another one, which you must register at Spotify.")
    if sys.stdin.isatty() and input(f"Type {stage.name} to continue: ").strip() != stage.name:
        sys.exit("Nothing has been changed.")
    api = Api(stage, account)
    api.recall()
    build = bundle.BUILDS / stage.name
    bundle.bundle(stage.name, build)
    chalice("delete", stage, build, api.record)
    api.record.unlink(missing_ok=True)
    Secrets(stage, account).delete_all()
    Stack(stage, account, "watch").delete()
    if table:
        Stack(stage, account, "data").delete()
        users_table.delete(stage, account)
    print(f"{stage.name} is deleted. {fate}")


def _explain(failure: BaseException) -> str:
    """Print what failed; returns the line to print above the command that continues."""
    if isinstance(failure, KeyboardInterrupt):
        print("\nInterrupted.", file=sys.stderr)
        return "To continue, run:"
    aws = "A call to AWS failed: " if isinstance(failure, ClientError | BotoCoreError) else ""
    problems = failure.problems if isinstance(failure, Stop) else (f"{aws}{failure}",)
    print("", *problems, sep="\n- ", file=sys.stderr)
    return "Fix this, then run:"


def main() -> None:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(prog="make")
    parser.add_argument("verb", choices=("deploy", "doctor", "rotate-key", "destroy"))
    parser.add_argument("stage")
    parser.add_argument("--table", default="", help="the name of the users table, to delete it too")
    parser.add_argument("--end-sessions", default="", help="any value: log out all users")
    options = parser.parse_args()
    more = f" TABLE={options.table}" if options.table else ""
    more += " END_SESSIONS=yes" if options.end_sessions else ""
    try:
        stage = Stage.load(options.stage)
    except Stop as stop:
        sys.exit("\n".join(map(str, stop.problems)))
    try:
        if options.verb == "deploy":
            deploy(stage)
        elif options.verb == "doctor":
            examine(stage)
        elif options.verb == "rotate-key":
            rotate_key(stage, end_sessions=bool(options.end_sessions))
        else:
            destroy(stage, options.table)
    except FAILURES as failure:
        sys.exit(f"\n{_explain(failure)}\n    make {options.verb} STAGE={stage.name}{more}")


if __name__ == "__main__":
    main()
