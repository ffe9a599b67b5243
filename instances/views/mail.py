"""What somebody is told by mail: the choice, and what they were told lately."""

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from instances.errors import Invalid
from instances.models import Mail
from instances.services import mail_preferences as preferences
from instances.services.mail import address_of, identities_of

from .common import page, user_of

LATELY = 10


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@page
def mail(request: HttpRequest) -> HttpResponse:
    user = user_of(request)
    problems: dict[str, str] = {}
    if request.method == "POST":
        try:
            changed = preferences.choose(acting_user=user, wanted=request.POST.dict())
        except Invalid as error:
            problems = error.fields
        else:
            messages.success(request, "Your choice is kept." if changed else "Nothing was changed.")
            return redirect("instances:mail")
    identities = identities_of(user)
    rows = [
        (choice, request.POST.get(choice.kind) or preferences.chosen(choice.kind, identities[0]))
        for choice in preferences.choices_for(user.as_actor())
    ]
    context = {
        "section": "account",
        "rows": rows,
        "problems": problems,
        "address": address_of(identities),
        "sends": settings.SENDS_MAIL,
        "digest": preferences.next_digest(timezone.now()),
        "lately": Mail.objects.filter(to=identities[0]).select_related("instance")[:LATELY],
    }
    return render(request, "instances/mail.html", context, status=422 if problems else 200)
