"""The commands `make deploy`, `make doctor`, `make rotate-key` and `make destroy`."""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

from deploy import bundle, declared
from deploy.account import Account
from deploy.deployment import RECORDS, Deployment, check, given, review
from deploy.live import Function
from deploy.secrets import Secrets
from deploy.stage import Problem, Stage, Stop

FAILURES = (Stop, ClientError, BotoCoreError, KeyboardInterrupt, EOFError)
"""Exceptions that are not bugs in a command."""


def deploy(stage: Stage) -> None:
    """Run all steps. If one fails, print which are complete, and whether users notice anything."""
    steps, done = Deployment(stage).steps, list[str]()
    for number, (title, step) in enumerate(steps.items(), 1):
        print(f"[{number}/{len(steps)}] {title}", flush=True)
        try:
            step()
        except FAILURES:
            complete = f"Completed steps: {'; '.join(done)}." if done else "Nothing has been changed."
            print(f"\n{complete}", flush=True)
            if 0 < len(done) < Deployment.UNNOTICED:
                print("Users notice nothing: the code and the settings are those from before.", flush=True)
            raise
        done.append(title)


def examine(stage: Stage) -> None:
    """Print all problems, and a summary of a live deployment or what remains of one. Changes nothing."""
    account = check(stage, given())
    live = Function(stage, account).describe()
    if live:
        review(stage, account)
    else:
        found = [what for resource in declared.resources(stage, account) for what in resource.existing()]
        for what in found:
            print(f"    remains: {what.partition(', after')[0]}")
        if any(what.startswith("Key ") for what in found):
            print("    The key costs 1 USD a month.")
    print(f"{stage.name} is {'deployed' if live else 'not deployed'}. No problems found.")


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


def destroy(stage: Stage, table: str, confirmed: str) -> None:
    """Delete a deployment; the users table and its key too if the table is named. Can be repeated after a failure.

    It asks in a terminal; elsewhere, `confirmed` must be the name of the stage.
    """
    again = f"make destroy STAGE={stage.name} TABLE={stage.table}"
    if table not in {"", stage.table}:
        what = f"The table of {stage.name} is {stage.table}, not {table}."
        sys.exit(str(Problem(what, "To delete it, run:", again)))
    account = Account.current()
    doomed = [one for one in reversed(declared.resources(stage, account)) if table or not one.SURVIVES]
    found = [what for resource in doomed for what in resource.existing()]
    if not found:
        sys.exit(
            f"{stage.name} is not deployed in {account.region} (account {account.number}). Nothing has been changed."
        )
    print(f"This deletes from account {account.number} in {account.region}:", *found, sep="\n- ")
    print(
        "Without a custom domain, the next deployment gets another URL, which you must register at Spotify."
    )
    if not confirmed and sys.stdin.isatty():
        confirmed = input(f"Type {stage.name} to continue: ").strip()
    if confirmed != stage.name:
        sys.exit(f"Nothing has been changed. Without a terminal, confirm it with CONFIRM={stage.name}.")
    for resource in doomed:
        resource.delete()
    (RECORDS / f"{stage.name}.json").unlink(missing_ok=True)
    kept = "table and its key are kept. To delete them" if stage.alias else "table is kept. To delete it"
    print(f"{stage.name} is deleted." + ("" if table else f" The users {kept}, run:\n    {again}"))


@contextmanager
def locked(stage: Stage) -> Iterator[None]:
    """Allow one command at a time to change a stage from this checkout. Chalice inherits the lock."""
    bundle.BUILDS.mkdir(exist_ok=True)
    with (bundle.BUILDS / f"{stage.name}.lock").open("w") as file:
        os.set_inheritable(file.fileno(), True)  # noqa: FBT003 - os's signature
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
    parser.add_argument("--confirm", default="", help="the stage to destroy, instead of a terminal's answer")
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
                destroy(stage, options.table, options.confirm)
    except (KeyboardInterrupt, EOFError):
        sys.exit(f"\nInterrupted. To continue, run:\n    {again}")
    except Stop as stop:
        sys.exit("\n- ".join(["", *map(str, stop.problems)]) + f"\n\nFix this, then run:\n    {again}")
    except FAILURES as failure:
        sys.exit(f"\n- A call to AWS failed: {failure}\n\nFix this, then run:\n    {again}")


if __name__ == "__main__":
    main()
