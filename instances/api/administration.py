"""What staff may read of the administration: roles in force, and the audit trail."""

from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.pagination import CursorPagination, LimitOffsetPagination
from rest_framework.request import Request
from rest_framework.response import Response

from auth.models import AuditEvent, RoleGrant, User
from instances.errors import Denied, Invalid
from instances.policy import may_audit
from instances.services import trail


class RoleSerializer(serializers.ModelSerializer[RoleGrant]):
    person = serializers.CharField(source="user.username")
    name = serializers.CharField(source="user.name")
    instrument = serializers.CharField(source="instrument.code", default=None)
    experiment = serializers.CharField(source="experiment.key", default=None)

    class Meta:
        model = RoleGrant
        fields = ("id", "person", "name", "role", "instrument", "experiment", "because", "source", "since", "until")


class AuditSerializer(serializers.ModelSerializer[AuditEvent]):
    actor = serializers.IntegerField(source="actor_id", allow_null=True)
    digest = serializers.SerializerMethodField()

    class Meta:
        model = AuditEvent
        fields = ("seq", "at", "actor", "actor_name", "action", "target", "because", "detail", "digest")

    def get_digest(self, row: AuditEvent) -> str:
        return bytes(row.digest).hex()


class ByNumber(CursorPagination):
    ordering = "-seq"
    page_size = 100


class RoleView(ListAPIView[RoleGrant]):
    """Roles in force, for administrators, IT support and auditors."""

    serializer_class = RoleSerializer
    pagination_class = LimitOffsetPagination
    filterset_fields = ("role", "user__username", "instrument__code", "source")
    queryset = RoleGrant.objects.none()

    def get_queryset(self) -> QuerySet[RoleGrant]:
        _staff(self.request)
        found = RoleGrant.objects.in_force(timezone.now()).select_related("user", "instrument", "experiment")
        return found.order_by("user__username", "role", "pk")


FILTERS = [
    OpenApiParameter("person", str, description="A login, a part of a name, or `system`."),
    OpenApiParameter("action", str, description="`role.grant`, or `role.` for all that begin so."),
    OpenApiParameter("target", str, description="For example `user:7`."),
    OpenApiParameter("since", datetime),
    OpenApiParameter("until", datetime),
]


@extend_schema(parameters=FILTERS)
class AuditView(ListAPIView[AuditEvent]):
    """The audit trail, newest first. A search is an access and stands in the trail too; its further pages do not."""

    serializer_class = AuditSerializer
    pagination_class = ByNumber
    filter_backends = ()
    queryset = AuditEvent.objects.none()

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        user = _staff(request)
        asked = {p.name: request.query_params.get(p.name, "").replace("\0", "")[:100] for p in FILTERS}
        wanted, problems = trail.read(asked)
        if problems:
            raise Invalid(problems)
        first = "cursor" not in request.query_params
        page = self.paginate_queryset(trail.search(wanted, acting_user=user, first=first))
        return self.get_paginated_response(AuditSerializer(page, many=True).data)


def _staff(request: Request) -> User:
    user = request.user
    assert isinstance(user, User)
    if not (decision := may_audit(user.as_actor())):
        raise Denied(decision)
    return user
