"""Two regions, two accounts, two apps in one account, and a failed destroy that is repeated."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.deployment import REGION, Emulator, emulator

TABLE = "spotify-login-users-dev"
ROLE = "spotify-login-dev-api_handler"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An account with the deployed app, which each test leaves as it was; the last one destroys it."""
    with emulator(tmp_path_factory.mktemp("emulator")) as started:
        started.edit(throttling={"rate": 1000, "burst": 1000})
        done = started.deploy("deploy", "dev")
        assert done.returncode == 0, done.stdout
        yield started


def test_a_command_in_the_wrong_region_changes_nothing_in_the_right_one(aws: Emulator) -> None:
    before = aws.resources()
    aws.record.unlink()
    for arguments in (("destroy", "dev"), ("destroy", "dev", "--table", TABLE)):
        failed = aws.deploy(*arguments, AWS_DEFAULT_REGION="us-east-1")
        assert failed.returncode == 1
        assert (
            "dev is not deployed in us-east-1 (account 000000000000). Nothing has been changed.\n"
            in failed.stdout
        )
    elsewhere = aws.deploy("deploy", "dev", AWS_DEFAULT_REGION="us-east-1")
    assert elsewhere.returncode == 1
    assert f"Role {ROLE} belongs to {REGION}, and IAM roles are global." in elsewhere.stdout
    assert "Nothing has been changed." in elsewhere.stdout
    assert aws.resources() == before
    assert aws.visitor().log_in("premium").status == 307


def test_a_role_that_two_regions_share_is_kept_while_the_other_region_uses_it(aws: Emulator) -> None:
    (function,) = aws.client("lambda").list_functions()["Functions"]
    aws.client("lambda", region="us-east-1").create_function(
        FunctionName="spotify-login-dev",
        Role=function["Role"],
        Runtime="python3.11",
        Handler="app.app",
        Code={"ZipFile": (aws.checkout / ".package" / "dev" / "out" / "deployment.zip").read_bytes()},
    )
    done = aws.deploy("destroy", "dev", AWS_DEFAULT_REGION="us-east-1")
    assert done.returncode == 0, done.stdout
    assert aws.resources("us-east-1")["function"] == []
    assert aws.resources()["role"] == [ROLE]
    assert aws.deploy("doctor", "dev").returncode == 0


def test_one_checkout_can_deploy_to_two_accounts(
    aws: Emulator, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = aws.resources()
    with emulator(tmp_path_factory.mktemp("another"), {"MINISTACK_ACCOUNT_ID": "111111111111"}) as another:
        another.checkout = aws.checkout  # with the record of the first account
        second = another.deploy("deploy", "dev")
        assert second.returncode == 0, second.stdout
        assert "account 111111111111" in second.stdout
        assert another.resources()["api"] == ["api1"]
        assert another.visitor().log_in("premium").status == 307
        again = aws.deploy("deploy", "dev")  # with the record of the second account
        assert again.returncode == 0, again.stdout
        assert another.deploy("destroy", "dev", "--table", TABLE).returncode == 0
        assert not any(another.resources().values())
    assert aws.resources() == before
    assert aws.visitor().log_in("premium").status == 307


def rename(aws: Emulator, before: str, after: str) -> None:
    """Rename the app everywhere."""
    for path in (aws.checkout / "app.py", *(aws.checkout / ".chalice").glob("*.json")):
        path.write_text(path.read_text().replace(before, after))


def test_a_renamed_app_is_deployed_beside_the_original(aws: Emulator) -> None:
    before = aws.resources()
    aws.edit(app_name="our-login")
    half = aws.deploy("deploy", "dev")
    assert half.returncode == 1
    for needed in (
        'app_name="our-login"',
        "PARAMETER_PATH /our-login/dev",
        "parameter/our-login/dev/*",
        "/aws/lambda/our-login-dev:*",
    ):
        assert f"It needs: {needed}\n" in half.stdout
    assert f"Table {TABLE} is not this stage's" in half.stdout
    assert aws.resources() == before
    rename(aws, "spotify-login", "our-login")
    aws.api = "api2"
    ours = aws.deploy("deploy", "dev")
    assert ours.returncode == 0, ours.stdout
    assert aws.visitor().log_in("premium").status == 307
    both = aws.resources()
    assert {kind: len(names) for kind, names in both.items()} == {
        kind: 2 * len(names) for kind, names in before.items()
    }
    done = aws.deploy("destroy", "dev", "--table", "our-login-users-dev")
    assert done.returncode == 0, done.stdout
    assert aws.resources() == before
    rename(aws, "our-login", "spotify-login")
    aws.api = "api1"
    assert aws.visitor().log_in("premium").status == 307


def test_while_the_api_cannot_be_deleted_nothing_is_deleted(aws: Emulator) -> None:
    before = aws.resources()
    denied = aws.user_denied("apigateway:DELETE", "*")  # as while a custom domain uses it
    failed = aws.deploy("destroy", "dev", "--table", TABLE, **denied)
    assert failed.returncode == 1
    assert aws.resources() == before


def test_destroying_can_be_repeated_after_a_failure(aws: Emulator) -> None:
    aws.client("apigateway").delete_rest_api(restApiId="api1")
    doctor = aws.deploy("doctor", "dev", SPOTIFY_REDIRECT_URI="")
    assert "- The REST API does not exist.\n" in doctor.stdout
    attached = "arn:aws:iam::aws:policy/AdministratorAccess"
    aws.client("iam").attach_role_policy(RoleName=ROLE, PolicyArn=attached)
    failed = aws.deploy("destroy", "dev", **aws.user_denied("iam:DetachRolePolicy", "*"))
    assert failed.returncode == 1
    assert failed.stdout.endswith("Fix this, then run:\n    make destroy STAGE=dev\n")
    done = aws.deploy("destroy", "dev")
    assert done.returncode == 0, done.stdout
    left = {kind: names for kind, names in aws.resources().items() if names}
    assert left == {"table": [TABLE]}
