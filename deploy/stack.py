"""What CloudFormation makes, changes and takes away: the users table (data.yaml), the log and alarms (watch.yaml)."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError, WaiterError

from deploy.account import Account, code
from deploy.stage import Problem, Stage, Stop

POLL = {"Delay": 2, "MaxAttempts": 300}
"""Seconds between two looks, and how many: ten minutes in all."""


class Stack:
    """A stage's stack of one of the templates beside this file."""

    def __init__(self, stage: Stage, account: Account, template: str) -> None:
        self._stage = stage
        self._template = Path(__file__).with_name(f"{template}.yaml")
        self._account = account
        self._cloudformation = account.client("cloudformation")
        self._name = stage.stack(template)

    @property
    def status(self) -> str:
        """CloudFormation's word for its state, or "" if there is none."""
        try:
            (stack,) = self._cloudformation.describe_stacks(StackName=self._name)["Stacks"]
        except ClientError as failure:
            if code(failure) == "ValidationError":
                return ""
            raise
        status = str(stack["StackStatus"])
        return "" if status == "DELETE_COMPLETE" else status

    def apply(self) -> list[str]:
        """Make it what the template says, through a change set; returns the changes, none if there are none.

        Raises:
            Stop: the change would cost the table, or it failed and was taken back, and why.
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
        if any(_costs_the_table(change) for change in changes):
            self._cloudformation.delete_change_set(StackName=self._name, ChangeSetName=change_set)
            raise Stop(
                Problem(
                    "This change would put another table in the place of the users table: "
                    + "; ".join(shown)
                    + ".",
                    "Undo what has changed in deploy/data.yaml, or in the table's name in .chalice/config.json.",
                )
            )
        self._cloudformation.execute_change_set(StackName=self._name, ChangeSetName=change_set)
        self._wait("stack_update_complete" if status else "stack_create_complete")
        return shown

    def delete(self) -> None:
        """Take it away, if it is there. A table stays."""
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
        """Its status once nothing is under way; what a failed first creation left is cleared away."""
        status = self.status
        if status in {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"}:
            self.delete()
            return ""
        if status == "REVIEW_IN_PROGRESS":
            return ""
        if status == "UPDATE_ROLLBACK_FAILED":
            raise Stop(
                Problem(
                    f"The stack {self._name} is stuck in {status}.",
                    f"aws cloudformation continue-update-rollback --stack-name {self._name}, then this again.",
                )
            )
        for _ in range(POLL["MaxAttempts"]):
            if not status.endswith("_IN_PROGRESS"):
                break
            time.sleep(POLL["Delay"])
            status = self.status
        return status

    def _changes(self, change_set: str) -> list[dict[str, Any]] | None:
        """What a change set would do; None for nothing."""
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
                    f"CloudFormation does not accept deploy/{self._template.name}: {reason}", "Mend it there."
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
                    f"The stack {self._name} is in {self.status or 'no state'}: {self._reasons()}",
                    "Mend that, and run this again: what CloudFormation had begun, it has taken back.",
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


def _costs_the_table(change: dict[str, Any]) -> bool:
    if change["LogicalResourceId"] != "Users":
        return False
    return change["Action"] == "Remove" or change.get("Replacement") in {"True", "Conditional"}
