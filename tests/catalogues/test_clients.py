"""The services that the catalogues are tested against, read by the clients that others publish for the real ones.

`icat-plus-client` is generated from ICAT+'s OpenAPI description and checks every type. `scitacean` covers, of SciCat,
the login, single proposals and measurement periods; how proposals are listed and counted no published client reads, and
what is checked here instead is said in `test_scicats_list_of_proposals_is_as_its_sources_say`.
"""

import json
import logging
import urllib.parse
import urllib.request
from typing import Any

import icat_plus_client as icatplus
import pytest
from icat_plus_client.exceptions import ForbiddenException
from scitacean import ScicatCommError, model
from scitacean.client import ScicatClient

from .services import PASSWORD, USER
from .worlds import IcatWorld, SciCatWorld


@pytest.fixture
def published(icat: IcatWorld) -> icatplus.ApiClient:
    icat.source()
    return icatplus.ApiClient(icatplus.Configuration(host=icat.service.base))


def signed_in(client: icatplus.ApiClient) -> str:
    credentials = icatplus.Credentials(plugin="db", username=USER, password=PASSWORD)
    session = icatplus.SessionApi(client).session_post(credentials).session_id
    assert session
    return session


def test_icat_plus_client_reads_every_investigation(icat: IcatWorld, published: icatplus.ApiClient) -> None:
    api, session = icatplus.CatalogueApi(published), signed_in(published)
    found = [
        row
        for skip in range(0, 8, 3)
        for row in api.catalogue_session_id_investigation_get(session, limit="3", skip=str(skip))
    ]
    assert [row.id for row in found] == [s.number for s in icat.facility.sessions]
    first = found[0]
    assert (first.name, first.release_date, first.doi) == ("HC-1", "2024-01-01T00:00:00.000Z", "10.5072/HC-1")
    assert first.instrument and first.instrument.name == "ID01"
    assert {(u.role, u.user.name) for u in first.investigation_users or []} == {
        ("Principal investigator", "db/ann"),
        ("Participant", "db/bob"),
    }
    assert all(row.meta and row.meta.page and row.meta.page.total == 8 for row in found)


def test_icat_plus_client_knows_every_field_that_is_answered(icat: IcatWorld, published: icatplus.ApiClient) -> None:
    """Its models pass over what they do not know: a field of our own invention would not be noticed."""
    raw = icatplus.CatalogueApi(published).catalogue_session_id_investigation_get_without_preload_content(
        signed_in(published), limit="100", skip="0"
    )
    for row in json.loads(raw.data):
        parsed = icatplus.Investigation.from_dict(row)
        assert parsed is not None
        assert unknown(row, parsed.to_dict()) == []


def unknown(said: Any, understood: Any, where: str = "") -> list[str]:
    """Paths of what was said and not understood."""
    if isinstance(said, dict):
        return [
            path
            for name, value in said.items()
            for path in (
                unknown(value, understood[name], f"{where}/{name}")
                if isinstance(understood, dict) and name in understood
                else [f"{where}/{name}"]
            )
        ]
    if isinstance(said, list):
        return [path for a, b in zip(said, understood, strict=True) for path in unknown(a, b, f"{where}[]")]
    return []


def test_icat_plus_client_reads_instrument_scientists(icat: IcatWorld, published: icatplus.ApiClient) -> None:
    icat.service.scientists = [
        {"id": "1", "user": {"name": "db/bob", "fullName": "Bob"}, "instrument": {"name": "ID01"}}
    ]
    api, session = icatplus.UserManagementApi(published), signed_in(published)
    found = api.catalogue_session_id_instrumentscientist_get(session)
    assert [(s.user.name, s.instrument.name) for s in found if s.user and s.instrument] == [("db/bob", "ID01")]


def test_icat_plus_client_signs_in_and_out(icat: IcatWorld, published: icatplus.ApiClient) -> None:
    api = icatplus.SessionApi(published)
    session = signed_in(published)
    api.session_session_id_delete(session)
    assert not icat.service.sessions
    with pytest.raises(ForbiddenException):
        icatplus.CatalogueApi(published).catalogue_session_id_investigation_get(session, limit="1", skip="0")
    with pytest.raises(ForbiddenException):
        api.session_post(icatplus.Credentials(plugin="db", username=USER, password="wrong"))


def client(scicat: SciCatWorld) -> ScicatClient:
    scicat.source()
    return ScicatClient.from_credentials(url=scicat.service.base, username=USER, password=PASSWORD, allow_http=True)


def test_scitacean_reads_every_proposal(scicat: SciCatWorld) -> None:
    published = client(scicat)
    for name in scicat.facility.proposals():
        found = published.get_proposal_model(name, strict_validation=True)
        assert (found.proposalId, found.title) == (name, scicat.facility.title(name))
        assert (found.ownerGroup, found.accessGroups) == (name.lower(), ["everybody"])
        assert found.isPublished is (name in scicat.facility.released)
        assert found.createdAt and found.updatedAt


def test_scitacean_reads_every_measurement_period(scicat: SciCatWorld) -> None:
    """By itself it passes over them: SciCat's field begins with a capital, scitacean's does not."""
    scicat.source()
    periods = [period for row in scicat.service.rows for period in row["MeasurementPeriodList"]]
    assert len(periods) == len(scicat.facility.sessions)
    for period in periods:
        found = model.construct(model.DownloadMeasurementPeriod, _strict_validation=True, **period)
        assert found.instrument and found.start and found.end and found.start < found.end


def test_scitacean_is_refused_as_scicat_refuses(scicat: SciCatWorld, caplog: pytest.LogCaptureFixture) -> None:
    published = client(scicat)
    with pytest.raises(ScicatCommError):
        published.get_proposal_model("nowhere")
    scicat.service.sessions.clear()
    assert published.get_proposal_model("HC-1").isPublished  # a token that ran out is no token
    with pytest.raises(ScicatCommError):
        published.get_proposal_model("HC-2")
    anonymous = ScicatClient.without_login(url=scicat.service.base, allow_http=True)
    assert anonymous.get_proposal_model("HC-1", strict_validation=True).isPublished
    with pytest.raises(ScicatCommError):
        anonymous.get_proposal_model("HC-2")
    assert PASSWORD not in caplog.text


PROPOSAL = {
    "_id": str, "id": str, "proposalId": str, "pi_email": str, "pi_firstname": str, "pi_lastname": str, "email": str,
    "firstname": str, "lastname": str, "title": str, "abstract": str, "startTime": str, "endTime": str,
    "MeasurementPeriodList": list, "metadata": dict, "parentProposalId": str | None, "type": str, "instrumentIds": list,
    "numberOfDatasets": int, "ownerGroup": str, "accessGroups": list, "instrumentGroup": str, "isPublished": bool,
    "createdBy": str, "updatedBy": str, "createdAt": str, "updatedAt": str, "__v": int,
}  # fmt: skip
PERIOD = {"_id": str, "id": str | None, "instrument": str, "start": str, "end": str, "comment": str}
NEEDED = ("proposalId", "email", "title", "ownerGroup", "accessGroups", "isPublished", "createdAt", "updatedAt", "type")


def test_scicats_list_of_proposals_is_as_its_sources_say(scicat: SciCatWorld) -> None:
    """github.com/SciCatProject/scicat-backend-next, src/proposals/schemas, src/common/schemas/ownable.schema.ts."""
    rows = asked(scicat, "proposals", {"limits": {"limit": 5, "skip": 1, "order": "proposalId:desc"}})
    assert [row["proposalId"] for row in rows] == ["HC-6", "HC-5", "HC-4", "HC-3", "HC-2"]
    for row in rows:
        assert {name for name, value in row.items() if not isinstance(value, PROPOSAL[name])} == set()
        assert not set(NEEDED) - row.keys()
        for period in row["MeasurementPeriodList"]:
            assert {name for name, value in period.items() if not isinstance(value, PERIOD[name])} == set()
            assert period["start"].endswith("Z") and period["end"].endswith("Z")
    assert asked(scicat, "proposals/count", {}) == {"count": 7}


def asked(scicat: SciCatWorld, path: str, filters: dict[str, Any]) -> Any:
    """As scitacean asks, with its token, for what it has no verb for."""
    logging.getLogger("httpx").setLevel(logging.WARNING)
    published = client(scicat)
    token = published._token.get_str()  # type: ignore[union-attr]
    query = urllib.parse.urlencode({"filters": json.dumps(filters)})
    request = urllib.request.Request(
        f"{scicat.service.base}/{path}?{query}", headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)
