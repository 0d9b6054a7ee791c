"""What ids look like, and where the gateway listens unless it is told otherwise."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

from cli.up import command
from deploy.local.plan import Options
from services.gateway.accounts import domain as accounts
from services.siem.alerts import domain as alerts
from shared.clock import new_id


def test_ids_are_uuids_of_version_7_in_the_order_they_were_made() -> None:
    made = [new_id() for _ in range(100)]
    assert {uuid.UUID(one).version for one in made} == {7}
    assert made == sorted(made)


def test_alerts_are_numbered_within_their_year() -> None:
    assert alerts.alert_id(2026, 1) == "ALRT-2026-000001"
    assert alerts.alert_id(2026, 1_234_567) == "ALRT-2026-1234567"


def test_a_user_has_an_id_of_128_random_bits() -> None:
    made = {accounts.user_id(bytes([number] * 16)) for number in range(10)}
    assert len(made) == 10
    assert all(re.fullmatch(r"user_[a-z2-7]{26}", one) for one in made)


def test_the_gateway_listens_on_5080() -> None:
    assert next(option.default for option in command.params if option.name == "port") == 5080
    assert Options(Path()).port == 5080
