from django.urls import path

from .views import sign_in, tokens

app_name = "auth"
urlpatterns = [
    path("sign-in/", sign_in.sign_in, name="sign_in"),
    path("sign-in/start/", sign_in.start, name="start"),
    path("sign-in/callback/", sign_in.callback, name="callback"),
    path("sign-out/", sign_in.sign_out, name="sign_out"),
    path("sign-out/back-channel/", sign_in.back_channel, name="back_channel"),
    path("account/tokens/", tokens.tokens, name="tokens"),
    path("account/tokens/new/", tokens.new, name="token_new"),
    path("account/tokens/<int:token_id>/revoke/", tokens.revoke, name="token_revoke"),
]
