"""Asking to be let in, for scripts: what the forms do."""

from typing import Any, cast

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from auth.models import User
from instances.models import AccessRequest
from instances.models.connection import Mode
from instances.policy import Action, may
from instances.services import answer as answering
from instances.services.ask import LONGEST, SHORTEST, ask, withdraw
from instances.services.visibility import facts, find

from .members import PersonSerializer


class AccessRequestSerializer(serializers.ModelSerializer[AccessRequest]):
    user = PersonSerializer()

    class Meta:
        model = AccessRequest
        fields = ("id", "instance", "user", "capacity", "wish", "reason", "asked", "answer", "answered")


class AskAccessSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(min_length=SHORTEST, max_length=LONGEST, help_text="Its owner reads it.")
    wish = serializers.ChoiceField(Mode.choices, required=False, default=Mode.WATCH)


class AnswerSerializer(serializers.Serializer[Any]):
    answer = serializers.ChoiceField([(one.value, one.label) for one in answering.ANSWERS])
    minutes = serializers.ChoiceField(
        answering.MINUTES,
        required=False,
        default=answering.MINUTES[0],
        help_text="For how long; whoever is of the team keeps the end of their membership.",
    )


class RequestActions:
    """Of an instance."""

    @extend_schema(methods=["GET"], responses=AccessRequestSerializer(many=True))
    @extend_schema(methods=["POST"], request=AskAccessSerializer, responses={201: AccessRequestSerializer})
    @action(detail=True, methods=["get", "post"], filterset_fields=(), pagination_class=None)
    def requests(self, request: Request, pk: str) -> Response:
        """Open requests to be let in: for its owner everybody's, otherwise your own. POST asks."""
        user = _asker(request)
        if request.method == "POST":
            asked = AskAccessSerializer(data=request.data)
            asked.is_valid(raise_exception=True)
            made = ask(pk, acting_user=user, **asked.validated_data)
            return Response(AccessRequestSerializer(made).data, status=status.HTTP_201_CREATED)
        actor = user.as_actor()
        instance = find(pk, actor=actor, action=Action.SEE)
        rows = instance.requests.filter(answered=None).select_related("user")
        if not may(actor, Action.APPROVE, facts(instance)):
            rows = rows.filter(user__in=actor.accounts)
        return Response(AccessRequestSerializer(rows, many=True).data)


class AccessRequestViewSet(viewsets.GenericViewSet[AccessRequest]):
    """Requests to be let into an instance."""

    serializer_class = AccessRequestSerializer
    queryset = AccessRequest.objects.none()
    lookup_value_converter = "int"

    def get_queryset(self) -> QuerySet[AccessRequest]:
        return AccessRequest.objects.filter(user__in=_asker(self.request).as_actor().accounts)

    @extend_schema(request=AnswerSerializer, responses=AccessRequestSerializer)
    @action(detail=True, methods=["post"])
    def answer(self, request: Request, pk: int) -> Response:
        """By the owner of the instance, once."""
        said = AnswerSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        row = answering.answer(pk, acting_user=_asker(request), **said.validated_data)
        return Response(AccessRequestSerializer(row).data)

    @extend_schema(request=None, responses=AccessRequestSerializer)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: int) -> Response:
        """Do not ask any longer."""
        return Response(AccessRequestSerializer(withdraw(pk, acting_user=_asker(request))).data)


def _asker(request: Request) -> User:
    return cast(User, request.user)
