"""The audit trail: what PostgreSQL itself guarantees."""

import pytest
from django.db import DatabaseError, connection, transaction

from auth import audit
from auth.models import AuditEvent

pytestmark = pytest.mark.django_db


def write(number: int) -> None:
    for n in range(number):
        audit.record("instance.launch", f"instance:{n}", actor=None, because="test", detail={"n": n, "ü": [1.5, None]})


def test_rows_are_numbered_and_chained() -> None:
    write(3)
    assert list(AuditEvent.objects.values_list("seq", flat=True)) == [1, 2, 3]
    assert audit.first_broken_link() is None


@pytest.mark.parametrize("sql", ["UPDATE {} SET action = 'x'", "DELETE FROM {}", "TRUNCATE {}"])
def test_rows_cannot_be_changed_or_removed(sql: str) -> None:
    write(1)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE visa_auth_auditevent ENABLE TRIGGER audit_keep_table")
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql.format(AuditEvent._meta.db_table))


@pytest.mark.parametrize(
    "sql",
    ["UPDATE {} SET detail = '{{}}' WHERE seq = 2", "DELETE FROM {} WHERE seq = 2", "DELETE FROM {} WHERE seq = 1"],
)
def test_an_alteration_behind_the_triggers_is_found(sql: str) -> None:
    write(3)
    table = AuditEvent._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(sql.format(table))
        cursor.execute("SET LOCAL session_replication_role = origin")
    assert audit.first_broken_link() in {2, 3}


@pytest.mark.django_db(transaction=True)
def test_recording_outside_a_transaction_is_refused() -> None:
    with pytest.raises(transaction.TransactionManagementError):
        audit.record("x", "y:1", actor=None)
