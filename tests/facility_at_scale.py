"""A large facility, the same each time: 30,000 people, 40,000 experiments, 200,000 participations."""

import csv
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ISS = "https://proxy.example.org"
PEOPLE, PROPOSALS, EXPERIMENTS, TEAM, INSTRUMENTS = 30_000, 20_000, 40_000, 5, 20
GIVEN = [f"{first}{last}" for first in ("An", "Be", "Chlo", "Dmi", "Jo") for last in ("a", "né", "ti", "ulia")]
FAMILY = [f"{first}{last}" for first in ("Ber", "Cos", "Fisch", "Mor") for last in ("ger", "ta", "er", "eau")]
WORDS = ["structure", "of", "magnetic", "films", "under", "pressure", "by", "diffraction", "in", "operando", "cells"]


@dataclass(frozen=True, slots=True)
class Session:
    number: int
    proposal: int
    instrument: int
    start: datetime
    end: datetime
    team: tuple[int, ...]


class Facility:
    """Sessions spread over ten years up to half a year from now; three proposals of ten are public."""

    def __init__(self) -> None:
        self.random = random.Random(20261120)
        self.today = datetime.now(UTC).replace(hour=8, minute=0, second=0, microsecond=0)
        self.titles = [f"{' '.join(self.random.choices(WORDS, k=7))} {n}" for n in range(PROPOSALS)]
        self.sessions = [self._session(n) for n in range(EXPERIMENTS)]

    def _session(self, n: int) -> Session:
        days = -3468 + 3650 * n // EXPERIMENTS
        start = self.today + timedelta(days=days)
        # Consecutive beam times of one proposal, as usual; the teams of its sessions differ a little.
        team = self.random.sample(range(PEOPLE), TEAM)
        return Session(n, n // 2, n % INSTRUMENTS, start, start + timedelta(days=2), tuple(team))

    def a_day_later(self, proposals: int = 50) -> None:
        """So many proposals of these weeks have another title and somebody new in the team."""
        near = {s.proposal: s for s in self.sessions if abs(s.start - self.today) < timedelta(days=10)}
        assert len(near) >= proposals, "not enough experiments around today"
        for session in list(near.values())[:proposals]:
            self.titles[session.proposal] += " (amended)"
            new = next(who for who in range(PEOPLE) if who not in session.team)
            self.sessions[session.number] = replace(session, team=(*session.team[:-1], new))

    def released(self, proposal: int) -> str:
        return "2024-01-01" if proposal % 10 < 3 and proposal < PROPOSALS * 0.8 else ""

    def tables(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        _write(folder, "instruments", "code,name", ([f"id{n:02}", f"ID{n:02}"] for n in range(INSTRUMENTS)))
        _write(
            folder,
            "people",
            "person,iss,sub,name,email",
            ([f"u{n}", ISS, f"{n:08x}@example.org", name(n), f"p{n}@example.org"] for n in range(PEOPLE)),
        )
        _write(
            folder,
            "proposals",
            "code,title,abstract,released,doi",
            (
                [f"hc-{n}", title, title * 6, self.released(n), f"10.5072/{n}" if self.released(n) else ""]
                for n, title in enumerate(self.titles)
            ),
        )
        _write(folder, "experiments", "key,proposal,instrument,title,start,end", self._experiments())
        _write(
            folder,
            "participations",
            "experiment,person,part",
            ([str(s.number), f"u{who}", part(i)] for s in self.sessions for i, who in enumerate(s.team)),
        )
        _write(
            folder,
            "roles",
            "person,role,instrument,because",
            ([f"u{n}", "instrument_scientist", f"id{n:02}", "staff"] for n in range(INSTRUMENTS)),
        )

    def _experiments(self) -> Iterator[list[str]]:
        for s in self.sessions:
            title = self.titles[s.proposal]
            times = s.start.isoformat(), s.end.isoformat()
            yield [str(s.number), f"hc-{s.proposal}", f"id{s.instrument:02}", title, *times]

    def investigations(self) -> list[dict[str, Any]]:
        """As ICAT+ gives them; users are shared between rows, to be small."""
        users = [
            {"name": f"oidc/{n:08x}@example.org", "fullName": name(n), "email": f"p{n}@example.org"}
            for n in range(PEOPLE)
        ]
        return [
            {
                "id": s.number,
                "name": f"HC-{s.proposal}",
                "visitId": f"ID{s.instrument:02}",
                "startDate": _iso(s.start),
                "endDate": _iso(s.end),
                "title": self.titles[s.proposal],
                "summary": self.titles[s.proposal] * 6,
                "parameters": {},
                "instrument": {"id": s.instrument, "name": f"ID{s.instrument:02}", "instrumentScientists": []},
                "investigationUsers": [
                    {"role": "Participant" if i else "Principal investigator", "user": users[who]}
                    for i, who in enumerate(s.team)
                ],
            }
            | (
                {"releaseDate": f"{day}T00:00:00.000Z", "doi": f"10.5072/{s.proposal}"}
                if (day := self.released(s.proposal))
                else {}
            )
            for s in self.sessions
        ]


def name(n: int) -> str:
    return f"{GIVEN[n % len(GIVEN)]} {FAMILY[n // len(GIVEN) % len(FAMILY)]}-{n // 320}"


def part(place: int) -> str:
    return "participant" if place else "principal_investigator"


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _write(folder: Path, table: str, header: str, lines: Iterable[list[str]]) -> None:
    with (folder / f"{table}.csv").open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([header.split(","), *lines])
