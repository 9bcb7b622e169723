"""A letter by SMTP, to a real mail server, and what a server may do instead."""

from __future__ import annotations

import contextlib
import email
import socket
import ssl
import threading

import pytest

from edge.control.letters import Undelivered
from edge.control.mail import Mailing, compose, read_password, undelivered
from edge.site.alarms import Smtp
from tests.support_alarms import letter, mail_server, server_context
from tests.support_tls import Issuer

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")

TO = "mailto:ops@example.com"


@pytest.fixture(scope="module")
def issuer():
    """A root of the tests' own."""
    return Issuer()


@pytest.fixture
def password(tmp_path):
    """The file of the password."""
    file = tmp_path / "smtp"
    file.write_text("secret\n")
    file.chmod(0o600)
    return file


def smtp(server, **more):
    """Settings of a server on this machine."""
    return Smtp(**({"host": "127.0.0.1", "port": server.port, "sender": "edge@example.com"} | more))


def refused(mailing, to=TO):
    """Why a letter is not taken."""
    with pytest.raises(Undelivered) as caught:
        mailing.send(letter(to))
    return caught.value


def test_a_relay_on_this_machine(tmp_path):
    """In clear text and without a login; one message, readable whatever its letters."""
    with mail_server() as server:
        Mailing(smtp(server), tmp_path).send(letter(TO))

    (mail,) = server.mails
    assert server.envelopes == [("edge@example.com", ["ops@example.com"])]
    assert mail["Subject"] == "[edge] FIRING: ünï"
    assert (mail["From"], mail["To"]) == ("edge@example.com", "ops@example.com")
    assert mail["Message-ID"] == "<0123@example.com>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Date"].datetime.tzinfo is not None
    assert mail.get_content().splitlines() == [
        *("FIRING: ünï", ""),
        *("id: 0123", "value: 12.5", "app: shop"),
    ]


@pytest.mark.parametrize("kind", ["starttls", "implicit"])
def test_a_login_over_tls(kind, issuer, tmp_path, password):
    """The certificate is checked first; the password comes from its file."""
    context = server_context(issuer, tmp_path, "127.0.0.1")
    with mail_server(context, is_implicit=kind == "implicit", has_login=True) as server:
        login = {"user": "user", "password_file": password.name, "tls": kind}
        Mailing(smtp(server, **login), tmp_path, issuer.client()).send(letter(TO))

    assert len(server.mails) == 1
    assert server.logins == [(b"user", b"secret")]


def test_a_wrong_password_is_final(issuer, tmp_path, password):
    """It would be wrong again; it is not repeated."""
    password.write_text("guess")
    context = server_context(issuer, tmp_path, "127.0.0.1")
    with mail_server(context, has_login=True) as server:
        login = {"user": "user", "password_file": password.name}
        error = refused(Mailing(smtp(server, **login), tmp_path, issuer.client()))

    assert error.is_final
    assert "535" in str(error)
    assert "guess" not in str(error)


@pytest.mark.parametrize(
    "names", [("other.example",), ("127.0.0.1",)], ids=["another name", "a stranger's root"]
)
def test_a_certificate_that_is_not_trusted_gets_nothing(names, issuer, tmp_path):
    """Neither password nor message; it may be another one the next time."""
    trusted = issuer.client() if names == ("other.example",) else None
    with mail_server(server_context(issuer, tmp_path, *names)) as server:
        error = refused(Mailing(smtp(server, tls="starttls"), tmp_path, trusted))

    assert server.mails == []
    assert "certificate is not trusted" in str(error)
    assert not error.is_final


def test_a_server_without_starttls_gets_nothing(tmp_path, password):
    """Somebody on the way may have taken the offer out."""
    with mail_server(has_login=True) as server:
        login = {"user": "user", "password_file": password.name}
        error = refused(Mailing(smtp(server, **login), tmp_path))

    assert (server.logins, server.mails) == ([], [])
    assert error.is_final
    assert "STARTTLS" in str(error)


@pytest.mark.parametrize(
    ("answer", "is_final"), [("451 greylisted, come back", False), ("554 no", True)]
)
def test_a_refused_message(answer, is_final, tmp_path):
    """4xx is for a while, 5xx for good; in the server's words."""
    with mail_server() as server:
        server.refusals.append(answer)
        error = refused(Mailing(smtp(server), tmp_path))

    assert (error.is_final, str(error)) == (is_final, f"the mail server says {answer}")


def test_a_refused_recipient(tmp_path):
    """Named as such."""
    with mail_server() as server:
        error = refused(Mailing(smtp(server), tmp_path), "mailto:nobody@example.com")

    assert error.is_final
    assert str(error) == "the recipient is refused: 550 no such user"


def test_nobody_listens(tmp_path):
    """That may pass."""
    with mail_server() as server:
        pass
    error = refused(Mailing(smtp(server), tmp_path))

    assert not error.is_final
    assert str(error) == "no connection to the mail server: Connection refused"


@contextlib.contextmanager
def talking(*lines):
    """A server that says these lines, one after another, then nothing."""
    listener = socket.create_server(("127.0.0.1", 0))
    accepted = threading.Event()

    def talk():
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.sendall(lines[0])
                for line in lines[1:]:
                    connection.recv(1024)
                    connection.sendall(line)
                accepted.set()
                while connection.recv(1024):
                    pass

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        yield listener.getsockname()[1], accepted
    finally:
        listener.close()
        thread.join()


def test_what_was_taken_is_taken_whatever_comes_after(tmp_path):
    """A server that does not say goodbye must not get the message twice."""
    said = (b"220 hi\r\n", b"250 hi\r\n", *[b"250 ok\r\n"] * 2, b"354 go\r\n", b"250 ok\r\n")
    with talking(*said, b"421 shut up\r\n") as (port, _):
        settings = Smtp(host="127.0.0.1", port=port, sender="edge@example.com")
        Mailing(settings, tmp_path).send(letter(TO))


def test_a_try_is_ended_from_outside(tmp_path):
    """A server that is silent holds no thread; afterwards it is harmless."""
    with talking(b"220 hi\r\n", b"250 hi\r\n") as (port, accepted):
        settings = Smtp(host="127.0.0.1", port=port, sender="edge@example.com")
        mailing, errors = Mailing(settings, tmp_path), []
        thread = threading.Thread(target=lambda: errors.append(refused(mailing)))
        thread.start()
        assert accepted.wait(15)
        mailing.abort()
        thread.join(15)
        mailing.abort()

    assert not thread.is_alive()
    assert not errors[0].is_final


def test_one_that_was_ended_before_it_connected_sends_nothing(tmp_path):
    """The next try has begun meanwhile."""
    with mail_server() as server:
        mailing = Mailing(smtp(server), tmp_path)
        mailing.abort()
        error = refused(mailing)

    assert server.mails == []
    assert "broke off" in str(error)


def test_no_header_can_be_added(tmp_path):
    """Whatever stands in a subject or an address."""
    with pytest.raises(ValueError, match=r"linefeed|newline"):
        compose(letter("mailto:a@b.example\nBcc: c@d.example"), "edge@example.com")
    with mail_server() as server:
        error = refused(Mailing(smtp(server), tmp_path), "mailto:a@b.example\r\nDATA")

    assert server.mails == []
    assert error.is_final


def test_a_long_line_and_a_dot_arrive():
    """As they were."""
    document = {"text": "x" * 3000 + "\n.\nend", "id": "1"}
    mail = compose(letter(TO, document=document), "edge@example.com").as_bytes()

    assert max(len(line) for line in mail.splitlines()) <= 78
    read = email.message_from_bytes(mail, policy=email.policy.default)
    assert read.get_content().splitlines()[:3] == document["text"].splitlines()


def test_a_password_file(tmp_path, password):
    """For its owner alone, one line, UTF-8; refusals name the file and not what it holds."""
    assert read_password(password) == "secret"
    cases = {"chmod 600": b"secret", "no password": b"\n", "UTF-8": b"\xff", "No such": None}
    for words, content in cases.items():
        file = tmp_path / "another"
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_bytes(content)
            file.chmod(0o640 if words == "chmod 600" else 0o600)
        with pytest.raises(Undelivered, match=words) as caught:
            read_password(file)
        assert caught.value.is_final
        assert "secret" not in str(caught.value).replace(str(file), "")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (TimeoutError("timed out"), "the mail server does not answer within 10 s"),
        (ssl.SSLError(1, "[SSL] bad"), "no connection to the mail server: [SSL] bad"),
        (OSError("odd"), "the mail server broke off (OSError)"),
    ],
)
def test_other_faults_have_words_too(error, text):
    """And are tried again."""
    assert str(undelivered(error)) == text
    assert not undelivered(error).is_final
