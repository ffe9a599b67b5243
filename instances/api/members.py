"""Letting people into an instance, for scripts: what the panel of people does."""

from typing import Any, cast

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from auth.models import User
from instances.errors import Denied, NotFound
from instances.models import Member
from instances.policy import Action, may
from instances.services import members
from instances.services.share import share
from instances.services.unshare import unshare
from instances.services.visibility import facts, find


class PersonSerializer(serializers.ModelSerializer[User]):
    class Meta:
        model = User
        fields = ("id", "name", "affiliation")


class MemberSerializer(serializers.ModelSerializer[Member]):
    user = PersonSerializer()

    class Meta:
        model = Member
        fields = ("user", "role", "until", "added")


class ShareSerializer(serializers.Serializer[Any]):
    user = serializers.IntegerField(help_text="An account of the experiments' teams: see `candidates`.")
    role = serializers.ChoiceField(Member.Role.choices)
    until = serializers.DateTimeField(
        required=False, allow_null=True, default=None, help_text="null: as long as the instance exists."
    )


class MemberActions:
    """Of an instance."""

    @extend_schema(methods=["GET"], responses=MemberSerializer(many=True))
    @extend_schema(methods=["POST"], request=ShareSerializer, responses={201: MemberSerializer})
    @action(detail=True, methods=["get", "post"], filterset_fields=(), pagination_class=None)
    def members(self, request: Request, pk: str) -> Response:
        """Whom its owner let in; POST lets somebody in, or changes what they may do and until when."""
        if request.method == "POST":
            asked = ShareSerializer(data=request.data)
            asked.is_valid(raise_exception=True)
            made = share(pk, acting_user=_asker(request), **asked.validated_data)
            return Response(MemberSerializer(made).data, status=status.HTTP_201_CREATED)
        actor = _asker(request).as_actor()
        instance = find(pk, actor=actor, action=Action.SEE)
        subject = facts(instance)
        looks = may(actor, Action.WATCH, subject)
        inspects = may(actor, Action.INSPECT, subject)
        if not (looks or inspects):
            raise Denied(inspects)
        return Response(MemberSerializer(instance.members.select_related("user"), many=True).data)

    @extend_schema(request=None, responses={204: None})
    @action(detail=True, methods=["delete"], url_path="members/<str:user>", url_name="member")
    def member(self, request: Request, pk: str, user: str) -> Response:
        """End it: by the owner for anybody, by a member for themself."""
        if not user.isdecimal() or len(user) > 18:
            raise NotFound("It is not shared with them.")
        unshare(pk, acting_user=_asker(request), user=int(user))
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(responses=PersonSerializer(many=True), parameters=[OpenApiParameter("search", str)])
    @action(detail=True, methods=["get"], filterset_fields=(), pagination_class=None)
    def candidates(self, request: Request, pk: str) -> Response:
        """Of the teams of its experiments, twenty at most who are not let in yet; `?search=` narrows the list."""
        instance = find(pk, actor=_asker(request).as_actor(), action=Action.SHARE)
        found = members.candidates(instance, request.query_params.get("search", "")[:100])
        return Response(PersonSerializer(found, many=True).data)


def _asker(request: Request) -> User:
    return cast(User, request.user)
