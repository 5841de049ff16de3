"""CloudFormation stacks: the users table (data.yaml), and the log and alarms (watch.yaml)."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError, WaiterError

from deploy.account import Account, code
from deploy.stage import Problem, Stage, Stop

POLL = {"Delay": 2, "MaxAttempts": 300}
"""Seconds between two polls, and their number: ten minutes in all."""


class Stack:
    """A stage's stack for one of the templates in this folder."""

    def __init__(self, stage: Stage, account: Account, template: str) -> None:
        self._stage = stage
        self._template = Path(__file__).with_name(f"{template}.yaml")
        self._account = account
        self._cloudformation = account.client("cloudformation")
        self._name = stage.stack(template)

    @property
    def status(self) -> str:
        """The stack's status at CloudFormation, or "" if it does not exist."""
        try:
            (stack,) = self._cloudformation.describe_stacks(StackName=self._name)["Stacks"]
        except ClientError as failure:
            if code(failure) == "ValidationError":
                return ""
            raise
        status = str(stack["StackStatus"])
        return "" if status == "DELETE_COMPLETE" else status

    def apply(self) -> list[str]:
        """Create or update the stack from its template, through a change set; returns the changes.

        Raises:
            Stop: the change would replace or remove the table, or it failed and was rolled back.
        """
        status = self._settled()
        change_set = f"deploy-{int(time.time() * 1000)}"
        self._cloudformation.create_change_set(
            StackName=self._name,
            ChangeSetName=change_set,
            ChangeSetType="UPDATE" if status else "CREATE",
            TemplateBody=self._template.read_text(encoding="utf-8"),
            Parameters=self._parameters(exists=bool(status)),
            Tags=[{"Key": "app", "Value": self._stage.app}, {"Key": "stage", "Value": self._stage.name}],
        )
        changes = self._changes(change_set)
        if changes is None:
            self._cloudformation.delete_change_set(StackName=self._name, ChangeSetName=change_set)
            return []
        shown = [_sentence(change) for change in changes]
        if any(_loses_the_table(change) for change in changes):
            self._cloudformation.delete_change_set(StackName=self._name, ChangeSetName=change_set)
            raise Stop(
                Problem(
                    f"This deployment could replace or remove the users table: {'; '.join(shown)}.",
                    "Undo the change to deploy/data.yaml, or to the table's name in .chalice/config.json.",
                )
            )
        self._cloudformation.execute_change_set(StackName=self._name, ChangeSetName=change_set)
        self._wait("stack_update_complete" if status else "stack_create_complete")
        return shown

    def delete(self) -> None:
        """Delete the stack, if it exists. CloudFormation keeps the users table."""
        if self.status:
            self._cloudformation.delete_stack(StackName=self._name)
            self._wait("stack_delete_complete")

    def _parameters(self, *, exists: bool) -> list[dict[str, Any]]:
        if self._template.stem == "data":
            return [{"ParameterKey": "Table", "ParameterValue": self._stage.table}]
        values = {
            "Function": self._stage.function,
            "Api": self._stage.app,
            "ApiStage": self._stage.api_stage,
        }
        given = [{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()]
        topic = os.environ.get("ALARM_TOPIC_ARN")
        if topic is not None or not exists:
            return [*given, {"ParameterKey": "AlarmTopic", "ParameterValue": topic or ""}]
        return [*given, {"ParameterKey": "AlarmTopic", "UsePreviousValue": True}]

    def _settled(self) -> str:
        """Wait for operations in progress, and delete the remains of a failed creation; returns the status."""
        status = self.status
        if status in {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"}:
            self.delete()
            return ""
        if status == "REVIEW_IN_PROGRESS":
            return ""
        if status == "UPDATE_ROLLBACK_FAILED":
            raise Stop(
                Problem(
                    f"Stack {self._name} is in state {status}.",
                    "Complete the rollback:",
                    f"aws cloudformation continue-update-rollback --stack-name {self._name}",
                )
            )
        for _ in range(POLL["MaxAttempts"]):
            if not status.endswith("_IN_PROGRESS"):
                break
            time.sleep(POLL["Delay"])
            status = self.status
        return status

    def _changes(self, change_set: str) -> list[dict[str, Any]] | None:
        """The changes in a change set; None if there are none."""
        names = {"StackName": self._name, "ChangeSetName": change_set}
        try:
            waiter = self._cloudformation.get_waiter("change_set_create_complete")
            waiter.wait(**names, WaiterConfig=POLL)
        except WaiterError:
            described = self._cloudformation.describe_change_set(**names)
            reason = described.get("StatusReason", "")
            if "didn't contain changes" in reason or "No updates" in reason:
                return None
            raise Stop(
                Problem(
                    f"CloudFormation rejected deploy/{self._template.name}: {reason}", "Fix the template."
                )
            ) from None
        described = self._cloudformation.describe_change_set(**names)
        return [change["ResourceChange"] for change in described["Changes"]] or None

    def _wait(self, what: str) -> None:
        try:
            self._cloudformation.get_waiter(what).wait(StackName=self._name, WaiterConfig=POLL)
        except WaiterError:
            raise Stop(
                Problem(
                    f"The change to stack {self._name} did not complete ({self.status or 'deleted'}): {self._reasons()}",
                    "Fix the cause. CloudFormation rolls back failed changes.",
                )
            ) from None

    def _reasons(self) -> str:
        events = self._cloudformation.describe_stack_events(StackName=self._name)["StackEvents"]
        failed = [event for event in events if event["ResourceStatus"].endswith("_FAILED")]
        return "; ".join(
            f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', 'no reason given')}"
            for event in reversed(failed[-3:])
        )


def _sentence(change: dict[str, Any]) -> str:
    replaced = " (replaced)" if change.get("Replacement") == "True" else ""
    return f"{change['Action'].lower()} {change['LogicalResourceId']}{replaced}"


def _loses_the_table(change: dict[str, Any]) -> bool:
    if change["LogicalResourceId"] != "Users":
        return False
    return change["Action"] == "Remove" or change.get("Replacement") in {"True", "Conditional"}
