"""Examples in the API's description: a body for each shape that is sent, a value for each parameter of a path. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_RULE_ID = "3f8a2d3c-5a0e-4d8b-9c2e-7b1f6a4e0d11"
_SIGMA = f"""title: Shell started by a web server
id: {_RULE_ID}
status: experimental
logsource:
  product: linux
  category: process_creation
detection:
  selection:
    ParentImage|endswith: /nginx
    Image|endswith: /sh
  condition: selection
falsepositives:
  - CGI scripts
level: high
tags:
  - attack.execution
  - attack.t1059.004
"""

#: By the name of the shape.
BODIES: Mapping[str, Any] = {
    "AlertAcknowledge": {},
    "AlertCreate": {
        "title": "Ransom note on a file server",
        "severity": "critical",
        "source": "helpdesk",
        "entities": {"host": "files01"},
        "observables": [{"type": "ip", "value": "203.0.113.7"}],
        "mitre_techniques": ["T1486"],
    },
    "AlertUpdate": {"status": "investigating"},
    "ChangePassword": {"current_password": "correct horse battery", "new_password": "staple battery horse"},
    "ChangeProfile": {"name": "Ada Lovelace"},
    "ChangeUser": {"role": "operator"},
    "ConnectAws": {"roleArn": "arn:aws:iam::123456789012:role/aurora-read"},
    "ConnectAzure": {
        "tenantId": "0e7f0a8e-94a1-4f3a-9e0b-0d7f4c1c2a10",
        "clientId": "5d0f8f4b-3c0e-4f6e-8a6e-2f9b7f3f1b21",
        "clientSecret": "the secret of the application",
    },
    "CreateApiKey": {"name": "shipper of web01", "scopes": ["siem:write"]},
    "CreateUser": {"username": "ada", "role": "analyst", "password": "correct horse battery"},
    "DispatchRequest": {
        "agent": "threat_intel",
        "method": "analyze_threat",
        "params": {"alert_id": "ALRT-2026-000001", "iocs": [{"type": "ip", "value": "203.0.113.7"}]},
        "timeout_seconds": 30,
    },
    "Explain": {"log_id": "0198c0de-0000-7000-8000-000000000001"},
    "FeedbackCreate": {"verdict": "false_positive", "alert_id": "ALRT-2026-000001", "comment": "the backup job"},
    "HuntCreate": {
        "name": "Shells of web servers",
        "query": "process.parent.name:nginx AND process.name:{{shell}}",
        "parameters": [{"name": "shell", "default": "sh"}],
        "mitre_techniques": ["T1505.003"],
        "range_hours": 24,
    },
    "HuntRunRequest": {"parameters": {"shell": "bash"}},
    "HuntUpdate": {"range_hours": 48},
    "IntelLookup": {
        "observables": [{"type": "domain", "value": "evil.example"}, {"type": "ip", "value": "203.0.113.7"}]
    },
    "InvestigateRequest": {"alert_id": "ALRT-2026-000001", "reason": "a second look"},
    "InvestigationDecision": {"reason": "the host is rebuilt today"},
    "PlaceholderUpdate": {"values": ["dc01", "dc02"], "description": "Domain controllers"},
    "PromoteLog": {"level": "medium", "days": 7},
    "RcaChangePassword": {"currentPassword": "correct horse battery", "newPassword": "staple battery horse"},
    "RcaLogin": {"email": "ada@example.org", "password": "correct horse battery"},
    "RcaRegister": {"email": "ada@example.org", "password": "correct horse battery", "name": "Ada Lovelace"},
    "ResetPassword": {"password": "correct horse battery"},
    "RuntimeUpdate": {"mode": "dry_run", "reason": "rehearsal"},
    "RotateApiKey": {"grace_seconds": 3600},
    "RuleRollback": {"reason": "the new text was too noisy"},
    "RuleUpdate": {"enabled": False, "reason": "too noisy"},
    "RunRequest": {"since": "2026-06-14T00:00:00Z", "until": "2026-06-15T00:00:00Z"},
    "SamlAnswer": {"SAMLResponse": "PHNhbWxwOlJlc3BvbnNlLz4="},
    "SourceUpdate": {"retention_days": 90},
    "StartLogin": {"userId": "user_5f3a0c9d7b1e42a68d0c4e2f9a7b6c10"},
    "SuppressionCreate": {"fields": {"host.name": ["backup*"]}, "reason": "the backup job reads every file"},
    "TokenRequest": {"username": "ada", "password": "correct horse battery"},
}

#: Bodies that a handler reads itself: by path, then by media type.
RAW: Mapping[str, Mapping[str, Any]] = {
    "/api/v1/detections/rules": {"application/yaml": _SIGMA, "application/json": {"sigma": _SIGMA}},
    "/api/v1/detections/rules/import": {"application/yaml": _SIGMA},
    "/api/v1/siem/logs/ingest": {
        "application/json": [{"message": "Failed password for root from 203.0.113.7 port 4242 ssh2", "host": "web01"}],
        "application/x-ndjson": '{"message": "session opened for user root", "host": "web01"}\n',
        "text/plain": "Jun 14 12:00:00 web01 sshd[812]: Failed password for root from 203.0.113.7 port 4242 ssh2\n",
    },
    "/api/v1/intel/import": {
        "application/json": {"type": "bundle", "id": "bundle--0198c0de-0000-7000-8000-000000000001", "objects": []},
        "text/csv": "indicator,type,confidence\nevil.example,domain,80\n",
        "text/plain": "203.0.113.7\nevil.example\n",
        "application/octet-stream": "203.0.113.7\nevil.example\n",
    },
    "/_bulk": {"*/*": '{"create": {"_index": "logs"}}\n{"message": "session opened for user root"}\n'},
    "/{index}/_bulk": {"*/*": '{"create": {}}\n{"message": "session opened for user root"}\n'},
    "/services/collector/event": {"*/*": '{"event": "session opened for user root", "host": "web01"}'},
    "/services/collector/raw": {"*/*": "session opened for user root\n"},
    "/loki/api/v1/push": {
        "application/json": {"streams": [{"stream": {"job": "sshd"}, "values": [["1781438400000000000", "a line"]]}]}
    },
    "/v1/logs": {
        "application/json": {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": "a line"}}]}]}]}
    },
}

#: By the name of a parameter in a path.
PARAMETERS: Mapping[str, str] = {
    "alert_id": "ALRT-2026-000001",
    "rule_id": _RULE_ID,
    "username": "ada",
    "version": "1",
    "index": "logs",
    "name": "domain_controllers",
}
ANY_ID = "0198c0de-0000-7000-8000-000000000001"
