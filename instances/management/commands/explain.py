"""`manage.py explain USER ACTION OBJECT`: the reasoning of the portal, as text. 0 is yes, 1 is no, 2 a bad question."""

import sys
from argparse import RawDescriptionHelpFormatter
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any, NoReturn
from uuid import UUID

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from auth import audit
from auth.access import Decision
from auth.data import day
from auth.models import Experiment, User
from instances.errors import NotFound
from instances.models import Instance
from instances.policy import Action, may_administer, may_audit
from instances.services import explain
from instances.services.experiments import entitlements_of, find_experiment
from instances.services.explain import READ, WRITE, Explanation

NO, BAD = 1, 2
ACTIONS = (READ, WRITE, *Action)
OBJECTS = "instance:<uuid>, experiment:<number, key or proposal>, proposal:<code>, path:/data/… or portal"


class Command(BaseCommand):
    help = f"""Print why USER may or may not do ACTION to OBJECT.

ACTION is one of {", ".join(ACTIONS)}.
OBJECT is {OBJECTS}.
Ends with 0 when it is allowed, 1 when it is not, 2 when the question makes no sense."""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        return super().create_parser(prog_name, subcommand, formatter_class=RawDescriptionHelpFormatter, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", metavar="USER", help="the username")
        parser.add_argument("action", metavar="ACTION")
        parser.add_argument("object", metavar="OBJECT")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["user"]).first()
        if not user:
            bad(f"There is nobody called {options['user']}.")
        if options["action"] not in ACTIONS:
            bad(f"{options['action']} is no action; there are {', '.join(ACTIONS)}.")
        kind, _, name = options["object"].partition(":")
        found = answers(user, options["action"], kind, name)
        with transaction.atomic():
            audit.record(
                "permission.explain",
                options["object"][:100],
                actor=None,
                because="asked on the command line",
                detail={"person": user.pk, "action": options["action"]},
            )
        for explanation in found:
            self.stdout.write(text_of(explanation))
        if not any(explanation.decision for explanation in found):
            sys.exit(NO)


def answers(user: User, action: str, kind: str, name: str) -> list[Explanation]:
    """One explanation for each experiment that the object stands for, or one for the instance or the portal."""
    match kind:
        case "portal" if action in (Action.ADMINISTER, Action.AUDIT):
            return [of_portal(user, Action(action))]
        case "instance" if action not in (READ, WRITE):
            return [of_instance(user, Action(action), name)]
        case "experiment" | "proposal":
            found = experiments(kind, name)
            if action in (READ, WRITE):
                return [explain.about_data(user, experiment, action=action) for experiment in found]
            if action == Action.LAUNCH:
                return [explain.about_launch(user, [experiment]) for experiment in found]
            if action == Action.SEE:
                return [of_experiment(user, experiment) for experiment in found]
        case "path" if action in (READ, WRITE):
            return [of_path(user, action, name)]
    known = kind in ("portal", "instance", "experiment", "proposal", "path")
    bad(f"{action} cannot be asked of {kind}." if known else f"The object must be {OBJECTS}.")


def of_portal(user: User, action: Action) -> Explanation:
    now = timezone.now()
    actor = user.as_actor(at=now)
    decision = may_administer(actor) if action is Action.ADMINISTER else may_audit(actor)
    return Explanation(f"May {user.name} {action.value} this portal?", decision, explain.about_person(user, actor, now))


def of_instance(user: User, action: Action, name: str) -> Explanation:
    try:
        instance = Instance.objects.select_related("owner").get(pk=UUID(name))
    except (Instance.DoesNotExist, ValueError):
        bad(f"There is no instance {name}.")
    return explain.about_instance(user, instance, action=action)


def of_experiment(user: User, experiment: Experiment) -> Explanation:
    now = timezone.now()
    actor = user.as_actor(at=now)
    try:
        find_experiment(experiment.pk, actor=actor, at=now)
        decision = Decision(True, "you take part in it, look after it, or it is open")
    except NotFound as error:
        decision = Decision(False, str(error))
    question = f"May {user.name} know of {experiment}?"
    return Explanation(question, decision, explain.about_data(user, experiment, at=now).steps)


def of_path(user: User, action: str, name: str) -> Explanation:
    path = PurePosixPath(name)
    if not path.is_absolute() or ".." in path.parts:
        bad(f"{name} must be an absolute path, without “..”.")
    for root in (settings.DATA_TARGET, settings.DATA_ROOT):
        if path.is_relative_to(root):
            path = path.relative_to(root)
            break
    else:
        bad(f"{name} is not below {settings.DATA_TARGET}.")
    around = (
        experiment
        for experiment in everything().filter(proposal__code__in=[part.lower() for part in path.parts])
        if path.is_relative_to(experiment.folder)
    )
    experiment = max(around, key=lambda e: len(e.folder), default=None)
    if not experiment:
        bad(f"{name} belongs to no experiment.")
    now = timezone.now()
    explanation = explain.about_data(user, experiment, action=action, at=now)
    entitled = entitlements_of(user.as_actor(at=now), [experiment], at=now)[experiment.pk]
    verb = "change" if action == WRITE else "read"
    return Explanation(
        f"May {user.name} {verb} {name}?",
        explain.on_data(entitled, action, str(path)),
        explanation.steps,
        folders=explanation.folders,
    )


def everything() -> QuerySet[Experiment]:
    return Experiment.objects.select_related("proposal", "instrument")


def experiments(kind: str, name: str) -> list[Experiment]:
    found = list(everything().filter(proposal__code=name.lower()))
    if kind == "experiment":
        exact = everything().filter(key=name).first()
        if not exact and name.isdecimal() and len(name) < 10:
            exact = everything().filter(pk=int(name)).first()
        found = [exact] if exact else found
    if not found:
        bad(f"There is no {kind} {name}.")
    return found


def text_of(explanation: Explanation) -> str:
    decision = explanation.decision
    until = f" Until {day(decision.until)}." if decision.until else ""
    verdict = f"Yes, because {decision.because}.{until}" if decision else f"No. {decision.because}"
    lines = [explanation.question, verdict, ""]
    for step in explanation.steps:
        lines += [f"{step.title}:", *(f"  {line}" for line in step.lines)]
    if explanation.folders:
        lines += ["Folders:", *columns((folder.path, *cells(folder)) for folder in explanation.folders)]
    if explanation.verdicts:
        rows = ((action.value, "yes" if one else "no", one.because) for action, one in explanation.verdicts)
        lines += ["Everything else:", *columns(rows)]
    return "\n".join([*lines, ""])


def cells(folder: explain.Folder) -> tuple[str, str]:
    until = folder.grant and folder.grant.until
    return explain.in_words(folder.grant), f"until {day(until)}" if until else ""


def columns(rows: Iterable[tuple[str, ...]]) -> list[str]:
    table = list(rows)
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    return ["  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in table]


def bad(sentence: str) -> NoReturn:
    raise CommandError(sentence, returncode=BAD)
