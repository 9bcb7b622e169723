"""
A letter by SMTP: one connection, one message, one verdict. Blocking, for a thread.

Laws: certificates are checked, and what the settings want secured is never sent in clear text: a
server that does not offer STARTTLS gets nothing. The password is read each time, from a file that
nobody else may read, and never repeated. A server that took the message has it, whatever it says
afterwards.

Source: RFC 5321, RFC 3207 (STARTTLS), RFC 8314 (implicit TLS), RFC 3834 (Auto-Submitted).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import email.policy
import email.utils
import smtplib
import socket
import ssl
import stat
from email.message import EmailMessage
from pathlib import Path
from typing import Final

from edge.control.letters import Letter, Undelivered, lines, plain
from edge.node.roots import checking_context
from edge.site.alarms import Smtp

STEP_S: Final = 10.0
"""For each answer of the server; all of it together is bounded by who calls."""

MAX_REASON: Final = 200
MAX_PASSWORD: Final = 4_096


class Mailing:
    """One try to send one letter."""

    def __init__(self, smtp: Smtp, root: Path, context: ssl.SSLContext | None = None) -> None:
        """`root` is where relative paths start; `context` has other roots than the system's."""
        self._smtp = smtp
        self._root = root
        self._context = context
        self._server: smtplib.SMTP | None = None
        self._is_aborted = False

    def send(self, letter: Letter) -> None:
        """
        Send it.

        Raises:
            Undelivered: it was not taken.
        """
        password = self._password()
        try:
            self._server = self._connect()
            try:
                if self._is_aborted:
                    raise smtplib.SMTPServerDisconnected
                if self._smtp.user is not None:
                    self._server.login(self._smtp.user, password)
                recipient = letter.to.removeprefix("mailto:")
                message = compose(letter, self._smtp.sender)
                self._server.send_message(message, self._smtp.sender, [recipient])
                with contextlib.suppress(OSError, smtplib.SMTPException):
                    self._server.quit()
            finally:
                self._server.close()
        except (OSError, smtplib.SMTPException, ValueError) as error:
            raise undelivered(error) from None

    def abort(self) -> None:
        """End it, from another thread; harmless after its end."""
        self._is_aborted = True
        server = self._server
        if server is not None and server.sock is not None:
            with contextlib.suppress(OSError):
                server.sock.shutdown(socket.SHUT_RDWR)

    def _connect(self) -> smtplib.SMTP:
        host, port = self._smtp.host, self._smtp.port
        if self._smtp.security == "none":
            return smtplib.SMTP(host, port, timeout=STEP_S)
        context = self._context or checking_context()
        if self._smtp.security == "implicit":
            return smtplib.SMTP_SSL(host, port, timeout=STEP_S, context=context)
        server = smtplib.SMTP(host, port, timeout=STEP_S)
        try:
            server.starttls(context=context)
        except BaseException:
            server.close()
            raise
        return server

    def _password(self) -> str:
        file = self._smtp.password_file
        if file is None:
            return ""
        return read_password(self._root / file)


def read_password(path: Path) -> str:
    """
    A password: the first line of a file that nobody else may read.

    Raises:
        Undelivered: there is none; what the file holds is not repeated.
    """
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            reason = f"others may read smtp.password_file; run chmod 600 {path}"
            raise Undelivered(reason, is_final=True)
        with path.open(encoding="utf-8") as file:
            password = file.readline(MAX_PASSWORD).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        detail = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        reason = f"smtp.password_file: {path} cannot be read: {detail}"
        raise Undelivered(reason, is_final=True) from None
    if not password:
        raise Undelivered(f"smtp.password_file: {path} has no password", is_final=True)
    return password


def compose(letter: Letter, sender: str) -> EmailMessage:
    """The message; the same one has the same Message-ID at each try."""
    message = EmailMessage(policy=email.policy.SMTP)
    message["From"] = sender
    message["To"] = letter.to.removeprefix("mailto:")
    message["Subject"] = f"[edge] {letter.subject}"
    message["Date"] = email.utils.format_datetime(dt.datetime.now(dt.UTC))
    message["Message-ID"] = f"<{letter.document['id']}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(lines(letter.document), cte="quoted-printable")
    return message


def undelivered(error: Exception) -> Undelivered:
    """What went wrong, and whether another try may help: 4xx is for a while, 5xx for good."""
    match error:
        case smtplib.SMTPRecipientsRefused():
            code, text = next(iter(error.recipients.values()))
            return Undelivered(
                f"the recipient is refused: {said(code, text)}", is_final=code >= 500
            )
        case smtplib.SMTPNotSupportedError():
            detail = plain(str(error), MAX_REASON)
            return Undelivered(f"the mail server cannot do this: {detail}", is_final=True)
        case smtplib.SMTPResponseException():
            reason = f"the mail server says {said(error.smtp_code, error.smtp_error)}"
            return Undelivered(reason, is_final=error.smtp_code >= 500)
        case ssl.SSLCertVerificationError():
            reason = f"the mail server's certificate is not trusted: {error.verify_message}"
            return Undelivered(plain(reason, MAX_REASON))
        case TimeoutError():
            return Undelivered(f"the mail server does not answer within {STEP_S:g} s")
        case OSError(strerror=str(detail)):
            return Undelivered(f"no connection to the mail server: {plain(detail, MAX_REASON)}")
        case ValueError():
            return Undelivered("the message cannot be written as a mail", is_final=True)
    return Undelivered(f"the mail server broke off ({type(error).__name__})")


def said(code: int, text: bytes | str) -> str:
    """What a server answered."""
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return plain(f"{code} {words}", MAX_REASON)
