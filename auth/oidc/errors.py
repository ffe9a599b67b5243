"""Why a sign-in came to nothing, each with what it means for the person and what they can do.

    SignInFailed
     ├── Unreachable     the identity provider does not answer, or not in its own language
     ├── Denied          the provider, or the person there, said no
     ├── Stale           an answer to a question that this browser did not ask, or asked too long ago
     ├── Untrusted       the answer does not hold: signature, issuer, audience, nonce, subject, time
     ├── NotAdmitted     a good answer about somebody whom the configuration does not let in
     ├── WeakLogin       a good answer, but the login was not of the required kind
     ├── LowAssurance    a good answer, but the home organisation is not sure enough of who they are
     ├── Blocked         a good answer about somebody who may not come in
     ├── Interrupted     the provider ended the first login when the second one began, while two were to be linked
     ├── ConfirmationFailed
     │    ├── AnotherPerson      somebody else than whoever is signed in
     │    ├── NotAfresh          the same person, but by an older login
     │    └── WeakConfirmation   the same person, but the login was not of the required kind
     └── LinkRefused
          ├── SameIdentity       it is theirs already
          ├── LinkedElsewhere    it belongs to another account
          ├── LinkBlocked        one of the two accounts is blocked
          ├── HasIdentities      it is the main account of further identities
          └── NotProven          one of the two logins was too long ago

`str()` is for the log and the audit trail and never holds a secret; the page shows the sentences of the class.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auth.models import User


class SignInFailed(Exception):
    status = 400
    title = "The sign-in did not work"
    happened = "Something went wrong between this portal and the service that checks who you are."
    means = "You are not signed in. Your instances and your data are not affected."
    advice = "Please try again."
    again = True

    def __init__(self, why: str, *, user: "User | None" = None) -> None:
        """`user`: whose sign-in it was, where that is certain."""
        super().__init__(why)
        self.user = user


class Unreachable(SignInFailed):
    status = 503
    title = "The sign-in service does not answer"
    happened = "The service that checks who you are is not answering at the moment."
    means = "Nobody can sign in until it is back. Instances keep running, and whoever is signed in stays signed in."
    advice = "Please try again in a minute or two."


class Denied(SignInFailed):
    status = 403
    title = "You were not signed in"
    happened = "The sign-in was cancelled, or your organisation's login refused it."
    means = "You are not signed in. Nothing else has changed."
    advice = "Try again, perhaps with another of your accounts."


class Stale(SignInFailed):
    title = "This sign-in is out of date"
    happened = "It was started too long ago, in another browser, or was already used: the back button does this."
    means = "You are not signed in by it."
    advice = "Start again; it takes a few seconds."


class Untrusted(SignInFailed):
    status = 403
    title = "We cannot trust this sign-in"
    happened = "The answer that came back about you did not pass our checks, so we threw it away."
    means = "You are not signed in. This protects you and your data."
    advice = "Try once more. If it happens again, tell the helpdesk before you do anything else."


class NotAdmitted(SignInFailed):
    status = 403
    title = "This identity cannot be used here"
    happened = "We know who vouches for you, but this portal does not accept this identity."
    means = "You are not signed in. Nothing else has changed."
    advice = "Sign in with another of your identities, or ask the helpdesk which ones are accepted."


class WeakLogin(SignInFailed):
    status = 403
    title = "A second factor is needed"
    happened = "This portal asks for a login with a second factor, and your organisation's login did not confirm one."
    means = "You are not signed in. We asked your organisation twice."
    advice = "Set up a second factor (an app or a security key) with your organisation, then try again."


class LowAssurance(SignInFailed):
    status = 403
    title = "Your organisation has not confirmed who you are"
    happened = "This portal asks for a verified identity, and your organisation did not say that yours is."
    means = "You are not signed in. Trying again will not help until your organisation confirms your identity."
    advice = "Ask your organisation to verify your identity, or sign in with another of your accounts."


class Blocked(SignInFailed):
    status = 403
    title = "Your account is blocked"
    happened = "We know who you are, but your account at this portal has been blocked."
    means = "You cannot use the portal. Your data is kept."
    advice = "The helpdesk can tell you why and what to do."
    again = False


class Interrupted(SignInFailed):
    status = 409
    title = "Your first login has ended"
    happened = (
        "You were about to link two identities, and the sign-in service ended the first login for the second one."
    )
    means = "You are signed out. Neither account has changed."
    advice = "This service cannot hold two logins in one browser. The helpdesk can tell you what else can be done."


class ConfirmationFailed(SignInFailed):
    status = 403
    title = "This was not confirmed"
    means = "You are still signed in as before. What you wanted to do has not been done."
    advice = "Go back and try again."


class AnotherPerson(ConfirmationFailed):
    title = "That was somebody else"
    happened = "The login that came back belongs to another account than the one you are signed in with."
    advice = "Confirm with the identity that you signed in with, or sign out and come back as the other person."


class NotAfresh(ConfirmationFailed):
    title = "You were not asked to log in again"
    happened = "We asked for a new login, and the service that checks who you are answered with an older one."
    advice = "Sign out there, or close the browser, then sign in here and try again."


class WeakConfirmation(ConfirmationFailed):
    title = "A second factor is needed for this"
    happened = "This action asks for a login with a second factor, and your organisation's login did not confirm one."
    advice = "Set up a second factor (an app or a security key) with your organisation, then try again."


class LinkRefused(SignInFailed):
    status = 409
    title = "The identity was not linked"
    means = "You are still signed in as before. Neither account has changed."


class SameIdentity(LinkRefused):
    title = "This identity is yours already"
    happened = "The login that came back is one that already opens your account, so there is nothing to link."
    advice = "To link another one, choose the other account on the login page: you may have to sign out there first."


class LinkedElsewhere(LinkRefused):
    title = "This identity belongs to another account"
    happened = "You proved that this identity is yours, but it is linked to another account of this portal."
    advice = "Sign in with it and unlink it on the page of your account there, then link it here."


class LinkBlocked(LinkRefused):
    status = 403
    title = "A blocked account cannot be linked"
    happened = "One of the two accounts has been blocked at this portal."
    advice = "The helpdesk can tell you why and what to do."
    again = False


class HasIdentities(LinkRefused):
    title = "This identity has others linked to it"
    happened = "The account of this identity is the main account of further identities, and those would be cut off."
    advice = "Sign in with it and either unlink the others there, or link the identity you use now from there instead."


class NotProven(LinkRefused):
    title = "This took too long"
    happened = "Linking needs a fresh login of both identities, and one of them was too long ago or is missing."
    advice = "Start again; it takes a minute."
