from django.apps import AppConfig


class VisaConfig(AppConfig):
    name = "visa"
