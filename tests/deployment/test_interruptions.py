"""Deployments that are killed, or refused a call by AWS, at any moment. Visitors can log in after each.

`make test-all` tries a few calls; `make interruptions` tries every call.
"""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Iterator

import pytest

from deploy import declared
from deploy.account import Account
from deploy.live import Function
from deploy.stage import Stage
from tests.support.deployment import ALIAS, FUNCTION, ROLE, UNSET, Emulator, steps
from tests.support.servers import python, running

STEPS = ("check", "data", "live", "settings")
"""The steps that change AWS."""


@pytest.fixture(scope="module")
def aws(account: Emulator) -> Emulator:
    """An account with a deployment that keeps access."""
    account.edit({"TOKENS_KMS_ALIAS": ALIAS})
    done = account.steps("check", "data", "package", "live", "settings")
    assert done.returncode == 0, done.stdout
    return account


@pytest.fixture(scope="module")
def calls(aws: Emulator) -> int:
    """The number of calls of a deployment that repairs what `damage` does."""
    damage(aws)
    user = aws.user_denied("emulator:Refuse")
    done = aws.steps(*STEPS, **user, **UNSET)
    assert done.returncode == 0, done.stdout
    return len(aws.called(user))


def damage(aws: Emulator) -> None:
    """Change what a deployment repairs and no visitor notices, so that it has something to do at each step."""
    aws.client("cloudwatch").delete_alarms(AlarmNames=[f"{FUNCTION}-5xx"])
    aws.client("logs").put_retention_policy(logGroupName=f"/aws/lambda/{FUNCTION}", retentionInDays=1)
    aws.client("iam").untag_role(RoleName=ROLE, TagKeys=["stage"])
    aws.client("lambda").update_function_configuration(FunctionName=FUNCTION, MemorySize=256)
    slow = {"op": "replace", "path": "/*/*/throttling/rateLimit", "value": "900"}
    aws.client("apigateway").update_stage(restApiId=aws.api, stageName="api", patchOperations=[slow])


def moments(calls: int, request: pytest.FixtureRequest) -> Iterator[int]:
    every = request.config.getoption("--every-call")
    yield from range(1, calls + 1) if every else (calls // 4, calls // 2, 3 * calls // 4)


def assert_complete(aws: Emulator, here: Account) -> None:
    """One more deployment repairs everything, with one API."""
    done = aws.steps(*STEPS, **UNSET)
    assert done.returncode == 0, done.stdout
    stage = Stage.load("dev", aws.checkout)
    faults = [fault for resource in declared.resources(stage, here) for fault in resource.faults().values()]
    assert (faults, Function(stage, here).check(), aws.resources()["api"]) == ([], {}, [aws.api])


def test_a_killed_deployment_leaves_visitors_as_they_were_and_can_be_repeated(
    aws: Emulator, here: Account, calls: int, request: pytest.FixtureRequest
) -> None:
    for moment in moments(calls, request):
        damage(aws)
        user = aws.user_denied("emulator:Refuse")
        with running(steps(*STEPS), {**aws.terminal, **user}, aws.checkout) as deploying:
            aws.interrupt(user, moment, deploying.pid)
            deploying.wait()  # its Chalice, too
        assert aws.visitor().log_in("premium").status == 307, f"killed at call {moment}"
    assert_complete(aws, here)


def test_a_deployment_that_is_refused_a_call_leaves_visitors_as_they_were_and_can_be_repeated(
    aws: Emulator, here: Account, calls: int, request: pytest.FixtureRequest
) -> None:
    for moment in moments(calls, request):
        damage(aws)
        user = aws.user_denied("emulator:Refuse")
        aws.interrupt(user, moment)
        done = aws.steps(*STEPS, **user, **UNSET)
        assert done.returncode == 1, f"refused call {moment}: {done.stdout}"
        assert aws.visitor().log_in("premium").status == 307, f"refused call {moment}"
    assert_complete(aws, here)


def test_no_deployment_runs_beside_a_chalice_whose_deployment_was_killed(
    aws: Emulator, here: Account
) -> None:
    command = python("-m", "deploy", "deploy", "dev")
    with running(command, aws.terminal, aws.checkout) as deploying:
        deploying.wait_for("Creating deployment package")
        os.kill(deploying.pid, signal.SIGKILL)
        with (aws.checkout / ".package" / "dev.lock").open("w") as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        deploying.wait()  # Chalice cannot print any more, and ends
    assert_complete(aws, here)
