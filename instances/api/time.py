"""More time, for scripts: what the buttons and forms do. Deciding about requests is for people who just signed in."""

from typing import Any, cast

from django.db.models import Q, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from auth.models import User
from instances.models import ExtensionRequest, Instance
from instances.policy import may_audit
from instances.services.extend import ask_extension, extend, withdraw
from instances.services.keep import keep_running

from . import serializers as shapes


class TimeActions:
    """Of an instance."""

    @extend_schema(request=shapes.ExtendSerializer, responses=shapes.InstanceSerializer)
    @action(detail=True, methods=["post"])
    def extend(self, request: Request, pk: str) -> Response:
        """A later end of its lifetime, by as much as its rule gives."""
        asked = shapes.ExtendSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        return self._told(extend(pk, acting_user=_asker(request), seen=asked.validated_data["expires"]))

    @extend_schema(request=shapes.KeepSerializer, responses=shapes.InstanceSerializer)
    @action(detail=True, methods=["post"])
    def keep(self, request: Request, pk: str) -> Response:
        """Not stopped for idleness before a moment within its lifetime."""
        asked = shapes.KeepSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        return self._told(keep_running(pk, acting_user=_asker(request), until=asked.validated_data["until"]))

    @extend_schema(request=shapes.AskSerializer, responses={201: shapes.ExtensionRequestSerializer})
    @action(detail=True, methods=["post"])
    def extensions(self, request: Request, pk: str) -> Response:
        """Ask the administrators for a later end."""
        asked = shapes.AskSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        made = ask_extension(pk, acting_user=_asker(request), **asked.validated_data)
        return Response(shapes.ExtensionRequestSerializer(made).data, status=status.HTTP_201_CREATED)

    def _told(self, instance: Instance) -> Response:
        found: Any = self
        return Response(found.get_serializer(instance).data)


class ExtensionViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[ExtensionRequest]):
    """Requests for more time, newest first: your own, and everybody's for those who look after the portal."""

    serializer_class = shapes.ExtensionRequestSerializer
    filterset_fields = ("state",)
    queryset = ExtensionRequest.objects.none()
    lookup_value_converter = "int"

    def get_queryset(self) -> QuerySet[ExtensionRequest]:
        actor = _asker(self.request).as_actor()
        rows = ExtensionRequest.objects.select_related("asked_by", "decided_by")
        return rows if may_audit(actor) else rows.filter(Q(asked_by__in=actor.accounts))

    @extend_schema(request=None, responses=shapes.ExtensionRequestSerializer)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: int) -> Response:
        """Take your request back."""
        return Response(shapes.ExtensionRequestSerializer(withdraw(pk, acting_user=_asker(request))).data)


def _asker(request: Request) -> User:
    return cast(User, request.user)
