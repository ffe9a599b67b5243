"""Tokens have scopes and an end; a role may be held again after it ended; the trail's times never go back."""

from datetime import timedelta

from django.db import migrations, models
from django.utils import timezone

EVERYTHING = [
    "environments:read",
    "experiments:read",
    "instances:read",
    "instances:launch",
    "instances:control",
    "instances:delete",
    "instances:connect",
]


def keep_what_they_could(apps, schema_editor):
    """Until now every token was good for the whole API, and some for ever: those get a year."""
    Token = apps.get_model("visa_auth", "ApiToken")
    Token.objects.filter(scopes=[]).update(scopes=EVERYTHING)
    Token.objects.filter(expires=None).update(expires=timezone.now() + timedelta(days=365))


# The moment is taken under the lock: the order of the rows is the order of their times, and a span of time is a span
# of numbers. A clock that is set back does not change that.
TIMES = """
CREATE OR REPLACE FUNCTION visa_auth_audit_chain() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  last_at timestamptz;
BEGIN
  -- Held to the end of the transaction: the next writer sees this row or none.
  PERFORM pg_advisory_xact_lock(hashtext('visa_auth_audit'));
  SELECT seq + 1, digest, at INTO NEW.seq, NEW.previous, last_at FROM visa_auth_auditevent ORDER BY seq DESC LIMIT 1;
  NEW.seq := coalesce(NEW.seq, 1);
  NEW.at := greatest(clock_timestamp(), last_at);
  NEW.previous := coalesce(NEW.previous, ''::bytea);
  NEW.digest := visa_auth_audit_digest(NEW);
  RETURN NEW;
END $$;
"""
AS_BEFORE = """
CREATE OR REPLACE FUNCTION visa_auth_audit_chain() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('visa_auth_audit'));
  SELECT seq + 1, digest INTO NEW.seq, NEW.previous FROM visa_auth_auditevent ORDER BY seq DESC LIMIT 1;
  NEW.seq := coalesce(NEW.seq, 1);
  NEW.previous := coalesce(NEW.previous, ''::bytea);
  NEW.digest := visa_auth_audit_digest(NEW);
  RETURN NEW;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("visa_auth", "0006_identities")]
    operations = [
        migrations.RunPython(keep_what_they_could, migrations.RunPython.noop),
        migrations.AlterField("apitoken", "expires", models.DateTimeField()),
        migrations.AddField(
            "apitoken",
            "last_address",
            models.GenericIPAddressField(blank=True, help_text="Where it was last used from.", null=True),
        ),
        migrations.RemoveConstraint("rolegrant", "role_once_per_source"),
        migrations.AddConstraint(
            "rolegrant",
            models.UniqueConstraint(
                condition=models.Q(ended=None),
                fields=["user", "role", "instrument", "experiment", "source"],
                name="role_once_per_source",
                nulls_distinct=False,
            ),
        ),
        migrations.AddIndex("auditevent", models.Index(fields=["action", "seq"], name="audit_action")),
        migrations.AddIndex("auditevent", models.Index(fields=["at", "seq"], name="audit_at")),
        migrations.RunSQL(TIMES, AS_BEFORE),
    ]
