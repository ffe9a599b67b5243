"""The judgement about time: nothing ends without a warning long enough before, whatever was down meanwhile."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.reconcile.expiry import FAR, Act, End, Facts, Notice, Outlook, Rule, idle_matters, leads, outlook
from instances.states import Phase, State

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
RULE = Rule(lifetime=336 * HOUR, idle=96 * HOUR, kept=30 * 24 * HOUR)

moments = st.integers(-3000, 3000).map(lambda hours: NOW + hours * HOUR)
lengths = st.none() | st.integers(1, 2000).map(lambda hours: hours * HOUR)
rules = st.builds(Rule, lifetime=lengths, idle=lengths, kept=lengths)


@st.composite
def situations(draw: st.DrawFn) -> tuple[Facts, Rule]:
    """Any row that there can be, with warnings that fit its deadlines and others that do not."""
    rule = draw(rules)
    since = draw(moments.filter(lambda at: at <= NOW))
    facts = Facts(
        state=draw(st.sampled_from(State)),
        state_since=since,
        phase=draw(st.sampled_from(Phase)),
        expires=draw(st.none() | moments),
        active_at=draw(st.none() | moments.filter(lambda at: at <= NOW)),
        activity_known=draw(st.booleans()),
        keep_until=draw(st.none() | moments),
        pinned=draw(st.booleans()),
    )
    idle_from = max(facts.active_at or since, since)
    fitting = {
        End.LIFETIME: facts.expires or NOW,
        End.IDLE: max(idle_from + (rule.idle or HOUR), facts.keep_until or since),
        End.DELETION: since + (rule.kept or HOUR),
    }
    warned = {}
    for end in draw(st.sets(st.sampled_from(End))):
        at = draw(moments.filter(lambda at: at <= NOW))
        of = draw(st.sampled_from([fitting[end], NOW - HOUR]))
        warned[end] = Notice(of=of, at=at, last=draw(st.booleans()), end=of)
    return replace(facts, warned=warned), rule


def last_lead(end: End, rule: Rule) -> timedelta:
    whole = {End.LIFETIME: rule.lifetime or FAR, End.IDLE: rule.idle, End.DELETION: rule.kept}[end]
    assert whole
    return leads(whole)[1]


@given(situations())
def test_nothing_is_deleted_that_runs_or_whose_cloud_is_silent(situation: tuple[Facts, Rule]) -> None:
    facts, rule = situation
    due = outlook(facts, rule, NOW).due
    if due and due.act is Act.DELETE:
        assert facts.state in (State.STOPPED, State.FAILED) and facts.phase not in (Phase.RUNNING, Phase.STARTING)
    if due and due.act is Act.STOP:
        assert facts.state is State.READY


@given(situations())
def test_from_unknown_and_from_what_is_under_way_nothing_is_due(situation: tuple[Facts, Rule]) -> None:
    facts, rule = situation
    for state in set(State) - {State.READY, State.STOPPED, State.FAILED}:
        assert outlook(replace(facts, state=state), rule, NOW).due is None


@given(situations())
def test_what_is_pinned_never_ends(situation: tuple[Facts, Rule]) -> None:
    facts, rule = situation
    found = outlook(replace(facts, pinned=True), rule, NOW)
    assert found.due is None and found.next is None and found.void == frozenset(facts.warned)


@given(situations())
def test_nothing_is_done_sooner_after_the_last_warning_than_it_promised(situation: tuple[Facts, Rule]) -> None:
    facts, rule = situation
    due = outlook(facts, rule, NOW).due
    if due and due.act in (Act.STOP, Act.DELETE):
        given = facts.warned[due.because]
        assert given.last and NOW - given.at >= last_lead(due.because, rule)


@given(situations())
def test_an_idle_stop_needs_to_know_that_nothing_computes(situation: tuple[Facts, Rule]) -> None:
    facts, rule = situation
    for found in (replace(facts, activity_known=False), replace(facts, active_at=NOW)):
        due = outlook(found, rule, NOW).due
        assert not (due and due.act is Act.STOP and due.because is End.IDLE)


@given(situations(), st.integers(0, 1000))
def test_more_time_never_brings_an_earlier_end(situation: tuple[Facts, Rule], hours: int) -> None:
    facts, rule = situation
    if facts.expires is None or facts.state is not State.READY or facts.pinned:
        return
    before = outlook(facts, rule, NOW).next
    after = outlook(replace(facts, expires=facts.expires + hours * HOUR), rule, NOW).next
    assert before and after and after[1] >= before[1]


@given(situations(), st.integers(1, 40), st.data())
def test_whenever_the_portal_looks_the_owner_has_had_the_last_warning_s_time(
    situation: tuple[Facts, Rule], looks: int, data: st.DataObject
) -> None:
    """Looks at irregular times, days apart where it was down; each does what is due, as the sweep does."""
    facts, rule = situation
    facts, at = replace(facts, warned={}), NOW
    told: dict[End, datetime] = {}
    for _ in range(looks):
        found = outlook(facts, rule, at)
        assert found.review_at >= at
        warned = {end: given for end, given in facts.warned.items() if end not in found.void}
        if found.due and found.due.act is Act.BEGIN:
            facts = replace(facts, expires=found.due.end)
        elif found.due and found.due.notice:
            warned[found.due.because] = found.due.notice
            if found.due.notice.last:
                told[found.due.because] = at
                assert found.due.end - at >= last_lead(found.due.because, rule)
        elif found.due:
            assert at >= found.due.end and at - told[found.due.because] >= last_lead(found.due.because, rule)
            return
        facts = replace(facts, warned=warned)
        at += data.draw(st.sampled_from([timedelta(seconds=30), HOUR, 7 * 24 * HOUR]))


def ready(**changes: object) -> Facts:
    facts = Facts(State.READY, NOW - 400 * HOUR, expires=NOW + 100 * HOUR, active_at=NOW)
    return replace(facts, **changes)  # type: ignore[arg-type]


def lived(facts: Facts, rule: Rule, *, until: datetime, every: timedelta = HOUR) -> list[tuple[datetime, Act, End]]:
    """What a portal that looks `every` so often does, in order, until it has stopped or deleted it."""
    at, done = NOW, []
    while at <= until:
        found = outlook(facts, rule, at)
        facts = replace(facts, warned={end: n for end, n in facts.warned.items() if end not in found.void})
        if due := found.due:
            done.append((at, due.act, due.because))
            if due.notice:
                facts = replace(facts, warned={**facts.warned, due.because: due.notice})
            if due.act is Act.BEGIN:
                facts = replace(facts, expires=due.end)
            if due.act in (Act.STOP, Act.DELETE):
                break
        at += every
    return done


def test_a_lifetime_is_warned_of_48_and_24_hours_before_its_end() -> None:
    facts = ready(active_at=NOW)
    assert lived(facts, replace(RULE, idle=None), until=NOW + 200 * HOUR) == [
        (NOW + 52 * HOUR, Act.WARN, End.LIFETIME),
        (NOW + 76 * HOUR, Act.WARN, End.LIFETIME),
        (NOW + 100 * HOUR, Act.STOP, End.LIFETIME),
    ]


def test_an_idle_instance_is_warned_of_a_day_before_it_stops() -> None:
    assert lived(ready(expires=NOW + 300 * HOUR), RULE, until=NOW + 200 * HOUR) == [
        (NOW + 72 * HOUR, Act.WARN, End.IDLE),
        (NOW + 96 * HOUR, Act.STOP, End.IDLE),
    ]


def test_a_stopped_one_is_warned_of_twice_and_deleted() -> None:
    facts = Facts(State.STOPPED, NOW, Phase.STOPPED, expires=NOW - HOUR)
    assert lived(facts, RULE, until=NOW + 1000 * HOUR) == [
        (NOW + 672 * HOUR, Act.WARN, End.DELETION),
        (NOW + 696 * HOUR, Act.WARN, End.DELETION),
        (NOW + 720 * HOUR, Act.DELETE, End.DELETION),
    ]


def test_after_a_week_s_outage_the_end_moves_and_only_the_last_warning_is_given() -> None:
    facts = ready(expires=NOW - 100 * HOUR, active_at=NOW)
    assert lived(facts, RULE, until=NOW + 50 * HOUR) == [
        (NOW, Act.WARN, End.LIFETIME),
        (NOW + 24 * HOUR, Act.STOP, End.LIFETIME),
    ]


def test_short_lives_have_short_warnings() -> None:
    assert leads(8 * HOUR) == (4 * HOUR, 2 * HOUR)
    assert leads(1440 * HOUR) == (48 * HOUR, 24 * HOUR)


def test_a_lifetime_begins_when_it_is_ready_not_while_it_waits() -> None:
    waiting = Facts(State.QUEUED, NOW - 50 * HOUR)
    assert outlook(waiting, RULE, NOW).due is None
    due = outlook(replace(waiting, state=State.READY, state_since=NOW), RULE, NOW).due
    assert due and (due.act, due.end) == (Act.BEGIN, NOW + 336 * HOUR)


def test_activity_takes_an_idle_warning_back() -> None:
    facts = ready(expires=None, active_at=NOW - 80 * HOUR)
    rule = replace(RULE, lifetime=None)
    due = outlook(facts, rule, NOW).due
    assert due and due.notice
    facts = replace(facts, warned={End.IDLE: due.notice})
    assert outlook(facts, rule, NOW + HOUR).void == frozenset()
    later: Outlook = outlook(replace(facts, active_at=NOW + HOUR), rule, NOW + HOUR)
    assert later.void == {End.IDLE} and later.due is None


def test_an_answer_that_does_not_come_keeps_the_warning_and_stops_nothing() -> None:
    facts = ready(expires=None, active_at=NOW - 200 * HOUR, activity_known=False)
    rule = replace(RULE, lifetime=None)
    given = Notice(of=NOW - 104 * HOUR, at=NOW - 128 * HOUR, last=True, end=NOW - 104 * HOUR)
    found = outlook(replace(facts, warned={End.IDLE: given}), rule, NOW)
    assert (found.due, found.void) == (None, frozenset())
    assert found.review_at <= NOW + timedelta(minutes=5)
    due = outlook(replace(facts, warned={End.IDLE: given}, activity_known=True), rule, NOW).due
    assert due and (due.act, due.because) == (Act.STOP, End.IDLE)


@pytest.mark.parametrize(("hours", "worth"), [(71, False), (72, True), (200, True)])
def test_kernels_are_asked_only_where_it_would_be_warned_of_or_stopped(hours: int, worth: bool) -> None:
    facts = ready(active_at=NOW - hours * HOUR, activity_known=False)
    assert idle_matters(facts, RULE, NOW) is worth
    assert not idle_matters(replace(facts, pinned=True), RULE, NOW)


def test_keep_running_until_holds_the_idle_stop_back_and_not_the_lifetime_s() -> None:
    facts = ready(keep_until=NOW + 200 * HOUR, expires=NOW + 150 * HOUR)
    done = lived(facts, RULE, until=NOW + 300 * HOUR)
    assert done[-1] == (NOW + 150 * HOUR, Act.STOP, End.LIFETIME)
    assert (NOW + 72 * HOUR, Act.WARN, End.IDLE) not in done
