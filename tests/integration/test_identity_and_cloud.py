"""The identity and the cloud analyst on a real siem: raw lines of the products go in, assessments come out.

Each test has accounts, hosts and addresses of its own. Both sides are held: attacks, and the administration that looks
like them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
import pytest_asyncio

from services.agents.roster.cloud_analyst.agent import CloudAnalyst
from services.agents.roster.identity_analyst.agent import IdentityAnalyst
from services.agents.toolkit.sources import Sources
from services.agents.toolkit.tools.history import PAIR_HISTORY, VALUE_HISTORY, PairArguments, Term, ValuesArguments
from shared.clock import new_id, utc_now
from shared.contracts.reviews import ReviewAccount, ReviewLogins, ReviewPrincipal
from tests import stack
from tests.estate import (
    Estate,
    added,
    azure,
    deployment,
    entra,
    kubernetes,
    okta,
    questions,
    role,
    ssh,
    stamp,
    ticket,
    trail,
    windows,
)
from tests.siem import siem
from tests.stack import Servers
from tests.unit.agents.agent_kit import work

Place = tuple[str, float, float]
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_NETWORKS = count(1)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def estate(servers: Servers) -> AsyncIterator[Estate]:
    """One siem for the file."""
    with stack.data_folder() as folder:
        async with siem(servers, folder) as running, running.client() as client:
            yield Estate(running, client)


@pytest.fixture
def now() -> datetime:
    """When the story of a test ends: some hours ago, so that all of it is in the past."""
    return (utc_now() - 3 * HOUR).replace(microsecond=0)


@pytest.fixture
def name() -> str:
    """An account that no other test uses."""
    return f"u{new_id().replace('-', '')[-10:]}"


@pytest.fixture
def address() -> str:
    """A private address that no other test uses."""
    number = next(_NETWORKS)
    return f"10.{number // 250}.{number % 250}.7"


@pytest.fixture
def cities() -> tuple[Place, Place, Place]:
    """Addresses in Berlin, Paris and Tokyo that no other test uses."""
    number = next(_NETWORKS)
    return (f"91.0.{number}.1", 52.52, 13.4), (f"90.1.{number}.1", 48.86, 2.35), (f"118.0.{number}.1", 35.68, 139.69)


async def test_guessing_that_ends_in_a_login_is_malicious(
    estate: Estate, now: datetime, name: str, address: str
) -> None:
    lines = [ssh(now - 20 * MINUTE + i * timedelta(seconds=7 + i % 5), name, address) for i in range(25)]
    ids = await estate.keeps([*lines, ssh(now, name, address, accepted=True)], f"user.name:{name}")
    judged = await estate.assessed(IdentityAnalyst(), ids)
    assert judged.verdict == "malicious"
    assert {"T1110.001", "T1078"} <= set(judged.mitre_techniques)


async def test_somebody_who_mistypes_at_home_is_not_suspected(
    estate: Estate, now: datetime, name: str, address: str
) -> None:
    past = [ssh(now - (2 + day) * DAY, name, address, accepted=True) for day in range(10)]
    typed = [
        ssh(now - 2 * MINUTE, name, address),
        ssh(now - MINUTE, name, address),
        ssh(now, name, address, accepted=True),
    ]
    ids = await estate.keeps([*past, *typed], f"user.name:{name}")
    judged = await estate.assessed(IdentityAnalyst(), ids)
    assert (judged.verdict, judged.findings) == ("benign", [])
    elsewhere = await estate.keeps([ssh(now + MINUTE, name, "10.99.99.9", accepted=True)], f"user.name:{name}")
    assert "never came from" in (await estate.assessed(IdentityAnalyst(), elsewhere)).findings[0].claim


async def test_a_program_with_an_old_password_is_no_guesser(
    estate: Estate, now: datetime, name: str, address: str
) -> None:
    lines = [ssh(now - (40 - i) * MINUTE, name, address, host="db01") for i in range(40)]
    judged = await estate.assessed(IdentityAnalyst(), await estate.keeps(lines, f"user.name:{name}"))
    assert judged.verdict in ("benign", "undetermined")
    assert any("at one pace" in finding.claim for finding in judged.findings)


async def test_one_address_that_tries_many_accounts_twice_is_spraying(
    estate: Estate, now: datetime, name: str, address: str
) -> None:
    tries = [
        entra(now - timedelta(seconds=40 * i + 7 * again), f"{name}{i}@corp.example", address, 50126)
        for i in range(12)
        for again in range(2)
    ]
    judged = await estate.assessed(IdentityAnalyst(), await estate.keeps(tries, f"source.ip:{address}"))
    assert judged.verdict == "suspicious"
    assert "T1110.003" in judged.mitre_techniques
    entered = await estate.keeps([entra(now + MINUTE, f"{name}3@corp.example", address)], f"source.ip:{address}")
    assert (await estate.assessed(IdentityAnalyst(), entered)).verdict == "malicious"


async def test_many_people_behind_one_address_who_get_in_spray_nothing(
    estate: Estate, now: datetime, name: str, address: str
) -> None:
    people = [f"{name}{i}@corp.example" for i in range(10)]
    tries = [entra(now - i * MINUTE, one, address, 50126) for i, one in enumerate(people)]
    tries += [entra(now - i * MINUTE + timedelta(seconds=20), one, address) for i, one in enumerate(people)]
    judged = await estate.assessed(IdentityAnalyst(), await estate.keeps(tries, f"source.ip:{address}"))
    assert judged.verdict in ("benign", "undetermined")


async def test_nobody_is_in_berlin_and_an_hour_later_in_tokyo(
    estate: Estate, now: datetime, name: str, cities: tuple[Place, ...]
) -> None:
    user = f"{name}@corp.example"
    logins = [okta(now - HOUR, "user.session.start", user, cities[0]), okta(now, "user.session.start", user, cities[2])]
    judged = await estate.assessed(IdentityAnalyst(), await estate.keeps(logins, f'user.name:"{user}"'))
    assert judged.verdict == "suspicious"
    assert any("km apart" in finding.claim for finding in judged.findings)


async def test_two_ways_out_of_the_net_that_are_both_an_accounts_own_are_no_journey(
    estate: Estate, now: datetime, name: str, cities: tuple[Place, ...]
) -> None:
    user = f"{name}@corp.example"
    days = [
        okta(now - day * DAY - i * HOUR, "user.session.start", user, cities[i * 2]) for day in range(9) for i in (0, 1)
    ]
    judged = await estate.assessed(IdentityAnalyst(), await estate.keeps(days[::-1], f'user.name:"{user}"'))
    assert judged.verdict in ("benign", "undetermined")
    assert any("came from both" in finding.claim for finding in judged.findings)


async def test_a_flight_from_berlin_to_paris_takes_two_hours(
    estate: Estate, now: datetime, name: str, cities: tuple[Place, ...]
) -> None:
    user = f"{name}@corp.example"
    logins = [
        okta(now - 2 * HOUR, "user.session.start", user, cities[0]),
        okta(now, "user.session.start", user, cities[1]),
    ]
    judged = await estate.assessed(IdentityAnalyst(), await estate.keeps(logins, f'user.name:"{user}"'))
    assert judged.verdict in ("benign", "undetermined")


async def test_second_factors_pushed_until_one_is_accepted_are_malicious(
    estate: Estate, now: datetime, name: str, cities: tuple[Place, ...]
) -> None:
    user = f"{name}@corp.example"
    pushed = [
        okta(now - (9 - i) * MINUTE, "user.mfa.okta_verify.deny_push", user, cities[0], "FAILURE") for i in range(6)
    ]
    logins = [*pushed, okta(now, "user.authentication.auth_via_mfa", user, cities[0])]
    judged = await estate.assessed(IdentityAnalyst(), await estate.keeps(logins, f'user.name:"{user}"'))
    assert judged.verdict == "malicious"
    assert "T1621" in judged.mitre_techniques


async def test_a_burst_of_weak_tickets_is_roasting_and_strong_ones_are_work(
    estate: Estate, now: datetime, name: str, address: str
) -> None:
    services = [f"svc-{number}" for number in range(9)]
    weak = [ticket(now - timedelta(seconds=i), name, one, address, "0x17") for i, one in enumerate(services)]
    judged = await estate.assessed(IdentityAnalyst(), await estate.keeps(weak, f"user.name:{name}@*"))
    assert judged.verdict == "suspicious"
    assert "T1558.003" in judged.mitre_techniques
    other = f"{name}b"
    strong = [ticket(now - timedelta(seconds=i), other, one, "10.250.0.1", "0x12") for i, one in enumerate(services)]
    judged = await estate.assessed(IdentityAnalyst(), await estate.keeps(strong, f"user.name:{other}@*"))
    assert judged.verdict in ("benign", "undetermined")


async def test_an_account_made_and_lifted_to_domain_admin_at_once_is_suspected(
    estate: Estate, now: datetime, name: str
) -> None:
    steps = [
        windows(now - 3 * MINUTE, 4720, SubjectUserName=name, TargetUserName=f"{name}-new", TargetSid="S-1-5-21-9"),
        windows(now - 2 * MINUTE, 4724, SubjectUserName=name, TargetUserName=f"{name}-new", TargetSid="S-1-5-21-9"),
        added(now - MINUTE, name, f"{name}-new", "Domain Admins", "S-1-5-21-1-2-3-512"),
        windows(now, 1102, SubjectUserName=name),
    ]
    judged = await estate.assessed(IdentityAnalyst(), await estate.keeps(steps, f"user.name:{name}"))
    assert judged.verdict in ("suspicious", "malicious")
    assert {"T1098.007", "T1136"} <= set(judged.mitre_techniques)


async def test_the_account_desk_does_what_it_does_every_day(estate: Estate, now: datetime, name: str) -> None:
    def day(at: datetime) -> list[dict[str, Any]]:
        return [
            windows(at, 4720, SubjectUserName=name, TargetUserName=f"new{at.day}", TargetSid="S-1-5-21-9"),
            added(at + MINUTE, name, f"new{at.day}", "Backup Operators", "S-1-5-32-551"),
            windows(at + 2 * MINUTE, 4724, SubjectUserName=name, TargetUserName=f"old{at.day}", TargetSid="S-1-5-21-8"),
        ]

    steps = [step for number in (9, 7, 5, 3) for step in day(now - number * DAY)] + day(now - 3 * MINUTE)
    judged = await estate.assessed(IdentityAnalyst(), await estate.keeps(steps, f"user.name:{name}"))
    assert judged.verdict in ("benign", "undetermined")
    assert any("as on 4 days" in finding.claim for finding in judged.findings)


async def test_reviews_cite_what_they_state(estate: Estate, now: datetime, name: str, address: str) -> None:
    lines = [ssh(now - 9 * MINUTE + i * timedelta(seconds=3 + i % 4), name, address) for i in range(12)]
    await estate.keeps([*lines, ssh(now, name, address, accepted=True)], f"user.name:{name}")
    analyst = IdentityAnalyst()
    span = {"since": now - DAY, "until": now + HOUR}
    account = await analyst.review_account(ReviewAccount(user=name, **span), work(siem=estate.client))
    logins = await analyst.review_logins(
        ReviewLogins(field="source.ip", value=address, **span), work(siem=estate.client)
    )
    for review in (account, logins):
        assert (review.verdict, review.failed, review.entered) == ("malicious", 12, 1)
        assert {one.id for one in review.citations}.issuperset(review.findings[0].citations)
    nobody = await analyst.review_account(ReviewAccount(user=f"{name}-x", **span), work(siem=estate.client))
    assert (nobody.verdict, nobody.failed, nobody.findings) == ("undetermined", 0, [])


_ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"


async def test_a_stolen_key_that_asks_around_and_takes_rights_is_malicious(
    estate: Estate, now: datetime, name: str, address: str
) -> None:
    past = [trail(now - (2 + day) * DAY, "DescribeInstances", name, "91.0.0.9", service="ec2") for day in range(8)]
    asked = questions(now - 9 * MINUTE, name, address)
    taken = [
        trail(now - 2 * MINUTE, "CreateUser", name, address, parameters={"userName": f"{name}-2"}),
        trail(now - MINUTE, "CreateAccessKey", name, address, parameters={"userName": f"{name}-2"}),
        trail(
            now - timedelta(seconds=30),
            "AttachUserPolicy",
            name,
            address,
            parameters={"userName": f"{name}-2", "policyArn": _ADMINISTRATOR},
        ),
        trail(now, "StopLogging", name, address, service="cloudtrail", parameters={"name": "main"}),
    ]
    ids = await estate.keeps([*past, *asked, *taken], f"user.name:{name}")
    judged = await estate.assessed(CloudAnalyst(), ids)
    assert judged.verdict == "malicious"
    assert {"T1562.008", "T1098.001", "T1098.003", "T1580"} <= set(judged.mitre_techniques)
    assert any("address" in finding.claim and "never" in finding.claim for finding in judged.findings)


async def test_terraform_from_where_it_always_runs_is_administration(
    estate: Estate, now: datetime, name: str, address: str
) -> None:
    past = [
        trail(now - (2 + day) * DAY, "DescribeInstances", name, address, service="ec2", identity=role(name),
              agent="APN/1.0 HashiCorp/1.0 Terraform/1.9.5")
        for day in range(8)
    ]  # fmt: skip
    ids = await estate.keeps([*past, *deployment(now - 2 * MINUTE, name, address)], f"user.name:{name}")
    judged = await estate.assessed(CloudAnalyst(), ids)
    assert judged.verdict in ("benign", "undetermined")
    assert judged.confidence < 0.5


async def test_scaling_and_backups_are_the_clouds_own_work(
    estate: Estate, now: datetime, name: str, address: str
) -> None:
    scaling = {"type": "AWSService", "invokedBy": "autoscaling.amazonaws.com"}
    ended = [
        trail(now - i * timedelta(seconds=9), "TerminateInstances", name, "autoscaling.amazonaws.com", service="ec2",
              identity=scaling, parameters={"instancesSet": {"items": [{"instanceId": f"i-{name}{i}"}]}})
        for i in range(20)
    ]  # fmt: skip
    copied = [
        trail(now - i * timedelta(seconds=9), "CreateSnapshot", name, address, service="ec2", identity=role(name),
              parameters={"volumeId": f"vol-{i}"})
        for i in range(20)
    ]  # fmt: skip
    past = [
        trail(now - (2 + day) * DAY, "CreateSnapshot", name, address, service="ec2", identity=role(name))
        for day in range(8)
    ]
    ids = await estate.keeps([*past, *ended, *copied], f"user.name:{name}")
    assert (await estate.assessed(CloudAnalyst(), ids)).verdict in ("benign", "undetermined")


async def test_a_stranger_in_the_cluster_who_makes_himself_its_administrator_is_malicious(
    estate: Estate, now: datetime, name: str, address: str
) -> None:
    mounted = {"hostPath": {"path": "/"}}
    bound = {"roleRef": {"name": "cluster-admin"}, "subjects": [{"kind": "ServiceAccount", "name": "default"}]}
    steps = [
        kubernetes(now - 3 * MINUTE, "list", "secrets", name, address),
        kubernetes(now - 2 * MINUTE, "create", "pods", name, address, ref={"subresource": "exec"}, code=101),
        kubernetes(
            now - MINUTE, "create", "pods", name, address,
            sent={"spec": {"containers": [{"securityContext": {"privileged": True}}], "volumes": [mounted]}},
        ),
        kubernetes(now, "create", "clusterrolebindings", name, address, sent=bound),
    ]  # fmt: skip
    judged = await estate.assessed(CloudAnalyst(), await estate.keeps(steps, f"user.name:{name}"))
    assert judged.verdict == "malicious"
    assert {"T1098.006", "T1611", "T1552.007"} <= set(judged.mitre_techniques)


async def test_a_controller_of_the_cluster_does_the_same_without_suspicion(
    estate: Estate, now: datetime, address: str
) -> None:
    who = "system:serviceaccount:kube-system:replicaset-controller"
    steps = [kubernetes(now - i * MINUTE, "create", "pods", who, address) for i in range(8)]
    ids = await estate.keeps([*steps, kubernetes(now, "list", "secrets", who, address)], f"source.ip:{address}")
    assert (await estate.assessed(CloudAnalyst(), ids)).verdict in ("benign", "undetermined")


async def test_a_subscription_that_is_taken_over_and_blinded_is_malicious(
    estate: Estate, now: datetime, name: str, address: str
) -> None:
    user = f"{name}@corp.example"
    operations = (
        "MICROSOFT.AUTHORIZATION/ELEVATEACCESS/ACTION",
        "MICROSOFT.AUTHORIZATION/ROLEASSIGNMENTS/WRITE",
        "MICROSOFT.INSIGHTS/DIAGNOSTICSETTINGS/DELETE",
        "MICROSOFT.COMPUTE/VIRTUALMACHINES/RUNCOMMAND/ACTION",
    )
    steps = [azure(now - i * MINUTE, operation, user, address) for i, operation in enumerate(operations)]
    judged = await estate.assessed(CloudAnalyst(), await estate.keeps(steps, f'user.name:"{user}"'))
    assert judged.verdict == "malicious"
    assert {"T1562.008", "T1098.003", "T1651"} <= set(judged.mitre_techniques)


async def test_a_principals_review_tells_its_steps_in_their_order(
    estate: Estate, now: datetime, name: str, address: str
) -> None:
    steps = [trail(now - (10 - i) * MINUTE, "ListBuckets", name, address, service="s3") for i in range(3)]
    steps.append(trail(now, "DeleteTrail", name, address, service="cloudtrail", parameters={"name": "main"}))
    await estate.keeps(steps, f"user.name:{name}")
    asked = ReviewPrincipal(value=name, since=now - DAY, until=now + HOUR)
    review = await CloudAnalyst().review_principal(asked, work(siem=estate.client))
    assert [(step.action, step.count) for step in review.steps] == [("ListBuckets", 3), ("DeleteTrail", 1)]
    assert review.steps[-1].target == "main"
    assert review.timeline in {citation.id for citation in review.citations}
    assert review.verdict == "suspicious"


async def test_an_alert_of_neither_kind_is_left_undetermined(estate: Estate, now: datetime, name: str) -> None:
    ids = await estate.keeps([f"{stamp(now)} {name} kernel: usb 1-1: new device"], f"host.name:{name}")
    for agent in (IdentityAnalyst(), CloudAnalyst()):
        judged = await estate.assessed(agent, ids)
        assert (judged.verdict, judged.confidence) == ("undetermined", 0.0)
        assert judged.not_checked


async def test_the_past_is_counted_without_reading_it(estate: Estate, now: datetime, name: str, address: str) -> None:
    lines = [
        ssh(now - day * DAY - i * MINUTE, name, address, accepted=True, host=f"{name}-{day % 3}")
        for day in range(6)
        for i in range(50)
    ]
    await estate.keeps(lines, f"user.name:{name}")
    sources, span = Sources(estate.client), {"since": now - 30 * DAY, "until": now + MINUTE}
    pair = PairArguments(field_a="user.name", value_a=name, field_b="source.ip", value_b=address, **span)
    single = PairArguments(field_a="user.name", value_a=name.upper(), field_b=None, value_b=None, **span)
    never = PairArguments(field_a="user.name", value_a=name, field_b="source.ip", value_b="192.0.2.9", **span)
    hosts = ValuesArguments(field="host.name", terms=(Term("user.name", name),), **span)
    answers = await asyncio.gather(
        PAIR_HISTORY.run(pair, sources), PAIR_HISTORY.run(single, sources), PAIR_HISTORY.run(never, sources)
    )
    assert answers[0] == answers[1]
    assert (answers[0]["count"], answers[0]["hosts"], answers[0]["at_least"]) == (300, 3, False)
    assert answers[0]["days"] in (6, 7)
    assert answers[0]["first_seen"] <= stamp(now - 5 * DAY - 49 * MINUTE)
    assert answers[2] == {"count": 0, "days": 0, "hosts": 0, "at_least": False, "first_seen": None, "last_seen": None}
    values = await VALUE_HISTORY.run(hosts, sources)
    assert values["values"] == {f"{name}-{number}": 100 for number in range(3)}
