"""The function's log group and alarms. Lambda would create the log group without an expiry, and Chalice no alarms."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from deploy.account import Account
from deploy.resource import Attributes, Resource
from deploy.stage import Stage

RETENTION_DAYS = 30

ALARM = {
    "Statistic": "Sum",
    "Period": 300,
    "EvaluationPeriods": 1,
    "ComparisonOperator": "GreaterThanOrEqualToThreshold",
    "TreatMissingData": "notBreaching",
    "ActionsEnabled": True,
}
"""Settings that all alarms share."""

ACTIONS = ("AlarmActions", "OKActions", "InsufficientDataActions")

METRICS = {
    "errors": (
        "AWS/Lambda",
        "Errors",
        1,
        "The function crashed or timed out. The app's own error pages do not count.",
    ),
    "throttles": ("AWS/Lambda", "Throttles", 1, "The account's Lambda concurrency is used up."),
    "5xx": (
        "AWS/ApiGateway",
        "5XXError",
        5,
        "Five responses with a 5xx status in five minutes. See the log.",
    ),
}
"""Namespace, metric, threshold and description, by the last part of an alarm's name."""


class LogGroup(Resource):
    """The log group of a stage's function."""

    KIND = "Log group"

    def __init__(self, stage: Stage, account: Account) -> None:
        name = f"/aws/lambda/{stage.function}"
        super().__init__(name, "deploy/monitoring.py", {"retentionInDays": RETENTION_DAYS})
        self._logs = account.client("logs")

    def read(self) -> Attributes | None:
        """The days after which lines expire."""
        groups = self._logs.describe_log_groups(logGroupNamePrefix=self.name)["logGroups"]
        found = [group for group in groups if group["logGroupName"] == self.name]
        return {"retentionInDays": found[0].get("retentionInDays")} if found else None

    def create(self) -> None:
        """Create the log group, unless the function has just done so."""
        with suppress(self._logs.exceptions.ResourceAlreadyExistsException):
            self._logs.create_log_group(logGroupName=self.name)

    def change(self, names: Iterable[str]) -> None:  # noqa: ARG002 - there is only one attribute
        """Have lines expire."""
        self._logs.put_retention_policy(logGroupName=self.name, retentionInDays=RETENTION_DAYS)

    def delete(self) -> None:
        """Delete the log group with all lines."""
        with suppress(self._logs.exceptions.ResourceNotFoundException):
            self._logs.delete_log_group(logGroupName=self.name)


class Alarm(Resource):
    """An alarm of a stage. It keeps its actions, unless ALARM_TOPIC_ARN is set."""

    KIND = "Alarm"

    def __init__(self, stage: Stage, account: Account, short: str) -> None:
        namespace, metric, threshold, description = METRICS[short]
        api = {"ApiName": stage.app, "Stage": stage.api_stage}
        dimensions = {"FunctionName": stage.function} if namespace == "AWS/Lambda" else api
        wanted = {
            **ALARM,
            "AlarmDescription": description,
            "Namespace": namespace,
            "MetricName": metric,
            "Threshold": threshold,
            "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
        }
        topic = os.environ.get("ALARM_TOPIC_ARN")
        actions = {} if topic is None else {"AlarmActions": [topic] if topic else []}
        super().__init__(f"{stage.function}-{short}", "deploy/monitoring.py", {**wanted, **actions})
        self._cloudwatch = account.client("cloudwatch")

    def read(self) -> Attributes | None:
        """The declared settings of the alarm."""
        found = self._describe()
        return {name: found.get(name) for name in self.wanted} if found else None

    def create(self) -> None:
        """Create or replace the alarm."""
        kept = {name: self._describe().get(name, []) for name in ACTIONS}
        self._cloudwatch.put_metric_alarm(AlarmName=self.name, **{**kept, **self.wanted})

    def change(self, names: Iterable[str]) -> None:  # noqa: ARG002 - an alarm is replaced as a whole
        """Replace the alarm."""
        self.create()

    def delete(self) -> None:
        """Delete the alarm."""
        if self._describe():
            self._cloudwatch.delete_alarms(AlarmNames=[self.name])

    def _describe(self) -> dict[str, Any]:
        found = self._cloudwatch.describe_alarms(AlarmNames=[self.name])["MetricAlarms"]
        return dict(found[0]) if found else {}
