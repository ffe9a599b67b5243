from django.urls import path

from .views import account, sign_in, step_up, tokens

app_name = "auth"
urlpatterns = [
    path("sign-in/", sign_in.sign_in, name="sign_in"),
    path("sign-in/start/", sign_in.start, name="start"),
    path("sign-in/callback/", sign_in.callback, name="callback"),
    path("sign-in/callback/<slug:provider>/", sign_in.callback, name="callback_of"),
    path("sign-out/", sign_in.sign_out, name="sign_out"),
    path("sign-out/back-channel/", sign_in.back_channel, name="back_channel"),
    path("account/", account.account, name="account"),
    path("account/confirm/", step_up.confirm, name="confirm"),
    path("account/confirm/start/", step_up.start, name="confirm_start"),
    path("account/link/", account.link, name="link"),
    path("account/link/start/", account.link_start, name="link_start"),
    path("account/link/confirm/", account.link_confirm, name="link_confirm"),
    path("account/identities/<int:identity_id>/unlink/", account.unlink, name="unlink"),
    path("account/sessions/end/", account.end_sessions, name="end_sessions"),
    path("account/tokens/", tokens.tokens, name="tokens"),
    path("account/tokens/new/", tokens.new, name="token_new"),
    path("account/tokens/<int:token_id>/revoke/", tokens.revoke, name="token_revoke"),
]
