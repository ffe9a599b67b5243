"""Who a session belongs to, asked at every request."""

from django.contrib.auth.backends import ModelBackend

from .models import User


class PersonBackend(ModelBackend):
    """Sessions of people none of whose identities is blocked: blocking one of them closes every door of theirs."""

    def get_user(self, user_id: int) -> User | None:
        people = User.objects.filter(pk=user_id, is_active=True)
        return people.exclude(others__is_active=False).exclude(linked_to__is_active=False).first()
