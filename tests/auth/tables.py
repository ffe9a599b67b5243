"""A small facility as the six tables of the file catalogue."""

from pathlib import Path

TABLES = {
    "instruments.csv": "code,name,folder\nid01,One,\nid02,Two,raw/{proposal}/{date}\n",
    "people.csv": (
        "person,iss,sub,name,email,username\n"
        "ann,https://proxy.example.org,a@example.org,Ann,,\n"
        "bob,https://proxy.example.org,b@example.org,Bob,bob@example.org,bobby\n"
    ),
    "proposals.csv": (
        "code,title,abstract,proprietary,released\n"
        'hc-1,"One, with a comma","two\nlines",no,2030-01-01\n'
        "in-2,Two,,yes,\n"
    ),
    "experiments.csv": (
        "key,proposal,instrument,title,start,end\n"
        "e1,hc-1,id01,First,2026-11-20T08:00:00+01:00,2026-11-23T08:00:00+01:00\n"
        "e2,in-2,id02,Second,2026-10-20T08:00:00Z,2026-10-23T08:00:00Z\n"
    ),
    "participations.csv": "experiment,person,part\ne1,ann,principal_investigator\ne1,bob,participant\n",
    "roles.csv": "person,role,instrument,because\nbob,instrument_scientist,id01,staff\nann,auditor,,chosen\n",
}


def write(folder: Path) -> Path:
    for name, text in TABLES.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder
