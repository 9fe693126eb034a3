"""Flask-Mail: messages made by the app's settings, caught instead of sent."""

from __future__ import annotations

import flask
import pytest
from flask_mail import BadHeaderError
from flask_mail import email_dispatched
from flask_mail import Mail
from flask_mail import Message


@pytest.fixture
def app() -> flask.Flask:
    app = flask.Flask(__name__)
    app.config.update(TESTING=True, MAIL_DEFAULT_SENDER=("Shop", "shop@shop.test"))
    return app


def test_a_view_sends_a_message(app: flask.Flask) -> None:
    mail = Mail(app)

    @app.post("/send")
    def send() -> str:
        message = Message("Hello", recipients=[flask.request.form["to"]])
        message.html = flask.render_template_string("<b>{{ name }}</b>", name="<Ada>")
        mail.send(message)
        return "sent"

    with mail.record_messages() as outbox:
        assert app.test_client().post("/send", data={"to": "ada@home.test"}).text == "sent"
    assert outbox[0].sender == "Shop <shop@shop.test>"
    assert outbox[0].recipients == ["ada@home.test"]
    assert outbox[0].html == "<b>&lt;Ada&gt;</b>"


def test_the_signal_tells_who_sent(app: flask.Flask) -> None:
    mail = Mail(app)
    seen = []

    def receive(sender: flask.Flask, message: Message) -> None:
        seen.append((message.subject, sender.name))

    with app.app_context(), email_dispatched.connected_to(receive):
        mail.send_message("Subject", recipients=["a@b.test"], body="text")
    assert seen == [("Subject", app.name)]


def test_an_attachment_from_the_apps_folder(app: flask.Flask) -> None:
    mail = Mail(app)
    with app.app_context(), mail.record_messages() as outbox:
        message = Message("S", recipients=["a@b.test"], body="text")
        with app.open_resource(__file__) as file:
            message.attach("smoke.py", "text/x-python", file.read())
        mail.send(message)
        assert outbox[0].attachments[0].filename == "smoke.py"
        assert "smoke.py" in outbox[0].as_string()


def test_a_header_cannot_be_smuggled_in(app: flask.Flask) -> None:
    mail = Mail(app)
    with app.app_context(), pytest.raises(BadHeaderError):
        mail.send(Message("S\r\nBcc: evil@x.test", recipients=["a@b.test"]))


def test_a_factory_makes_the_app_later(app: flask.Flask) -> None:
    mail = Mail()
    mail.init_app(app)
    assert app.extensions["mail"].server == "127.0.0.1"
    with app.app_context(), mail.record_messages() as outbox:
        mail.send(Message("S", recipients=["a@b.test"]))
    assert len(outbox) == 1
