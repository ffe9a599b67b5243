"""Whatever a catalogue says about some proposals: the others, and what other catalogues said, stay as they were."""

from contextlib import suppress

import pytest
from django.db import transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from auth.catalogues.base import Catalogue, CatalogueError
from auth.catalogues.diff import MassRemoval
from auth.catalogues.sync import merge, take_over
from auth.models import Experiment, Participation, Proposal

from .test_catalogue_merge import catalogue

CODES = st.sampled_from([f"hc-{n}" for n in range(6)])
TEAMS = st.dictionaries(CODES, st.text("abcd", max_size=3).map(lambda team: "".join(sorted(set(team)))), max_size=6)


class Undone(Exception):
    pass


def outside(scope: set[str]) -> set[object]:
    return {
        *Proposal.objects.exclude(code__in=scope).values_list("code", "title", "released", "source"),
        *Experiment.objects.exclude(proposal__code__in=scope).values_list("key", "title", "start", "source"),
        *parts(scope, exclude=True),
        *Participation.objects.exclude(source="catalogue:a").values_list("user__sub", "experiment__key", "source"),
    }


def parts(scope: set[str], *, exclude: bool = False) -> set[tuple[str, str, str]]:
    rows = Participation.objects.filter(source="catalogue:a")
    rows = (rows.exclude if exclude else rows.filter)(experiment__proposal__code__in=scope)
    return set(rows.values_list("experiment__proposal__code", "user__sub", "source"))


def said(found: Catalogue) -> set[tuple[str, str, str]]:
    return {(p.experiment.lower(), p.person.sub, "catalogue:a") for p in found.participations}


@pytest.mark.django_db
@settings(max_examples=40, deadline=None)
@given(before=TEAMS, news=TEAMS, asked=st.sets(CODES), other=st.dictionaries(st.just("in-1"), st.just("ab")))
def test_news_never_touch_what_was_not_asked_about(
    before: dict[str, str], news: dict[str, str], asked: set[str], other: dict[str, str]
) -> None:
    with suppress(Undone), transaction.atomic():
        take_over(catalogue(before), source="a", force=True)
        take_over(catalogue(other, instrument="id02"), source="b", force=True)
        scope = asked | news.keys()
        untouched, found = outside(scope), catalogue(news)
        merge(found, source="a", proposals=scope, force=True)
        assert outside(scope) == untouched
        assert parts(scope) == said(found)
        assert not merge(found, source="a", proposals=scope, force=True)
        raise Undone


@pytest.mark.django_db
@settings(max_examples=25, deadline=None)
@given(before=TEAMS, news=TEAMS, asked=st.sets(CODES))
def test_an_answer_that_is_not_believed_changes_nothing_at_all(
    before: dict[str, str], news: dict[str, str], asked: set[str]
) -> None:
    with suppress(Undone), transaction.atomic():
        take_over(catalogue(before), source="a", force=True)
        everything = outside(set())
        try:
            merge(catalogue(news), source="a", proposals=asked)
        except (CatalogueError, MassRemoval):
            assert outside(set()) == everything
        else:
            assert news.keys() <= asked
        raise Undone
