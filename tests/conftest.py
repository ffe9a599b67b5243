"""What every test may use."""

import pytest
from django.db import connection


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker) -> None:  # type: ignore[no-untyped-def]
    """Tests that commit clean up with TRUNCATE, which the audit trail refuses everywhere else."""
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE visa_auth_auditevent DISABLE TRIGGER audit_keep_table")
