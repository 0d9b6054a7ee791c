"""What a change of the runtime settings comes to, and what holds without one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.gateway.runtime_settings import domain
from services.gateway.runtime_settings.domain import NOTHING
from shared.config import ConfigError
from shared.contracts.settings import HeldOverrides, RuntimeOverrides, RuntimeUpdate, RuntimeValue
from shared.contracts.wire import encode, to_builtins
from shared.errors import AuroraError
from shared.live_settings import LiveSettings

NOON = datetime(2026, 6, 14, 12, tzinfo=UTC)
WHO = ("user_a", "ada")


def test_a_change_is_numbered_and_tells_what_was_before() -> None:
    first = domain.changed(NOTHING, RuntimeUpdate(reason="exercise", mode="active"), WHO, NOON)
    second = domain.changed(first, RuntimeUpdate(reason="over", mode=None, log_level="debug"), WHO, NOON)
    assert (first.revision, second.revision) == (1, 2)
    assert second.overrides == RuntimeOverrides(log_level="debug")
    assert second.change is not None
    assert second.change.changed == {"mode": RuntimeValue("active", None), "log_level": RuntimeValue(None, "debug")}
    assert (second.change.changed_by, second.change.changed_by_name, second.change.reason) == ("user_a", "ada", "over")


def test_a_change_to_what_holds_is_none_and_one_of_nothing_is_refused() -> None:
    first = domain.changed(NOTHING, RuntimeUpdate(reason="exercise", mode="active"), WHO, NOON)
    assert domain.changed(first, RuntimeUpdate(reason="again", mode="active"), WHO, NOON) is first
    with pytest.raises(AuroraError) as refused:
        domain.changed(first, RuntimeUpdate(reason="nothing"), WHO, NOON)
    assert refused.value.code.code == "AURORA-4220"


def test_what_nats_keeps_is_known_by_the_number_and_the_time_of_its_change() -> None:
    first = domain.changed(NOTHING, RuntimeUpdate(reason="exercise", mode="active"), WHO, NOON)
    newer_form = encode({**to_builtins(first.told()), "overrides": {"mode": "active", "not_known_here": 1}})
    assert domain.is_told(encode(first.told()), first)
    assert domain.is_told(newer_form, first)
    assert domain.is_told(b"", NOTHING)
    elsewhere = domain.changed(NOTHING, RuntimeUpdate(reason="other", mode="active"), WHO, NOON + timedelta(days=1))
    for kept in (b"", b"{not json", encode(elsewhere.told()), encode(NOTHING.told())):
        assert not domain.is_told(kept, first)


def test_if_match_names_a_revision() -> None:
    assert [domain.expected_revision(text) for text in (None, "*", '"17"', ' "0" ')] == [None, None, 17, 0]
    for text in ("17", 'W/"17"', '"x"', '"1", "2"', '""', '"' + "9" * 30 + '"'):
        with pytest.raises(AuroraError):
            domain.expected_revision(text)


def test_the_environment_holds_where_nothing_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AURORA_MODE", "dry_run")
    monkeypatch.setenv("AURORA_SIEM_LOG_RETENTION_DAYS", "30")
    live = LiveSettings("siem")
    assert (live.current.mode, live.current.log_retention_days) == ("dry_run", 30)
    live.apply(HeldOverrides(1, RuntimeOverrides(mode="active")))
    assert (live.current.mode, live.current.log_retention_days) == ("active", 30)
    live.apply(HeldOverrides(2, RuntimeOverrides()))
    assert live.current.mode == "dry_run"


def test_a_setting_of_the_environment_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AURORA_MODE", "berserk")
    with pytest.raises(ConfigError, match="AURORA_MODE is not a valid mode") as refused:
        LiveSettings("siem")
    assert "berserk" not in str(refused.value)


def test_what_was_heard_last_is_remembered_for_the_next_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "settings" / "siem.json"
    monkeypatch.setenv("AURORA_RUNTIME_SETTINGS_FILE", str(file))
    LiveSettings("siem").apply(HeldOverrides(4, RuntimeOverrides(mode="active")))
    assert LiveSettings("siem").current.mode == "active"
    file.write_text("{not json")
    assert LiveSettings("siem").current.mode == "monitor"
