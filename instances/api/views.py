"""/api/v1/: the same services that the pages use."""

from collections.abc import Iterable
from typing import Any, cast

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.pagination import LimitOffsetPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from auth.digests import session_digest
from auth.models import Experiment, User
from instances.models import Environment, Instance, InstanceEvent
from instances.policy import Action
from instances.services import grants
from instances.services.connect import connect
from instances.services.delete import delete
from instances.services.describe import describe
from instances.services.experiments import entitlements_of, my_experiments
from instances.services.launch import launch
from instances.services.options import bounds_for, flavour_choices
from instances.services.restart import restart
from instances.services.start import start
from instances.services.stop import stop
from instances.services.visibility import RELATED, find, visible_to
from instances.states import State

from . import serializers as shapes
from .members import MemberActions
from .requests import RequestActions
from .time import TimeActions


def asker(request: Request) -> User:
    return cast(User, request.user)


class EnvironmentViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[Environment]):
    """Software that can be launched."""

    queryset = Environment.objects.filter(visible=True)
    serializer_class = shapes.EnvironmentSerializer


class FlavourView(APIView):
    """Hardware that can be chosen, with the reason where it cannot be had now."""

    @extend_schema(responses=shapes.FlavourSerializer(many=True), operation_id="v1_flavours_list")
    def get(self, request: Request) -> Response:
        bounds = bounds_for([], acting_user=asker(request))
        choices = flavour_choices(bounds, acting_user=asker(request))
        return Response([shapes.FlavourSerializer(choice).data for choice in choices])


class QuotaView(APIView):
    """Your quotas, with what you have of them. `?experiment=` (any number of times) adds those of its proposal and its
    instrument.
    """

    @extend_schema(
        responses=shapes.QuotaSerializer(many=True),
        operation_id="v1_quotas_list",
        parameters=[OpenApiParameter("experiment", int, many=True)],
    )
    def get(self, request: Request) -> Response:
        asked = request.query_params.getlist("experiment")
        experiments = [int(text) for text in asked if text.isdecimal() and len(text) < 10]
        bounds = bounds_for(experiments, acting_user=asker(request))
        return Response(shapes.QuotaSerializer(bounds, many=True).data)


class ExperimentViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Experiment]):
    """Experiments that you may use, with the data grants that each gives you. `?search=` narrows the list."""

    serializer_class = shapes.ExperimentSerializer
    queryset = Experiment.objects.none()

    def get_queryset(self) -> QuerySet[Experiment]:
        return my_experiments(acting_user=asker(self.request), search=self.request.query_params.get("search", ""))

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        context = self._with_grants(page)
        return self.get_paginated_response(shapes.ExperimentSerializer(page, many=True, context=context).data)

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        experiment = self.get_object()
        return Response(shapes.ExperimentSerializer(experiment, context=self._with_grants([experiment])).data)

    def _with_grants(self, experiments: Iterable[Experiment]) -> dict[str, Any]:
        entitlements = entitlements_of(asker(self.request).as_actor(), experiments)
        return {"entitlements": entitlements, "stored": grants.stored}


class InstanceViewSet(
    TimeActions,
    MemberActions,
    RequestActions,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    viewsets.GenericViewSet[Instance],
):
    """Instances that you may see; deleted ones are left out of the list unless `?state=deleted` asks for them."""

    serializer_class = shapes.InstanceSerializer
    filterset_fields = ("state", "environment__slug", "flavour__slug")
    queryset = Instance.objects.none()
    lookup_value_converter = "uuid"

    def get_queryset(self) -> QuerySet[Instance]:
        rows = visible_to(asker(self.request).as_actor()).select_related("owner", "environment", "flavour")
        if self.action == "list" and self.request.query_params.get("state") != State.DELETED:
            rows = rows.exclude(state=State.DELETED)
        return rows.prefetch_related(*RELATED)

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "actor": asker(self.request).as_actor()}

    @extend_schema(request=shapes.LaunchSerializer, responses={201: shapes.InstanceSerializer})
    def create(self, request: Request) -> Response:
        asked = shapes.LaunchSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        chosen = {"display": {}} | asked.validated_data
        return self._shown(launch(acting_user=asker(request), **chosen), status.HTTP_201_CREATED)

    @extend_schema(request=shapes.DescribeSerializer, responses=shapes.InstanceSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        asked = shapes.DescribeSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        return self._shown(describe(pk, acting_user=asker(request), **asked.validated_data))

    @extend_schema(responses={202: shapes.InstanceSerializer})
    def destroy(self, request: Request, pk: str) -> Response:
        return self._shown(delete(pk, acting_user=asker(request)), status.HTTP_202_ACCEPTED)

    @extend_schema(request=None, responses={202: shapes.InstanceSerializer})
    @action(detail=True, methods=["post"])
    def start(self, request: Request, pk: str) -> Response:
        return self._shown(start(pk, acting_user=asker(request)), status.HTTP_202_ACCEPTED)

    @extend_schema(request=None, responses={202: shapes.InstanceSerializer})
    @action(detail=True, methods=["post"])
    def stop(self, request: Request, pk: str) -> Response:
        return self._shown(stop(pk, acting_user=asker(request)), status.HTTP_202_ACCEPTED)

    @extend_schema(request=None, responses={202: shapes.InstanceSerializer})
    @action(detail=True, methods=["post"])
    def restart(self, request: Request, pk: str) -> Response:
        return self._shown(restart(pk, acting_user=asker(request)), status.HTTP_202_ACCEPTED)

    @extend_schema(responses=shapes.EventSerializer(many=True))
    @action(detail=True, methods=["get"], filterset_fields=())
    def events(self, request: Request, pk: str) -> Response:
        """Its timeline, oldest first: transitions, and the steps of each launch."""
        instance = find(pk, actor=asker(request).as_actor(), action=Action.INSPECT)
        pages = LimitOffsetPagination()
        page = pages.paginate_queryset(
            InstanceEvent.objects.filter(instance=instance).select_related("actor"), request, view=self
        )
        return pages.get_paginated_response(shapes.EventSerializer(page, many=True).data)

    @extend_schema(request=shapes.ConnectSerializer, responses={201: shapes.SeatSerializer})
    @action(detail=True, methods=["post"])
    def connections(self, request: Request, pk: str) -> Response:
        """A ticket for one connection to one app."""
        asked = shapes.ConnectSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        session = session_digest(None if request.auth else request.session.session_key)
        seat = connect(pk, acting_user=asker(request), session=session, **asked.validated_data)
        return Response(shapes.SeatSerializer(seat).data, status=status.HTTP_201_CREATED)

    def _shown(self, instance: Instance, code: int = status.HTTP_200_OK) -> Response:
        return Response(self.get_serializer(instance).data, status=code)
