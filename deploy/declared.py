"""The declaration of all resources of a stage. `make deploy`, `make doctor` and `make destroy` loop over them."""

from __future__ import annotations

from deploy.account import Account
from deploy.key import Key
from deploy.live import Api, Function, Role
from deploy.monitoring import METRICS, Alarm, LogGroup
from deploy.resource import Resource
from deploy.secrets import Secrets
from deploy.stage import Stage
from deploy.table import Table


def resources(stage: Stage, account: Account) -> list[Resource]:
    """All resources of a stage. They are deleted from the last to the first.

    The API is deleted first: while a custom domain uses it, AWS refuses, and nothing else is deleted. The function is
    deleted after its role, because it identifies the role's region.
    """
    return [
        *([Key(stage, account)] if stage.alias else []),
        Table(stage, account),
        LogGroup(stage, account),
        *(Alarm(stage, account, short) for short in METRICS),
        Secrets(stage, account),
        Function(stage, account),
        *([] if stage.role_arn else [Role(stage, account)]),
        Api(stage, account),
    ]
