"""One small facility in the words of each catalogue, so that one suite can ask all of them the same."""

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from auth.catalogues import icat, scicat
from auth.catalogues.base import Source
from auth.catalogues.files import Files
from auth.catalogues.wire import Account, Patience

from .services import PASSWORD, USER, IcatPlus, SciCat, Service

ISS = "https://proxy.example.org"
PEOPLE = {"ann": "Ann", "bob": "Bob", "cyd": "Cyd"}
QUICK = Patience(connect=1.0, silence=0.4, whole=2.0, tries=3, pause=0.01, longest_pause=0.05)
ROLES = {"principal_investigator": "Principal investigator", "participant": "Participant"}


@dataclass
class Session:
    number: int
    proposal: str
    instrument: str
    day: int


@dataclass
class Facility:
    """Seven proposals, eight sessions: four pages of two for ICAT+ as for SciCat."""

    sessions: list[Session] = field(
        default_factory=lambda: [
            *(Session(n, f"HC-{n}", "ID01", n) for n in range(1, 7)),
            Session(7, "IN-7", "ID02", 7),
            Session(8, "HC-1", "ID02", 8),
        ]
    )
    teams: dict[str, dict[str, str]] = field(
        default_factory=lambda: {
            "HC-1": {"ann": "principal_investigator", "bob": "participant"},
            "HC-2": {"bob": "principal_investigator", "cyd": "participant"},
            "IN-7": {"cyd": "principal_investigator"},
        }
    )
    released: dict[str, str] = field(default_factory=lambda: {"HC-1": "2024-01-01", "IN-7": "2024-01-01"})
    changed: dict[str, str] = field(default_factory=dict)
    """Proposal → when its catalogue says that it last changed."""

    def proposals(self) -> Iterable[str]:
        return dict.fromkeys(session.proposal for session in self.sessions)

    def title(self, proposal: str) -> str:
        return f"What {proposal} is about, é and ☃"


def times(session: Session) -> tuple[str, str]:
    return f"2026-05-{session.day:02}T08:00:00.000Z", f"2026-05-{session.day:02}T20:00:00.000+02:00"


def table(file: Path, header: str, lines: Iterable[Iterable[str]]) -> None:
    with file.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([header.split(","), *lines])


class FilesWorld:
    service: Service | None = None

    def __init__(self, folder: Path) -> None:
        self.folder, self.facility = folder, Facility()

    def source(self) -> Source:
        facility, folder = self.facility, self.folder
        table(
            folder / "instruments.csv",
            "code,name",
            [[name.lower(), name] for name in sorted({s.instrument for s in facility.sessions} | {"ID01"})],
        )
        table(
            folder / "people.csv",
            "person,iss,sub,name",
            [[who, ISS, who, name] for who, name in PEOPLE.items() if any(who in t for t in facility.teams.values())],
        )
        table(
            folder / "proposals.csv",
            "code,title,proprietary,released,doi",
            [
                [
                    name.lower(),
                    facility.title(name),
                    "yes" if name.startswith("IN") else "no",
                    "" if name.startswith("IN") else facility.released.get(name, ""),
                    f"10.5072/{name}" if name in facility.released else "",
                ]
                for name in facility.proposals()
            ],
        )
        table(
            folder / "experiments.csv",
            "key,proposal,instrument,title,start,end",
            [
                [str(s.number), s.proposal.lower(), s.instrument.lower(), facility.title(s.proposal), *times(s)]
                for s in facility.sessions
            ],
        )
        table(
            folder / "participations.csv",
            "experiment,person,part",
            [
                [str(s.number), who, part]
                for s in facility.sessions
                for who, part in facility.teams.get(s.proposal, {}).items()
            ],
        )
        table(folder / "roles.csv", "person,role,because", [])
        return Files(folder)


class ServiceWorld:
    """`settings` is the configuration file, for a test to change before `source`."""

    service: IcatPlus | SciCat
    settings: dict[str, Any]

    def __init__(self, folder: Path) -> None:
        self.folder, self.facility = folder, Facility()

    def config(self) -> Path:
        file = self.folder / "config.json"
        file.write_text(json.dumps(self.settings), encoding="utf-8")
        return file


class IcatWorld(ServiceWorld):
    def __init__(self, folder: Path, service: IcatPlus) -> None:
        super().__init__(folder)
        self.service: IcatPlus = service
        table(folder / "users.csv", "user,iss,sub", [[f"db/{who}", ISS, who] for who in PEOPLE])
        self.settings = {
            "url": service.base,
            "plugin": "db",
            "page_size": 2,
            "people": {"table": "users.csv"},
            "parts": {role: part for part, role in ROLES.items()},
            "proprietary": ["in-"],
        }

    def source(self) -> icat.Icat:
        self.service.rows = [self.investigation(session) for session in self.facility.sessions]
        return icat.Icat(icat.load(self.config()), Account(USER, PASSWORD), QUICK)

    def investigation(self, session: Session) -> dict[str, Any]:
        facility, (start, end) = self.facility, times(session)
        row = {
            "id": session.number,
            "name": session.proposal,
            "visitId": f"{session.instrument} {session.number}",
            "startDate": start,
            "endDate": end,
            "title": facility.title(session.proposal),
            "summary": "",
            "parameters": {},
            "instrument": {"id": 1, "name": session.instrument, "instrumentScientists": []},
            "investigationUsers": [
                {
                    "role": ROLES[part],
                    "user": {"name": f"db/{who}", "fullName": PEOPLE[who], "email": "all@example.org"},
                }
                for who, part in facility.teams.get(session.proposal, {}).items()
            ],
        }
        if day := facility.released.get(session.proposal):
            row |= {"releaseDate": f"{day}T00:00:00.000Z", "doi": f"10.5072/{session.proposal}"}
        return row


class SciCatWorld(ServiceWorld):
    def __init__(self, folder: Path, service: SciCat) -> None:
        super().__init__(folder)
        self.service: SciCat = service
        self.settings = {
            "url": service.base,
            "page_size": 2,
            "members": "members.csv",
            "proprietary": ["in-"],
            "metadata": {"released": "releaseDate", "doi": "doi"},
        }

    def source(self) -> scicat.Scicat:
        self.service.rows = [self.proposal(name) for name in self.facility.proposals()]
        table(
            self.folder / "members.csv",
            "group,iss,sub,name,part",
            [
                [name.lower(), ISS, who, PEOPLE[who], part]
                for name, team in self.facility.teams.items()
                for who, part in team.items()
            ],
        )
        return scicat.Scicat(scicat.load(self.config()), Account(USER, PASSWORD), QUICK)

    def proposal(self, name: str) -> dict[str, Any]:
        day = self.facility.released.get(name)
        return {
            "proposalId": name,
            "_id": f"id of {name}",
            "email": "all@example.org",
            "pi_email": "all@example.org",
            "title": self.facility.title(name),
            "abstract": "",
            "updatedAt": self.facility.changed.get(name, "2026-05-01T00:00:00.000Z"),
            "ownerGroup": name.lower(),
            "accessGroups": ["everybody"],
            "isPublished": day is not None,
            "instrumentIds": [],
            "metadata": {"releaseDate": {"value": day, "unit": ""}, "doi": f"10.5072/{name}"} if day else {},
            "MeasurementPeriodList": [
                {"id": f"p{s.number}", "instrument": f"/EXAMPLE/{s.instrument}", "start": start, "end": end}
                for s in self.facility.sessions
                if s.proposal == name
                for start, end in [times(s)]
            ],
        }


World = FilesWorld | IcatWorld | SciCatWorld
