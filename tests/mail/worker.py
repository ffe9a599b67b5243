"""Sends one mail in a process that a test may kill: `python -m tests.mail.worker DATABASE_URL SMTP_PORT MAIL_ID`."""

import os
import sys
from uuid import UUID

if __name__ == "__main__":
    os.environ["DATABASE_URL"] = sys.argv[1]
    os.environ["VISA_EMAIL_URL"] = f"smtp://127.0.0.1:{sys.argv[2]}"
    os.environ["DJANGO_SETTINGS_MODULE"] = "visa.settings"
    import django

    django.setup()
    from instances.mail.send import send

    send(UUID(sys.argv[3]))
