"""SigmaHQ's rules for the products that Aurora has parsers for: each kind of log source is reached by a real rule.

An event of ours is parsed and evaluated against every rule; the rules named are those that must match. What this holds
is the names: product, category, service and fields as the public rules have them.
"""

from functools import cache
from typing import Any

import pytest

from services.siem.detections.engine.engine import Engine
from services.siem.logs.parsers import Item
from tests.outside_rules import compiled_rules
from tests.unit.parsers import (
    test_azure,
    test_cisco_asa,
    test_cloudtrail,
    test_fortinet,
    test_kubernetes,
    test_okta,
    test_suricata,
    test_zeek,
)
from tests.unit.parsers.parsing import event

_DCE_RPC: dict[str, Any] = {
    "ts": 1795345200.5,
    "uid": "CHhAvVGS1DHFjwGM9",
    "_path": "dce_rpc",
    "endpoint": "svcctl",
    "operation": "CreateServiceA",
}
_EXPECTED: list[tuple[Item, set[str]]] = [
    (test_zeek.DNS, {"Monero Crypto Coin Mining Pool Lookup", "DNS Events Related To Mining Pools"}),
    (_DCE_RPC, {"MITRE BZAR Indicators for Execution"}),
    (test_suricata.DNS, {"Monero Crypto Coin Mining Pool Lookup"}),
    (test_azure.HUB, {"Azure Network Firewall Policy Modified or Deleted"}),
    (test_azure.REST, {"Granting Of Permissions To An Account"}),
    (test_azure.AUDIT, {"User Added to an Administrator's Azure AD Role"}),
    (test_azure.SIGN_IN, {"Azure Sign-In With Axios User Agent"}),
    ({**test_okta.ENTRY, "eventType": "user.lifecycle.create"}, {"New Okta User Created"}),
    (test_kubernetes.ENTRY, {"Container With A hostPath Mount Created", "Creation Of Pod In System Namespace",
                             "Privileged Container Deployed"}),
    (test_cloudtrail.RECORD, {"AWS IAM Backdoor Users Keys"}),
    (test_cisco_asa.BUILT, {"Cleartext Protocol Usage"}),
    (test_cisco_asa.DENIED, set()),
    ("%ASA-5-111008: User 'ops' executed the 'no logging enable' command.", {"Cisco Disabling Logging"}),
    (test_fortinet.TRAFFIC, {"Cleartext Protocol Usage"}),
    (test_fortinet.CHANGE, {"FortiGate - New Administrator Account Created"}),
    ("[Sun Nov 22 10:00:00 2026] [notice] child pid 12 exit signal Segmentation Fault (11)",
     {"Apache Segmentation Fault"}),
    ("2026/11/22 10:00:00 [alert] 5#5: worker process 9 exited on signal 6 (core dumped)", {"Nginx Core Dump"}),
]  # fmt: skip


@cache
def engine() -> tuple[Engine, dict[str, str]]:
    rules = compiled_rules()
    return Engine(list(rules)), {rule.id: rule.title for rule in rules}


@pytest.mark.parametrize(("item", "titles"), _EXPECTED, ids=range(len(_EXPECTED)))
def test_a_products_event_reaches_the_public_rules_for_it(item: Item, titles: set[str]) -> None:
    every_rule, names = engine()
    assert {names[rule_id] for rule_id in every_rule.evaluate(event(item))} == titles
