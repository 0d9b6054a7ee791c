"""A siem with logs in the products' own formats, and what an agent in this process says of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from services.agents.toolkit.agent import Agent
from shared.client import Client
from shared.clock import new_id
from shared.contracts.agents import AnalyzeThreat, Assessment
from shared.contracts.alerts import CREATE_ALERT, AlertCreate, AlertEvidence
from shared.contracts.logs import SEARCH_LOGS, LogQuery
from tests.siem import Siem
from tests.unit.agents.agent_kit import work


@dataclass
class Estate:
    """A siem, and where it is asked."""

    service: Siem
    client: Client

    async def keeps(self, items: Iterable[Any], q: str) -> list[str]:
        """Stores the items; the ids of those events that a search finds, oldest first."""
        source = f"test-{new_id()}"
        status, receipt, _ = await self.service.ingest(list(items), query={"source": source})
        assert (status, receipt["rejected"]) == (202, 0), receipt
        found = await self.client.call(SEARCH_LOGS, query=LogQuery(q=q, source=source, limit=200))
        assert found.items, q
        return [event.id for event in reversed(found.items)]

    async def assessed(self, agent: Agent, ids: list[str], severity: str = "medium") -> Assessment:
        """What an agent says of an alert that points at these events."""
        events = [(await self.client.call(SEARCH_LOGS, query=LogQuery(q=f"id:{one}"))).items[0] for one in ids[-4:]]
        evidence = [AlertEvidence(log_id=one.id, timestamp=one.timestamp, message=one.message) for one in events]
        alert = await self.client.call(
            CREATE_ALERT,
            body=AlertCreate(title="A rule matched", severity=severity, evidence=evidence),  # type: ignore[arg-type]
        )
        judged = await agent.analyze(AnalyzeThreat(alert_id=alert.id), work(siem=self.client))
        delivered = {citation.id for citation in judged.citations}
        assert all(delivered.issuperset(finding.citations) for finding in judged.findings)
        return judged


def stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def ssh(at: datetime, user: str, source: str, *, accepted: bool = False, host: str = "web01") -> str:
    word = "Accepted" if accepted else "Failed"
    return f"{stamp(at)} {host} sshd[812]: {word} password for {user} from {source} port 40022 ssh2"


def windows(at: datetime, number: int, host: str = "DC01", **data: str) -> dict[str, Any]:
    failed = number in (4625, 4771)
    return {
        "EventID": number,
        "Channel": "Security",
        "ProviderName": "Microsoft-Windows-Security-Auditing",
        "Computer": host,
        "TimeCreated": stamp(at),
        "Keywords": "0x8010000000000000" if failed else "0x8020000000000000",
        **data,
    }


def entra(at: datetime, user: str, source: str, result: int = 0) -> dict[str, Any]:
    return {
        "time": stamp(at),
        "operationName": "Sign-in activity",
        "category": "SignInLogs",
        "resultType": str(result),
        "callerIpAddress": source,
        "identity": user,
        "tenantId": "8eaed023-2b34-4da1-9baa-8bc8c9d6a491",
        "properties": {"userPrincipalName": user, "ipAddress": source, "appDisplayName": "Office 365"},
    }


def okta(
    at: datetime, action: str, user: str, place: tuple[str, float, float], result: str = "SUCCESS", **more: Any
) -> Any:
    ip, latitude, longitude = place
    return {
        "eventType": action,
        "published": stamp(at),
        "uuid": new_id(),
        "displayMessage": "User login to Okta",
        "actor": {"id": "00u1", "type": "User", "alternateId": user, "displayName": user},
        "client": {"ipAddress": ip, "geographicalContext": {"geolocation": {"lat": latitude, "lon": longitude}}},
        "outcome": {"result": result},
        **more,
    }


def trail(at: datetime, action: str, who: str, source: str, **more: Any) -> dict[str, Any]:
    """A CloudTrail record of an IAM user; `service`, `parameters`, `error`, `agent`, `identity` on request."""
    identity = {
        "type": "IAMUser",
        "principalId": f"AID{who}",
        "arn": f"arn:aws:iam::111122223333:user/{who}",
        "accountId": "111122223333",
        "accessKeyId": f"AKIA{who.upper()}",
        "userName": who,
    }
    return {
        "eventVersion": "1.08",
        "userIdentity": more.get("identity", identity),
        "eventTime": stamp(at),
        "eventSource": f"{more.get('service', 'iam')}.amazonaws.com",
        "eventName": action,
        "awsRegion": "eu-central-1",
        "sourceIPAddress": source,
        "userAgent": more.get("agent", "aws-cli/2.15.30"),
        "requestParameters": more.get("parameters"),
        "responseElements": None,
        "eventID": new_id(),
        "readOnly": action.startswith(("Describe", "List", "Get")),
        "eventType": "AwsApiCall",
        "recipientAccountId": "111122223333",
        **({"errorCode": more["error"]} if "error" in more else {}),
    }


def role(name: str) -> dict[str, Any]:
    issuer = {"type": "Role", "principalId": f"ARO{name}", "arn": f"arn:aws:iam::1:role/{name}", "userName": name}
    return {
        "type": "AssumedRole",
        "principalId": f"ARO{name}:ci",
        "arn": f"arn:aws:sts::111122223333:assumed-role/{name}/ci",
        "accountId": "111122223333",
        "accessKeyId": f"ASIA{name.upper()}",
        "sessionContext": {"sessionIssuer": issuer},
    }


def kubernetes(at: datetime, verb: str, resource: str, who: str, source: str, **more: Any) -> dict[str, Any]:
    return {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "RequestResponse",
        "auditID": new_id(),
        "stage": "ResponseComplete",
        "requestURI": f"/api/v1/{resource}",
        "verb": verb,
        "user": {"username": who, "groups": ["system:authenticated"]},
        "sourceIPs": [source],
        "userAgent": "kubectl/v1.30.0",
        "objectRef": {"resource": resource, "namespace": "shop", "name": "web-1", **more.get("ref", {})},
        "responseStatus": {"code": more.get("code", 200)},
        "requestReceivedTimestamp": stamp(at),
        **({"requestObject": more["sent"]} if "sent" in more else {}),
    }


def azure(at: datetime, operation: str, who: str, source: str) -> dict[str, Any]:
    return {
        "time": stamp(at),
        "resourceId": f"/subscriptions/s1/resourceGroups/rg/{operation}",
        "operationName": operation,
        "category": "Administrative",
        "resultType": "Success",
        "caller": who,
        "callerIpAddress": source,
        "identity": {"claims": {"name": who}},
    }


def ticket(at: datetime, user: str, service: str, source: str, encryption: str) -> dict[str, Any]:
    return windows(
        at,
        4769,
        TargetUserName=f"{user}@CORP.EXAMPLE",
        TargetDomainName="CORP.EXAMPLE",
        ServiceName=service,
        TicketEncryptionType=encryption,
        IpAddress=f"::ffff:{source}",
        Status="0x0",
    )


def added(at: datetime, actor: str, member: str, group: str, sid: str) -> dict[str, Any]:
    member_sid = f"S-1-5-21-1-2-3-{len(member)}"
    return windows(
        at, 4728, SubjectUserName=actor, MemberName=member, MemberSid=member_sid, TargetUserName=group, TargetSid=sid
    )


def deployment(at: datetime, name: str, address: str) -> list[dict[str, Any]]:
    """A run of Terraform as a role: it looks at everything, then makes a role, opens a port and ends a machine."""
    services = ("ec2", "iam", "s3", "rds", "kms", "lambda", "elasticloadbalancing", "route53")
    reads = [
        trail(
            at + timedelta(seconds=i), f"Describe{'ABCDEFGH'[i % 8]}{i}", name, address, service=services[i % 8],
            agent="APN/1.0 HashiCorp/1.0 Terraform/1.9.5", identity=role(name),
        )
        for i in range(40)
    ]  # fmt: skip
    made = [
        ("iam", "CreateRole", {"roleName": "web", "assumeRolePolicyDocument": '{"Principal":{"Service":"ec2"}}'}),
        ("iam", "AttachRolePolicy", {"roleName": "web", "policyArn": "arn:aws:iam::aws:policy/AdministratorAccess"}),
        ("ec2", "AuthorizeSecurityGroupIngress", {
            "groupId": "sg-1",
            "ipPermissions": {"items": [{"fromPort": 443, "ipRanges": {"items": [{"cidrIp": "0.0.0.0/0"}]}}]},
        }),
        ("ec2", "TerminateInstances", {"instancesSet": {"items": [{"instanceId": "i-1"}]}}),
    ]  # fmt: skip
    return reads + [
        trail(at + timedelta(minutes=1), action, name, address, service=service, parameters=sent, identity=role(name),
              agent="APN/1.0 HashiCorp/1.0 Terraform/1.9.5")
        for service, action, sent in made
    ]  # fmt: skip


_ASKED = (
    "ListUsers", "ListRoles", "ListGroups", "ListPolicies", "GetAccountSummary", "ListAccessKeys", "ListBuckets",
    "DescribeInstances", "DescribeSecurityGroups", "ListFunctions20150331", "ListSecrets", "DescribeDBInstances",
    "ListKeys", "GetCallerIdentity",
)  # fmt: skip


def questions(at: datetime, who: str, source: str) -> list[dict[str, Any]]:
    """What somebody asks who found a key and doesn't know what it may do: each second question is refused."""
    return [
        trail(at + i * timedelta(seconds=5), action, who, source, **({"error": "AccessDenied"} if i % 2 else {}))
        for i, action in enumerate(_ASKED)
    ]
