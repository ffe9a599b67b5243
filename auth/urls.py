from django.urls import path

from . import views

app_name = "auth"
urlpatterns = [
    path("sign-in/", views.sign_in, name="sign_in"),
    path("sign-in/start/", views.start, name="start"),
    path("sign-in/callback/", views.callback, name="callback"),
    path("sign-out/", views.sign_out, name="sign_out"),
    path("sign-out/back-channel/", views.back_channel, name="back_channel"),
]
