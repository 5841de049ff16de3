"""`make deploy`, `make doctor`, `make rotate-key` and `make destroy`: from a clone to a live URL, and back."""

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
"""What stops a step, and is no mistake of this program."""

DASHBOARD = "https://developer.spotify.com/dashboard"


class Deployment:
    """One stage on its way to AWS: each step can be taken again."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._given = {name: os.environ[name].strip() for name in GIVEN if os.environ.get(name, "").strip()}

    @property
    def steps(self) -> dict[str, Callable[[], None]]:
        """What is done, in this order."""
        return {
            "check the set-up": self.check,
            "make the table, the log and the alarms": self.data,
            "store the secrets": self.secrets,
            "package": self.package,
            "deploy the function and its API": self.deploy,
            "limit the requests": self.throttle,
            "see that it works": self.smoke,
        }

    def check(self) -> None:
        """Find every problem before anything is made."""
        problems = list(doctor.before(self.stage, self._given))
        try:
            self.account = Account.current()
        except Stop as stop:
            raise Stop(*problems, *stop.problems) from None
        print(f"    account {self.account.number} in {self.account.region}, as {self.account.identity}")
        stored = Secrets(self.stage, self.account).read()
        self._ask({name for name in GIVEN[:2] if name not in stored and name not in self._given})
        problems += doctor.settings(self._given, stored)
        problems += doctor.in_the_way(self.stage, self.account)
        if problems:
            raise Stop(*problems)

    def _ask(self, missing: set[str]) -> None:
        for name in sorted(missing) if sys.stdin.isatty() else ():
            self._given[name] = getpass.getpass(f"    {name}, from {DASHBOARD} (not shown): ").strip()

    def data(self) -> None:
        """Make or change what outlives a deployment."""
        changes = [
            change
            for template in ("data", "watch")
            for change in Stack(self.stage, self.account, template).apply()
        ]
        print("    " + (", ".join(changes) if changes else "nothing to change"))

    def secrets(self) -> None:
        """Store what is given and is new, and make a key if there is none."""
        written = list(Secrets(self.stage, self.account).store(self._given))
        print("    " + (f"stored {', '.join(written)}" if written else "nothing to change"))

    def package(self) -> None:
        """Make what Lambda runs."""
        self._build = bundle.BUILDS / self.stage.name
        path = bundle.package(self.stage.name, self._build)
        print(f"    {path.stat().st_size:,} bytes")

    def deploy(self) -> None:
        """Run `chalice deploy`, with its record of what there is, wherever that has got to."""
        api = Api(self.stage, self.account)
        found = api.recall()
        if found:
            print(f"    there is no record of it, but AWS has: {', '.join(found)}")
        chalice("deploy", self.stage, self._build, api.record)

    def throttle(self) -> None:
        """Limit requests as the configuration says."""
        Api(self.stage, self.account).throttle(self.stage.throttling)
        for path, (rate, burst) in self.stage.throttling.items():
            print(f"    {'all together' if path == '*' else path}: {rate} a second, {burst} at once")

    def smoke(self) -> None:
        """Check it from outside, and tell what to register at Spotify."""
        url = doctor.address(Api(self.stage, self.account), Secrets(self.stage, self.account).read())
        _wait_for(url)
        if smoke.check(url):
            raise Stop(
                Problem(
                    "It is deployed, but not every row holds.",
                    f"Why, says the log: aws logs tail /aws/lambda/{self.stage.function}",
                )
            )
        print(
            f"\nDeployed: {url}/\n\nLast step, once: at {DASHBOARD}\nregister exactly this redirect URI:\n\n    {url}/callback\n"
        )


def chalice(verb: str, stage: Stage, build: Path, record: Path) -> None:
    """Run `chalice deploy` or `chalice delete` in a bundle, and keep its record.

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
        raise Stop(Problem(f"chalice {verb} failed; its own words are above.", "Mend that first."))


def _wait_for(url: str) -> None:
    """Wait until the app answers, well or not: API Gateway may need half a minute to know a new address."""
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
            f"The app does not answer at {url}/: {last}.",
            "If SPOTIFY_REDIRECT_URI is set, does its host lead to the API? Its parameter decides where the app lives.",
        )
    )


def deploy(stage: Stage) -> None:
    """Take every step; where one fails, say what is in place and how to go on."""
    steps = Deployment(stage).steps
    done: list[str] = []
    for number, (title, step) in enumerate(steps.items(), 1):
        print(f"[{number}/{len(steps)}] {title}", flush=True)
        try:
            step()
        except FAILURES as failure:
            _explain(failure)
            in_place = f"In place already: {'; '.join(done)}." if done else "Nothing has been changed."
            sys.exit(
                f"\n{in_place}\nThen run it again, it goes on from there: make deploy STAGE={stage.name}"
            )
        if number > 1:
            done.append(title)


def examine(stage: Stage) -> None:
    """Print every problem, changing nothing."""
    given = {name: os.environ[name] for name in GIVEN if os.environ.get(name)}
    problems = list(doctor.before(stage, given))
    try:
        account = Account.current()
        problems += doctor.settings(given, Secrets(stage, account).read())
        problems += doctor.in_the_way(stage, account)
        if not problems:
            problems += doctor.deployed(stage, account)
        live = Stack(stage, account, "data").status and Api(stage, account).record.exists()
    except Stop as stop:
        raise Stop(*problems, *stop.problems) from None
    if problems:
        raise Stop(*problems)
    print(
        f"{stage.name}: all is well." if live else f"{stage.name} is not deployed yet; nothing is in its way."
    )


def rotate_key(stage: Stage, *, end_sessions: bool) -> None:
    """Change the key that signs the cookies."""
    secrets = Secrets(stage, Account.current())
    if end_sessions:
        secrets.end_sessions()
        print("A new key signs and the old ones are forgotten: within five minutes everybody is logged out.")
    else:
        secrets.rotate(lambda text: print(text, flush=True))


def destroy(stage: Stage, table: str) -> None:
    """Take away what serves; and the table, when it is asked for by its name."""
    if table and table != stage.table:
        raise Stop(
            Problem(
                f"The table of {stage.name} is {stage.table}, not {table}.",
                f"TABLE={stage.table}, if you mean it.",
            )
        )
    account = Account.current()
    everything = (
        f", with the table {table} and all that is stored" if table else f"; the table {stage.table} stays"
    )
    print(f"This takes {stage.function} away from account {account.number} in {account.region}{everything}.")
    print("Its address is lost for good: the next deployment has another, to be registered at Spotify anew.")
    if sys.stdin.isatty() and input(f"Type {stage.name} to go on: ").strip() != stage.name:
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
    print(f"{stage.name} is gone" + (", with its table." if table else f"; the table {stage.table} stays."))


def _explain(failure: BaseException) -> None:
    if isinstance(failure, Stop):
        print("", *failure.problems, sep="\n- ", file=sys.stderr)
    elif isinstance(failure, KeyboardInterrupt):
        print("\nBroken off.", file=sys.stderr)
    elif isinstance(failure, subprocess.CalledProcessError):
        print(f"\n- {failure}", file=sys.stderr)
    else:
        print(f"\n- AWS refused: {failure}", file=sys.stderr)


def main() -> None:
    """Do one of them."""
    parser = argparse.ArgumentParser(prog="make")
    parser.add_argument("verb", choices=("deploy", "doctor", "rotate-key", "destroy"))
    parser.add_argument("stage")
    parser.add_argument("--table", default="", help="the users table, to be deleted as well")
    parser.add_argument("--end-sessions", default="", help="anything: log everybody out")
    options = parser.parse_args()
    try:
        stage = Stage.load(options.stage)
        if options.verb == "deploy":
            deploy(stage)
        elif options.verb == "doctor":
            examine(stage)
        elif options.verb == "rotate-key":
            rotate_key(stage, end_sessions=bool(options.end_sessions))
        else:
            destroy(stage, options.table)
    except FAILURES as failure:
        _explain(failure)
        sys.exit(f"\nWhen that is mended: make {options.verb} STAGE={options.stage}")


if __name__ == "__main__":
    main()
