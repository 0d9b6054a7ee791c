"""AWS CloudTrail records, and the files they come in."""

from datetime import UTC, datetime
from typing import Any

import orjson

from services.siem.logs.parsers import read_items
from tests.unit.parsers.parsing import event

RECORD: dict[str, Any] = {
    "eventVersion": "1.09",
    "userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/mallory", "userName": "mallory"},
    "eventTime": "2026-11-22T10:15:00Z",
    "eventSource": "iam.amazonaws.com",
    "eventName": "CreateAccessKey",
    "awsRegion": "eu-central-1",
    "sourceIPAddress": "192.0.2.44",
    "userAgent": "aws-cli/2.15",
    "requestParameters": {"userName": "backup"},
    "responseElements": None,
    "readOnly": False,
    "recipientAccountId": "111122223333",
}


def test_a_record_has_ecs_names_and_keeps_its_own() -> None:
    found = event(RECORD)
    assert found.dataset == "aws.cloudtrail"
    assert found.timestamp == datetime(2026, 11, 22, 10, 15, tzinfo=UTC)
    assert found.ecs["event.action"] == "CreateAccessKey"
    assert found.ecs["user.name"] == "mallory"
    assert found.ecs["source.ip"] == "192.0.2.44"
    assert found.ecs["event.outcome"] == "success"
    assert found.ecs["event.category"] == ["iam"]
    assert found.ecs["aws.cloudtrail.requestParameters.userName"] == "backup"


def test_sigma_sees_cloudtrail_with_whole_sections_as_text() -> None:
    (view,) = event(RECORD).views
    assert (view.product, view.category, view.services) == ("aws", None, ("cloudtrail",))
    assert view.fields["eventSource"] == "iam.amazonaws.com"
    assert view.fields["requestParameters"] == '{"userName":"backup"}'
    assert "errorCode" not in view.fields


def test_a_refused_call_is_a_failure() -> None:
    found = event({**RECORD, "errorCode": "AccessDenied"})
    assert (found.ecs["event.outcome"], found.ecs["error.code"]) == ("failure", "AccessDenied")


def test_a_caller_that_is_a_service_has_no_address() -> None:
    found = event({**RECORD, "sourceIPAddress": "ec2.amazonaws.com"})
    assert found.ecs["source.address"] == "ec2.amazonaws.com"
    assert "source.ip" not in found.ecs


def test_a_file_of_records_is_one_event_each() -> None:
    body = orjson.dumps({"Records": [RECORD, {**RECORD, "eventName": "DeleteTrail"}]})
    names = [item["eventName"] for item in read_items(body, "application/json") if isinstance(item, dict)]
    assert names == ["CreateAccessKey", "DeleteTrail"]


def test_an_object_that_holds_more_than_its_records_stays_whole() -> None:
    body = orjson.dumps({"Records": [RECORD], "next": 1})
    assert len(read_items(body, "application/json")) == 1
    assert read_items(b'{"Records":[1]}', "application/json") == [{"Records": [1]}]


def test_a_record_inside_a_shippers_envelope_is_the_same_event() -> None:
    found = event({"@timestamp": "2026-11-22T10:20:00Z", "message": orjson.dumps(RECORD).decode(), "host": "relay1"})
    assert found.dataset == "aws.cloudtrail"
    assert found.ecs["host.name"] == "relay1"
