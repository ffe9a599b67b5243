"""Header hygiene, without I/O."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.broker import headers

RESERVED = ("visa_session", "visa_csrf", "messages")
names = st.text("abcVISA_-ost", min_size=1, max_size=14)


def up(*sent: tuple[bytes, bytes], secret: str = "") -> dict[bytes, bytes]:
    passed = headers.upwards(sent, host="h", scheme="https", secret=secret, reserved=RESERVED)
    assert len(dict(passed)) == len(passed)
    return dict(passed)


@given(st.lists(st.one_of(names, st.sampled_from((*RESERVED, "__HOST-visa_app", "Visa_Session"))), max_size=8))
def test_no_cookie_of_ours_goes_up_however_it_is_written(sent: list[str]) -> None:
    cookie = "; ".join(f"{name}=1" for name in sent).encode()
    passed = up((b"cookie", cookie)).get(b"cookie", b"").decode()
    kept = [pair.split("=")[0] for pair in passed.split("; ") if pair]
    assert kept == [name for name in sent if not headers.is_ours(name, RESERVED)]
    assert not any(name.lower().startswith("visa_") for name in kept)


def test_only_we_say_who_asks_and_from_where() -> None:
    sent = [
        (b"authorization", b"Basic x"),
        (b"x-forwarded-host", b"evil"),
        (b"forwarded", b"for=x"),
        (b"host", b"evil"),
    ]
    assert up(*sent, secret="s") == {b"host": b"h", b"x-forwarded-proto": b"https", b"authorization": b"token s"}
    assert b"authorization" not in up(*sent)


@pytest.mark.parametrize(
    ("set_cookie", "passed"),
    [
        (b"a=1; DOMAIN=example.org; Path=/", b"a=1; Path=/"),
        (b"a=1;domain=x;domain=y;HttpOnly", b"a=1;HttpOnly"),
        (b"__host-VISA_app=1; Secure", b""),
        (b" visa_session =1", b""),
        (b"=visa_app=1", b""),
        (b"visa_app", b""),
        (b"visage=1", b"visage=1"),
    ],
)
def test_a_cookie_from_an_instance_is_for_its_own_host_and_by_its_own_name(set_cookie: bytes, passed: bytes) -> None:
    kept = dict(headers.downwards([(b"Set-Cookie", set_cookie)], reserved=RESERVED))
    assert kept.get(b"set-cookie", b"") == passed


def test_an_app_s_own_policy_is_kept_beside_ours() -> None:
    kept = headers.downwards([(b"Content-Security-Policy", b"x"), (b"Referrer-Policy", b"origin")], reserved=RESERVED)
    assert [value for name, value in kept if name == b"content-security-policy"] == [b"x", b"frame-ancestors 'self'"]
    assert [value for name, value in kept if name == b"referrer-policy"] == [b"origin"]
