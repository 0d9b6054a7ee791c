"""Event log files from elsewhere: SigmaHQ's regression set holds the same entries as EVTX and as JSON."""

from services.siem.logs.parsers import read_items
from services.siem.logs.parsers.evtx import MEDIA_TYPE
from tests.outside_rules import members, parsed


def test_every_event_log_file_gives_the_events_of_the_json_beside_it() -> None:
    files = {(path.stem, path.suffix): content for path, content in
             members("sigma-regression-dev.tar.xz", ".evtx", ".json")}  # fmt: skip
    pairs = [stem for stem, suffix in files if suffix == ".evtx" and (stem, ".json") in files]
    assert len(pairs) > 50
    for stem in pairs:
        binary = parsed(read_items(files[stem, ".evtx"], MEDIA_TYPE))
        text = parsed(read_items(files[stem, ".json"], "application/json"))
        assert binary
        assert {event.dataset for event in text} <= {event.dataset for event in binary}
        assert {event.ecs["event.code"] for event in text} <= {event.ecs["event.code"] for event in binary}
