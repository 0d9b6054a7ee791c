"""Where addresses are, how far places are apart, and which journeys nobody makes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.agents.toolkit import geography
from services.agents.toolkit.geography import Place, least_km, origin_of, place_of
from services.agents.toolkit.journeys import Point, is_impossible, journeys, told

START = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
_PLACES = st.builds(
    Place,
    latitude=st.floats(-90, 90),
    longitude=st.floats(-180, 180),
    radius_km=st.floats(0, 3000),
)


def at(latitude: float, longitude: float, radius: float = 0.0) -> Place:
    return Place(latitude=latitude, longitude=longitude, radius_km=radius)


@pytest.mark.parametrize(
    ("one", "other", "km"),
    [
        (at(52.52, 13.40), at(48.14, 11.58), 504),
        (at(51.51, -0.13), at(40.71, -74.01), 5570),
        (at(0, 179.5), at(0, -179.5), 111),
        (at(90, 0), at(-90, 0), 20015),
    ],
    ids=["Berlin to Munich", "London to New York", "over the date line", "pole to pole"],
)
def test_distances_are_those_over_the_ground(one: Place, other: Place, km: float) -> None:
    assert least_km(one, other) == pytest.approx(km, abs=2)


@settings(deadline=None)
@given(_PLACES, _PLACES)
def test_a_distance_is_the_same_both_ways_and_never_longer_than_half_the_earth(one: Place, other: Place) -> None:
    assert 0 <= least_km(one, other) <= 20016
    assert least_km(one, other) == pytest.approx(least_km(other, one), abs=0.001)
    assert least_km(one, one) == 0


def test_addresses_are_known_by_country_and_network_and_private_ones_by_nothing() -> None:
    assert (origin_of("91.0.0.1").country, origin_of("91.0.0.1").hosted) == ("DE", False)
    assert origin_of("2a02:810d::1").country == "DE"
    assert origin_of("8.8.8.8").hosted
    for nowhere in ("10.0.0.1", "127.0.0.1", "192.0.2.1", "no address", ""):
        assert origin_of(nowhere) == geography.Origin()


def test_a_hosting_network_is_at_no_place_whatever_coordinates_are_told() -> None:
    told_by = {"azure.properties.location.geoCoordinates.latitude": 1.0,
               "azure.properties.location.geoCoordinates.longitude": 2.0}  # fmt: skip
    assert place_of("8.8.8.8", told_by) is None
    known = place_of("91.0.0.1", told_by)
    assert known is not None
    assert (known.latitude, known.longitude) == (1.0, 2.0)


@pytest.mark.parametrize("latitude", [91, "52.5", True, float("nan"), None], ids=str)
def test_coordinates_that_are_none_are_not_believed(latitude: object) -> None:
    place = place_of(
        "91.0.0.1",
        {"okta.client.geographicalContext.geolocation.lat": latitude,
         "okta.client.geographicalContext.geolocation.lon": 13.4},
    )  # fmt: skip
    assert place is not None
    assert place.radius_km > 400  # Germany, not a city


def test_every_country_of_the_table_is_a_circle_on_the_earth() -> None:
    file = Path(geography.__file__).parent / "knowledge" / "countries.json"
    circles = json.loads(file.read_bytes())["circles"]
    assert len(circles) > 200
    for code, (north, east, radius) in circles.items():
        assert len(code) == 2
        assert code.isupper()
        assert -90 <= north <= 90
        assert -180 <= east <= 180
        assert 0 < radius < 4500


@pytest.mark.parametrize(
    ("km", "seconds", "impossible"),
    [
        (8000, 3600, True),
        (8000, 12 * 3600, False),
        (499, 0, False),
        (500, 0, True),
        (901, 3600, True),
        (899, 3600, False),
    ],
)
def test_nobody_travels_faster_than_an_airliner(km: float, seconds: float, impossible: bool) -> None:
    assert is_impossible({"km": km, "seconds": seconds}) is impossible


def test_journeys_join_each_persons_points_in_a_row_and_none_where_circles_meet() -> None:
    germany, japan, poland = at(51, 10, 450), at(38, 137, 990), at(52, 19, 410)

    def point(minutes: int, who: str, source: str, place: Place) -> Point:
        return Point(START + timedelta(minutes=minutes), who, source, place, f"log-{minutes}")

    points = [
        point(0, "ada", "91.0.0.1", germany),
        point(1, "bob", "83.0.0.1", poland),
        point(2, "ada", "118.0.0.1", japan),
        point(3, "bob", "91.0.0.1", germany),
        point(4, "ada", "118.0.0.1", germany),
    ]
    [row] = journeys(points)
    assert (row["user"], row["log_ids"], row["seconds"]) == ("ada", ["log-0", "log-2"], 120)
    assert is_impossible(row)


def test_what_is_told_of_a_journey_quotes_its_names() -> None:
    row = {
        "user": 'eve"\u202e', "from": {"ip": "91.0.0.1", "country": "DE", "network": ""},
        "to": {"ip": "118.0.0.1", "country": "", "network": ""}, "km": 7000, "seconds": 1800, "log_ids": [],
    }  # fmt: skip
    assert told(row) == (
        '"eve\\"\\u202e" was at "91.0.0.1" ("DE") and "118.0.0.1" (by coordinates), at least 7000 km apart, '
        "within 30 minutes"
    )
