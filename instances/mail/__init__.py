"""From a row to a mail server: writing what a mail says, sending it, and the daily digest."""
