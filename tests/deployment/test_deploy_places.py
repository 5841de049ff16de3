"""Plain Chalice, another region, another app in one account, and a failed destroy that is repeated."""

from __future__ import annotations

import pytest

from tests.support.deployment import FUNCTION, REGION, ROLE, TABLE, Emulator

STEPS = ("check", "data", "package", "live", "settings")
"""All steps of a deployment but the test at its end."""


@pytest.fixture(scope="module")
def aws(account: Emulator) -> Emulator:
    """An account with the deployed app, which each test leaves as it was; the last one destroys it."""
    plain = account.chalice("deploy", "--stage", "dev")
    assert plain.returncode == 0, plain.stdout
    assert not {"table", "parameter"} & {*account.resources()}
    account.record.unlink()
    adopted = account.steps(*STEPS)
    assert adopted.returncode == 0, adopted.stdout
    return account


def assert_in_use(aws: Emulator) -> None:
    assert aws.resources()["api"] == [aws.api]
    assert aws.visitor().log_in("premium").status == 307


def test_a_deployment_adopts_what_plain_chalice_deploy_created(aws: Emulator) -> None:
    assert_in_use(aws)


def test_plain_chalice_deploy_updates_a_deployment(aws: Emulator) -> None:
    functions = aws.client("lambda")
    before = functions.get_function_configuration(FunctionName=FUNCTION)["CodeSha256"]
    done = aws.chalice("deploy", "--stage", "dev")
    assert done.returncode == 0, done.stdout
    after = functions.get_function_configuration(FunctionName=FUNCTION)["CodeSha256"]
    assert after != before, "it packages wheels, without bytecode and botocore"
    assert_in_use(aws)
    found = aws.deploy("doctor", "dev")
    assert found.returncode == 0, found.stdout
    assert "    access " not in found.stdout


def test_a_command_in_the_wrong_region_changes_nothing_in_the_right_one(aws: Emulator) -> None:
    before = aws.resources()
    failed = aws.deploy(
        "destroy", "dev", "--confirm", "dev", "--table", TABLE, AWS_DEFAULT_REGION="us-east-1"
    )
    assert failed.returncode == 1
    nothing = "dev is not deployed in us-east-1 (account 000000000000). Nothing has been changed.\n"
    assert nothing in failed.stdout
    elsewhere = aws.deploy("deploy", "dev", AWS_DEFAULT_REGION="us-east-1")
    assert elsewhere.returncode == 1
    assert f"Role {ROLE} belongs to {REGION}, and IAM roles are global." in elsewhere.stdout
    assert "Nothing has been changed." in elsewhere.stdout
    assert aws.resources() == before
    assert_in_use(aws)


def test_a_role_that_two_regions_share_is_kept_while_the_other_region_uses_it(aws: Emulator) -> None:
    (function,) = aws.client("lambda").list_functions()["Functions"]
    aws.client("lambda", region="us-east-1").create_function(
        FunctionName=FUNCTION,
        Role=function["Role"],
        Runtime="python3.11",
        Handler="app.app",
        Code={"ZipFile": (aws.checkout / ".package" / "dev" / "out" / "deployment.zip").read_bytes()},
    )
    done = aws.deploy("destroy", "dev", "--confirm", "dev", AWS_DEFAULT_REGION="us-east-1")
    assert done.returncode == 0, done.stdout
    assert "function" not in aws.resources("us-east-1")
    assert aws.resources()["role"] == [ROLE]
    assert_in_use(aws)


def rename(aws: Emulator, before: str, after: str) -> None:
    """Do what docs/operations.md says: change one file, then run `make policies`."""
    config = aws.checkout / ".chalice" / "config.json"
    config.write_text(config.read_text().replace(before, after))
    written = aws.run("-m", "deploy.policies").stdout
    assert written.splitlines() == [
        ".chalice/policy-dev.json",
        ".chalice/policy-prod.json",
        "deploy/deployer-policy.json",
        "deploy/new-key-policy.json",
        "deploy/operator-policy.json",
    ]


def test_a_renamed_app_is_deployed_beside_the_original(aws: Emulator) -> None:
    before = aws.resources()
    aws.edit(app_name="our-login")
    half = aws.deploy("deploy", "dev")
    assert half.returncode == 1
    for problem in (
        "PARAMETER_PATH of stage dev in .chalice/config.json is /spotify-login/dev.\n    It must be",
        ".chalice/policy-dev.json does not allow parameter/our-login/dev/* and /aws/lambda/our-login-dev:*, ",
        f"Table {TABLE} is not this stage's",
    ):
        assert f"\n- {problem}" in half.stdout
    assert aws.resources() == before
    aws.edit(app_name="spotify-login")
    rename(aws, "spotify-login", "our-login")
    aws.api = "api2"
    ours = aws.steps(*STEPS)
    assert ours.returncode == 0, ours.stdout
    assert aws.visitor().log_in("premium").status == 307
    both = aws.resources()
    assert {kind: len(names) for kind, names in both.items()} == {
        kind: 2 * len(names) for kind, names in before.items()
    }
    done = aws.deploy("destroy", "dev", "--confirm", "dev", "--table", "our-login-users-dev")
    assert done.returncode == 0, done.stdout
    assert aws.resources() == before
    rename(aws, "our-login", "spotify-login")
    aws.api = "api1"
    assert_in_use(aws)


def test_while_the_api_cannot_be_deleted_nothing_is_deleted(aws: Emulator) -> None:
    before = aws.resources()
    denied = aws.user_denied("apigateway:DELETE")  # as while a custom domain uses it
    failed = aws.deploy("destroy", "dev", "--confirm", "dev", "--table", TABLE, **denied)
    assert failed.returncode == 1
    assert aws.resources() == before


def test_destroying_can_be_repeated_after_a_failure(aws: Emulator) -> None:
    aws.client("apigateway").delete_rest_api(restApiId="api1")
    doctor = aws.deploy("doctor", "dev", SPOTIFY_REDIRECT_URI="")
    assert "- REST API spotify-login does not exist.\n" in doctor.stdout
    aws.client("iam").attach_role_policy(
        RoleName=ROLE, PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess"
    )
    failed = aws.deploy("destroy", "dev", "--confirm", "dev", **aws.user_denied("iam:DetachRolePolicy"))
    assert failed.returncode == 1
    assert failed.stdout.endswith("Fix this, then run:\n    make destroy STAGE=dev\n")
    done = aws.deploy("destroy", "dev", "--confirm", "dev")
    assert done.returncode == 0, done.stdout
    assert (
        f"The users table is kept. To delete it, run:\n    make destroy STAGE=dev TABLE={TABLE}\n"
        in done.stdout
    )
    assert aws.resources() == {"table": [TABLE]}
