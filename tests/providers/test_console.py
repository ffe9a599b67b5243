"""A console is text for people: no escapes, no secrets, no more than anybody reads."""

from hypothesis import given
from hypothesis import strategies as st

from instances.providers.console import HIDDEN, LIMIT, readable


def test_colours_cursors_and_titles_are_taken_out_and_the_words_stay() -> None:
    shown = "\x1b]0;title\x07\x1b[32m[  OK  ]\x1b[0m Started \x1b[1;39msshd\x1b[0m.\r\n\x00\x1b(Blogin: "
    assert readable(shown) == "[  OK  ] Started sshd.\nlogin:"


def test_secrets_and_private_keys_are_hidden_also_where_one_holds_another() -> None:
    key = "-----BEGIN EC PRIVATE KEY-----\nabc\ndef\n-----END EC PRIVATE KEY-----"
    shown = f"password s3cret12, token s3cret12andmore\n{key}\nafter"
    assert readable(shown, ("s3cret12", "s3cret12andmore", "")) == (
        f"password {HIDDEN}, token {HIDDEN}\n{HIDDEN}\nafter"
    )


def test_a_private_key_that_is_cut_off_is_hidden_to_the_end() -> None:
    assert readable("before\n-----BEGIN PRIVATE KEY-----\nabc") == f"before\n{HIDDEN}"


def test_the_end_is_kept_from_the_beginning_of_a_line() -> None:
    kept = readable("".join(f"line {number}\n" for number in range(10_000)))
    assert len(kept) <= LIMIT and kept.endswith("line 9999")
    assert kept.split("\n")[0] == f"line {10_000 - len(kept.splitlines())}"


@given(st.text(alphabet=st.characters(), max_size=300), st.text("abc", min_size=6, max_size=8))
def test_whatever_a_machine_shows_no_secret_and_no_control_character_is_left(shown: str, secret: str) -> None:
    text = readable(shown + secret + shown, (secret,))
    assert secret not in text
    assert not [c for c in text if c not in "\n\t" and (ord(c) < 32 or 127 <= ord(c) < 160)]
