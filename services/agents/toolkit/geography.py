"""Where an address or a login was, as far as that can be known, and how far two such places are apart at least.

A provider of identities that tells coordinates knows best. Else an address leads to a country: a circle around its
main lands, so that what is computed from it is the least distance possible. Hosting networks and addresses that aren't
public are at no place: programs, VPNs and proxies answer there. Pure, but for the file that is read once.

The table of addresses is GeoLite2 data created by MaxMind (https://www.maxmind.com), as the geoip2fast package has it.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import geoip2fast
import msgspec

from services.agents.toolkit.indicators import classify_address

_KNOWLEDGE = Path(__file__).parent / "knowledge"
_TABLE = Path(geoip2fast.__file__).parent / "geoip2fast-asn-ipv6.dat.gz"
_EARTH_KM = 6371.0
#: How far from a city's coordinates its users may be.
_CITY_KM = 100.0
#: Where identity providers tell the coordinates of a login.
_COORDINATES = (
    ("okta.client.geographicalContext.geolocation.lat", "okta.client.geographicalContext.geolocation.lon"),
    ("azure.properties.location.geoCoordinates.latitude", "azure.properties.location.geoCoordinates.longitude"),
    ("azure.location.geoCoordinates.latitude", "azure.location.geoCoordinates.longitude"),
)


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A circle in which something was: degrees and km. `country` is an ISO code, `network` the name of its network;
    both may be empty."""

    latitude: float
    longitude: float
    radius_km: float
    country: str = ""
    network: str = ""


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What an address is by the table: country and network, empty where unknown. `hosted`: no person's place."""

    country: str = ""
    network: str = ""
    hosted: bool = False


@lru_cache(maxsize=1)
def _table() -> Any:
    return geoip2fast.GeoIP2Fast(geoip2fast_data_file=str(_TABLE))


@lru_cache(maxsize=1)
def _circles() -> Mapping[str, tuple[float, float, float]]:
    circles: dict[str, tuple[float, float, float]] = json.loads((_KNOWLEDGE / "countries.json").read_bytes())["circles"]
    return circles


@lru_cache(maxsize=1)
def _hosting() -> tuple[str, ...]:
    return tuple(json.loads((_KNOWLEDGE / "hosting.json").read_bytes())["networks"])


async def load() -> None:
    """Reads the table, which takes the better part of a second once, beside the event loop."""
    await asyncio.to_thread(_table)


@lru_cache(maxsize=4096)
def origin_of(address: str) -> Origin:
    """What the table knows of an address; nothing for one that isn't public."""
    try:
        if classify_address(address) != "public":
            return Origin()
    except ValueError:
        return Origin()
    found = _table().lookup(address)
    country, network = str(found.country_code or ""), str(found.asn_name or "")
    hosted = network.lower().startswith(_hosting())
    return Origin(country=country if country.isalpha() else "", network=network[:80], hosted=hosted)


def place_of(address: str, ecs: Mapping[str, Any]) -> Place | None:
    """Where a login from this address was; None where nobody can tell."""
    origin = origin_of(address)
    if origin.hosted:
        return None
    for north, east in _COORDINATES:
        latitude, longitude = _degrees(ecs.get(north), 90), _degrees(ecs.get(east), 180)
        if latitude is not None and longitude is not None:
            return Place(
                latitude=latitude,
                longitude=longitude,
                radius_km=_CITY_KM,
                country=origin.country,
                network=origin.network,
            )
    circle = _circles().get(origin.country)
    if circle is None:
        return None
    return Place(
        latitude=circle[0],
        longitude=circle[1],
        radius_km=circle[2],
        country=origin.country,
        network=origin.network,
    )


def _degrees(value: Any, most: float) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value) if abs(value) <= most else None


def least_km(one: Place, other: Place) -> float:
    """The shortest way between two circles over the ground, in km; 0 where they meet."""
    north, south = math.radians(one.latitude), math.radians(other.latitude)
    across = math.radians(other.longitude - one.longitude)
    half = math.sin((south - north) / 2) ** 2 + math.cos(north) * math.cos(south) * math.sin(across / 2) ** 2
    centres = 2 * _EARTH_KM * math.asin(min(1.0, math.sqrt(half)))
    return max(0.0, centres - one.radius_km - other.radius_km)
