"""A failed deployment prints what failed, why and the completed steps; the next run continues."""

from __future__ import annotations

import signal

import pytest
from flask import Flask, redirect
from werkzeug import Response

from deploy.__main__ import READY, wait_for
from deploy.stage import Stop
from simulator.loopback import serve
from tests.support.deployment import Emulator
from tests.support.servers import python, running

STEPS = (
    "check the setup",
    "create the table, the log and the alarms",
    "store the secrets",
    "build the package",
    "deploy the function and its API",
    "limit the request rate",
)


ANOTHER_APP = Flask("another app")


@ANOTHER_APP.route("/login")
def hello() -> Response:
    return redirect("https://login.example/", 307)


def test_after_any_failure_the_next_run_continues(account: Emulator) -> None:
    denied = [
        ("dynamodb:DescribeTable", "*", "A call to AWS failed: ", 0),
        ("cloudwatch:PutMetricAlarm", "*", "A call to AWS failed: ", 1),
        ("ssm:PutParameter", "*", "A call to AWS failed: ", 2),
        ("lambda:CreateFunction", "*", "`chalice deploy --stage` failed.", 4),
        ("lambda:AddPermission", "*", "`chalice deploy --stage` failed.", 4),
        ("apigateway:PATCH", "arn:aws:apigateway:*::/restapis/*/stages/*", "A call to AWS failed: ", 5),
    ]
    for action, resource, message, completed in denied:
        failed = account.deploy("deploy", "dev", **account.user_denied(action, resource))
        assert failed.returncode == 1, failed.stdout
        assert message in failed.stdout, action
        steps = (
            f"Completed steps: {'; '.join(STEPS[:completed])}." if completed else "Nothing has been changed."
        )
        assert steps in failed.stdout, (action, failed.stdout)
        assert failed.stdout.endswith("Fix this, then run:\n    make deploy STAGE=dev\n")
    elsewhere = account.deploy("deploy", "dev", SPOTIFY_REDIRECT_URI=f"{serve(ANOTHER_APP)}/callback")
    assert elsewhere.returncode == 1
    assert "The app is deployed, but some checks failed." in elsewhere.stdout
    assert f"Completed steps: {'; '.join(STEPS)}." in elsewhere.stdout
    done = account.deploy("deploy", "dev")
    assert done.returncode == 0, done.stdout
    assert [api["id"] for api in account.client("apigateway").get_rest_apis()["items"]] == ["api1"]
    assert account.visitor().log_in("premium").status == 307


def test_if_packaging_fails_nothing_is_published(account: Emulator) -> None:
    app = account.checkout / "app.py"
    app.write_text(app.read_text() + "\nimport no_such_module\n")
    failed = account.deploy("deploy", "dev")
    assert failed.returncode == 1
    assert f"Completed steps: {'; '.join(STEPS[:3])}." in failed.stdout
    assert "- `chalice package --stage` failed.\n    See its output above.\n" in failed.stdout
    assert account.client("lambda").list_functions()["Functions"] == []


def test_two_deployments_in_one_checkout_do_not_run_at_once(account: Emulator) -> None:
    with running(python("-m", "deploy", "deploy", "dev"), account.terminal, account.checkout) as deploying:
        deploying.wait_for(r"\[1/7\]")
        for verb in ("deploy", "destroy", "rotate-key"):
            failed = account.deploy(verb, "dev")
            assert failed.returncode == 1
            assert (
                "- Another command is changing dev from this checkout.\n    Wait for it to finish.\n"
                in failed.stdout
            )
        deploying.wait_for(r"\[7/7\]")
        assert deploying.wait() == 0


def test_a_deployment_adopts_what_plain_chalice_deploy_created(account: Emulator) -> None:
    plain = account.chalice("deploy", "--stage", "dev")
    assert plain.returncode == 0, plain.stdout
    assert account.resources()["table"] == account.resources()["parameter"] == []
    account.record.unlink()
    adopted = account.deploy("deploy", "dev")
    assert adopted.returncode == 0, adopted.stdout
    assert account.resources()["api"] == ["api1"]
    assert account.visitor().log_in("premium").status == 307


def test_a_deployment_that_was_killed_ten_times_has_one_api(account: Emulator) -> None:
    moments = (
        r"\[2/7\]",
        "does not exist; created",
        r"\[4/7\]",
        "bytes",
        "Creating deployment package",
        "Creating lambda function",
        "Creating [Rr]est API",
        "Resources deployed",
        r"\[7/7\]",
        "test session starts",
    )
    for moment in moments:
        with running(
            python("-m", "deploy", "deploy", "dev"), account.terminal, account.checkout
        ) as deploying:
            deploying.wait_for(moment.replace("Creating", "(Creating|Updating)"))
            deploying.end(signal.SIGKILL)
    done = account.deploy("deploy", "dev")
    assert done.returncode == 0, done.stdout
    assert account.resources()["api"] == ["api1"]
    assert account.visitor().log_in("premium").status == 307


def test_a_deployment_waits_for_several_redirects_in_a_row() -> None:
    flaky = Flask("flaky")
    statuses = iter([403, 500, 307, 307, 403, *[307] * READY])
    seen: list[int] = []

    @flaky.route("/login")
    def login() -> tuple[str, int]:
        seen.append(next(statuses))
        return "", seen[-1]

    wait_for(serve(flaky))
    assert seen == [403, 500, 307, 307, 403, *[307] * READY]


def test_a_deployment_that_never_redirects_is_reported_with_the_last_response() -> None:
    with pytest.raises(Stop) as stop:
        wait_for(serve(Flask("empty")), seconds=1.0)
    assert "/login did not redirect to Spotify: status 404." in stop.value.problems[0].what
