import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import F, Q

# Until now ids were these plus the row's; the portal's own ranges go on where that left off.
UIDS, GIDS = 20_000, 100_000
SEQUENCES = """
    CREATE SEQUENCE visa_auth_local_uid;
    SELECT setval('visa_auth_local_uid', (SELECT coalesce(max(id), 0) + 1 FROM visa_auth_user), false);
    CREATE SEQUENCE visa_auth_local_gid;
    SELECT setval('visa_auth_local_gid', (SELECT coalesce(max(id), 0) + 1 FROM visa_auth_proposal), false);
"""
NO_SEQUENCES = "DROP SEQUENCE visa_auth_local_uid; DROP SEQUENCE visa_auth_local_gid;"


def keep_ids(apps, schema_editor):
    apps.get_model("visa_auth", "User").objects.update(uid=F("id") + UIDS)
    apps.get_model("visa_auth", "Proposal").objects.update(gid=F("id") + GIDS)


def name_sources(apps, schema_editor):
    """What was there came from the only catalogue that there could be at a time."""
    Grant = apps.get_model("visa_auth", "RoleGrant")
    known = Grant.objects.filter(source__startswith="catalogue:").values_list("source", flat=True).distinct()
    source = sorted(known)[0] if known else "catalogue:files"
    for name in ("Instrument", "Proposal", "Experiment", "Participation"):
        apps.get_model("visa_auth", name).objects.update(source=source)


class Migration(migrations.Migration):
    dependencies = [("visa_auth", "0003_logins")]
    operations = [
        migrations.AddField("user", "uid", models.PositiveBigIntegerField(null=True)),
        migrations.AddField("proposal", "gid", models.PositiveBigIntegerField(null=True)),
        migrations.RunPython(keep_ids, migrations.RunPython.noop),
        migrations.AlterField(
            "user",
            "uid",
            models.PositiveBigIntegerField(editable=False, help_text="Unix uid inside instances.", unique=True),
        ),
        migrations.AlterField(
            "proposal",
            "gid",
            models.PositiveBigIntegerField(editable=False, help_text="The Unix group of its data.", unique=True),
        ),
        migrations.RunSQL(SEQUENCES, NO_SEQUENCES),
        migrations.AddField(
            "user",
            "linked_to",
            models.ForeignKey(
                blank=True,
                help_text="Signing in opens that account.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="others",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        *(
            migrations.AddField(
                model,
                "source",
                models.CharField(blank=True, default="", help_text=text, max_length=64),
                preserve_default=False,
            )
            for model, text in (
                ("instrument", "The catalogue that it came from."),
                ("proposal", "The catalogue that it came from."),
                ("experiment", "The catalogue that it came from."),
                ("participation", "The catalogue that says so; each speaks for itself."),
            )
        ),
        migrations.RunPython(name_sources, migrations.RunPython.noop),
        migrations.RemoveConstraint("participation", "participation_once"),
        migrations.AddConstraint(
            "participation",
            models.UniqueConstraint(fields=["user", "experiment", "part", "source"], name="participation_once"),
        ),
        migrations.AddField(
            "rolegrant",
            "experiment",
            models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="role_grants",
                to="visa_auth.experiment",
            ),
        ),
        migrations.AddField(
            "rolegrant",
            "ended",
            models.DateTimeField(blank=True, help_text="When the portal acted upon its end.", null=True),
        ),
        migrations.AlterField(
            "rolegrant",
            "source",
            models.CharField(
                help_text="catalogue:<name>, claim:<issuer's host> or person:<id>: what gave it, and may end it.",
                max_length=64,
            ),
        ),
        migrations.AlterField(
            "rolegrant",
            "role",
            models.CharField(
                choices=[
                    ("administrator", "Administrator"),
                    ("it_support", "IT support"),
                    ("instrument_scientist", "Instrument scientist"),
                    ("local_contact", "Local contact"),
                    ("instrument_control", "Instrument control"),
                    ("auditor", "Auditor"),
                ],
                max_length=32,
            ),
        ),
        migrations.RemoveConstraint("rolegrant", "role_once_per_source"),
        migrations.AddConstraint(
            "rolegrant",
            models.UniqueConstraint(
                fields=["user", "role", "instrument", "experiment", "source"],
                name="role_once_per_source",
                nulls_distinct=False,
            ),
        ),
        migrations.AddIndex(
            "rolegrant",
            models.Index(condition=Q(ended=None, until__isnull=False), fields=["until"], name="role_to_end"),
        ),
        migrations.AddField(
            "apitoken",
            "scopes",
            django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=32),
                default=list,
                help_text="What it may be used for.",
                size=None,
            ),
        ),
    ]
