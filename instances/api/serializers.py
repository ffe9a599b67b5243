"""Shapes of the API. Rules live in the services; these only translate."""

from typing import Any, cast

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from auth.models import Experiment
from instances.models import Environment, ExtensionRequest, Instance, InstanceEvent
from instances.models.connection import App, Mode
from instances.policy import Action, may
from instances.services import queue
from instances.services.connect import MONITORS
from instances.services.lifetimes import ending_of
from instances.services.options import FlavourChoice
from instances.services.visibility import experiments_shown, facts


class GrantSerializer(serializers.Serializer[Any]):
    path = serializers.CharField(help_text="Relative to the facility's data root.")
    target = serializers.CharField(help_text="Where instances see it.")
    mode = serializers.ChoiceField(["read", "read-write"])
    because = serializers.CharField()
    until = serializers.DateTimeField(allow_null=True)
    proposal = serializers.CharField()
    experiment = serializers.IntegerField()


class EnvironmentSerializer(serializers.ModelSerializer[Environment]):
    class Meta:
        model = Environment
        fields = ("slug", "name", "description", "icon", "software", "apps")


class FlavourSerializer(serializers.Serializer[FlavourChoice]):
    slug = serializers.CharField(source="flavour.slug")
    name = serializers.CharField(source="flavour.name")
    group = serializers.CharField(source="flavour.group")
    cores = serializers.FloatField(source="flavour.cores")
    memory_mb = serializers.IntegerField(source="flavour.memory_mb")
    gpu_model = serializers.CharField(source="flavour.gpu_model")
    gpu_count = serializers.IntegerField(source="flavour.gpu_count")
    available = serializers.BooleanField()
    because = serializers.CharField(help_text="Where it would run, or why it cannot be had now.")
    position = serializers.IntegerField(
        allow_null=True, help_text="In line, for whoever launches it now; null: it starts at once, or cannot be had."
    )
    next_end = serializers.DateTimeField(allow_null=True, help_text="When the first lifetime ends that makes room.")


class ExperimentSerializer(serializers.ModelSerializer[Experiment]):
    proposal = serializers.CharField(source="proposal.code")
    instrument = serializers.CharField(source="instrument.code")
    phase = serializers.SerializerMethodField()
    doi = serializers.CharField(source="proposal.doi")
    grants = serializers.SerializerMethodField(help_text="What an instance of yours would see, and why.")
    because = serializers.SerializerMethodField()

    class Meta:
        model = Experiment
        fields = ("id", "title", "proposal", "instrument", "start", "end", "phase", "doi", "because", "grants")

    def get_phase(self, experiment: Experiment) -> str:
        return experiment.phase()

    def get_because(self, experiment: Experiment) -> str:
        return str(self.context["entitlements"][experiment.pk].because)

    def get_grants(self, experiment: Experiment) -> list[dict[str, Any]]:
        stored = self.context["stored"]
        return [dict(stored(grant)) for grant in self.context["entitlements"][experiment.pk].grants]


class SizeSerializer(serializers.Serializer[Any]):
    width = serializers.IntegerField()
    height = serializers.IntegerField()


class DisplaySerializer(serializers.Serializer[Any]):
    layout = serializers.ChoiceField(["single", "dual"], default="single")
    fit = serializers.BooleanField(default=True, help_text="Follow the size of the browser's windows.")
    screens = SizeSerializer(many=True, required=False)
    keyboard = serializers.CharField(default="us")


class EndingSerializer(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(["lifetime", "idle", "deletion"])
    at = serializers.DateTimeField(help_text="When it is stopped or deleted, unless something is done against it.")


class TurnSerializer(serializers.Serializer[Any]):
    position = serializers.IntegerField(help_text="1 is next.")
    of = serializers.IntegerField(help_text="So many wait for the same.")


class GaugeSerializer(serializers.Serializer[Any]):
    resource = serializers.CharField(help_text="instances, cores, memory_mb, gpu:<model>, or gpu:* for all models.")
    limit = serializers.FloatField()
    used = serializers.FloatField()
    rest = serializers.FloatField()


class QuotaSerializer(serializers.Serializer[Any]):
    scope = serializers.CharField(help_text="person, proposal, instrument or global.")
    holder = serializers.CharField()
    limits = GaugeSerializer(source="gauges", many=True)


class InstanceSerializer(serializers.ModelSerializer[Instance]):
    environment = serializers.CharField(source="environment.slug")
    flavour = serializers.CharField(source="flavour.slug")
    owner = serializers.CharField(source="owner.username")
    experiments = serializers.SerializerMethodField()
    grants = GrantSerializer(many=True)
    display = DisplaySerializer()
    pinned = serializers.BooleanField(help_text="Kept from ending by an administrator.")
    ending = serializers.SerializerMethodField(help_text="What its owner was warned of: the nearest end, if any.")
    queue = serializers.SerializerMethodField(help_text="Its place in line; null: it does not wait.")

    class Meta:
        model = Instance
        fields = (
            "id",
            "name",
            "notes",
            "owner",
            "environment",
            "flavour",
            "experiments",
            "display",
            "grants",
            "desired",
            "state",
            "state_since",
            "message",
            "queue",
            "created",
            "expires",
            "extensions",
            "active_at",
            "keep_until",
            "pinned",
            "ending",
        )

    @extend_schema_field(EndingSerializer(allow_null=True))
    def get_ending(self, instance: Instance) -> dict[str, Any] | None:
        found = ending_of(instance)
        return dict(EndingSerializer(found).data) if found else None

    def get_experiments(self, instance: Instance) -> list[int]:
        return [experiment.pk for experiment in experiments_shown(self.context["actor"], instance)]

    @extend_schema_field(TurnSerializer(allow_null=True))
    def get_queue(self, instance: Instance) -> dict[str, int] | None:
        """The line is asked for once, however many are listed."""
        if not instance.waiting_since:
            return None
        context = cast(dict[str, Any], self.context)
        line = context["line"] = context.get("line") or queue.standing()
        turn = line.turn_of_instance(instance.pk)
        return {"position": turn.position, "of": turn.of} if turn else None

    def to_representation(self, instance: Instance) -> dict[str, Any]:
        """Who may see that it exists, and no more, finds the rest empty."""
        shown: dict[str, Any] = super().to_representation(instance)
        if not may(self.context["actor"], Action.INSPECT, facts(instance)):
            shown |= {"notes": "", "grants": [], "message": "", "active_at": None, "keep_until": None, "ending": None}
        return shown


class ExtendSerializer(serializers.Serializer[Any]):
    expires = serializers.DateTimeField(
        required=False,
        allow_null=True,
        default=None,
        help_text="The end that you know; with another one nothing is done.",
    )


class KeepSerializer(serializers.Serializer[Any]):
    until = serializers.DateTimeField(allow_null=True, help_text="null: it may be stopped when it is idle again.")


class AskSerializer(serializers.Serializer[Any]):
    until = serializers.DateTimeField()
    because = serializers.CharField(max_length=500)


class ExtensionRequestSerializer(serializers.ModelSerializer[ExtensionRequest]):
    asked_by = serializers.CharField(source="asked_by.username")
    decided_by = serializers.CharField(source="decided_by.username", default=None)

    class Meta:
        model = ExtensionRequest
        fields = (
            "id",
            "instance",
            "asked_by",
            "until",
            "because",
            "asked",
            "state",
            "decided",
            "decided_by",
            "comment",
        )


class LaunchSerializer(serializers.Serializer[Any]):
    experiments = serializers.ListField(child=serializers.IntegerField(), max_length=50)
    environment = serializers.CharField()
    flavour = serializers.CharField()
    display = DisplaySerializer(required=False)
    name = serializers.CharField(required=False, allow_blank=True, default="")
    notes = serializers.CharField(required=False, allow_blank=True, default="")


class DescribeSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(required=False)
    notes = serializers.CharField(required=False, allow_blank=True)


class EventSerializer(serializers.ModelSerializer[InstanceEvent]):
    actor = serializers.CharField(source="actor.username", default=None)

    class Meta:
        model = InstanceEvent
        fields = ("id", "at", "generation", "step", "before", "after", "message", "actor")


class ConnectSerializer(serializers.Serializer[Any]):
    app = serializers.ChoiceField(App.choices)
    mode = serializers.ChoiceField(Mode.choices, default=Mode.CONTROL)
    monitor = serializers.IntegerField(
        required=False,
        allow_null=True,
        default=None,
        min_value=1,
        max_value=MONITORS,
        help_text="The one screen of a desktop that a window shows, from the left; null: all of them.",
    )


class SeatSerializer(serializers.Serializer[Any]):
    url = serializers.CharField(help_text="A WebSocket's address, or where to POST the ticket.")
    ticket = serializers.CharField(help_text="Good for 30 seconds and one use; never put it into a URL.")
    protocol = serializers.CharField(help_text="The WebSocket sub-protocol, or `post`.")
