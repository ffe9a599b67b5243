import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import F

SCOPE = "@myaccessid.org"


class SubjectsCollide(Exception):
    pass


def fold_subjects(apps, schema_editor):
    """Subjects of MyAccessID are kept in lower case from now on; two rows that become one need a person to decide."""
    User, Login = apps.get_model("visa_auth", "User"), apps.get_model("visa_auth", "Login")
    rows = list(User.objects.filter(sub__iendswith=SCOPE).values_list("pk", "iss", "sub"))
    seen = {}
    for pk, iss, sub in rows:
        seen.setdefault((iss, sub.casefold()), []).append(pk)
    if both := [pks for pks in seen.values() if len(pks) > 1]:
        raise SubjectsCollide(
            "These accounts differ only in the case of a MyAccessID subject, which carries nothing: "
            + "; ".join(" and ".join(map(str, sorted(pks))) for pks in sorted(both))
            + ". Decide which of each is the person's, give the other another sub, and migrate again. Nothing was changed."
        )
    for model in (User, Login):
        for row in model.objects.filter(sub__iendswith=SCOPE):
            if row.sub != row.sub.casefold():
                model.objects.filter(pk=row.pk).update(sub=row.sub.casefold())


def name_identities(apps, schema_editor):
    apps.get_model("visa_auth", "Login").objects.update(identity_id=F("user_id"))
    apps.get_model("visa_auth", "User").objects.update(proven_at=F("last_login"))


class Migration(migrations.Migration):
    dependencies = [("visa_auth", "0005_catalogue_runs")]
    operations = [
        migrations.AddField("user", "linked_at", models.DateTimeField(blank=True, null=True)),
        migrations.AddField(
            "user",
            "proven_at",
            models.DateTimeField(blank=True, help_text="The last login through this very identity.", null=True),
        ),
        migrations.AddField("login", "agent", models.CharField(blank=True, default="", help_text="What the browser calls itself.", max_length=300), preserve_default=False),
        migrations.AlterField(
            "login",
            "user",
            models.ForeignKey(
                help_text="Whose session it is.",
                on_delete=django.db.models.deletion.CASCADE,
                related_name="logins",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            "login",
            "identity",
            models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="own_logins",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.RunPython(fold_subjects, migrations.RunPython.noop),
        migrations.RunPython(name_identities, migrations.RunPython.noop),
        # Foreign keys are checked late, and PostgreSQL alters no table while checks are due.
        migrations.RunSQL("SET CONSTRAINTS ALL IMMEDIATE", migrations.RunSQL.noop),
        migrations.AlterField(
            "login",
            "identity",
            models.ForeignKey(
                help_text="The identity of theirs that was used.",
                on_delete=django.db.models.deletion.CASCADE,
                related_name="own_logins",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
    ]
