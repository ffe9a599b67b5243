"""The job of the queue `mail`. It may be lost, doubled or late: the row says whether there is anything to send."""

from uuid import UUID

from procrastinate import BaseRetryStrategy, RetryDecision
from procrastinate.contrib.django import app
from procrastinate.jobs import Job

from instances.services.mail import TASK

from .send import NotNow, send


class Patience(BaseRetryStrategy):
    """When the row says; after anything unforeseen, such as a database that is away, in a minute."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        if isinstance(exception, NotNow):
            return RetryDecision(retry_at=exception.at)
        return RetryDecision(retry_in={"seconds": 60})


@app.task(name=TASK, queue="mail", retry=Patience())
def send_mail(*, mail_id: str) -> None:
    send(UUID(mail_id))
