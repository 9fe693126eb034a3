"""Bootstrap-Flask: resource helpers, and the macros for forms, tables, pages, navigation, messages."""

from __future__ import annotations

import flask
import pytest
from flask_bootstrap import Bootstrap4
from flask_bootstrap import Bootstrap5
from flask_sqlalchemy import SQLAlchemy
from flask_wtf import FlaskForm
from wtforms import BooleanField
from wtforms import PasswordField
from wtforms import SelectField
from wtforms import StringField
from wtforms import SubmitField
from wtforms.validators import DataRequired
from wtforms.validators import Length


class Login(FlaskForm):  # type: ignore[misc]
    name = StringField("Name", validators=[DataRequired(), Length(3, 20)])
    password = PasswordField("Password")
    remember = BooleanField("Remember me")
    colour = SelectField("Colour", choices=[("r", "red"), ("g", "green")])
    send = SubmitField()


@pytest.fixture(params=[Bootstrap4, Bootstrap5])
def app(request: pytest.FixtureRequest) -> flask.Flask:
    app = flask.Flask(__name__)
    app.config.update(SECRET_KEY="k", WTF_CSRF_ENABLED=False, TESTING=True)
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
    request.param(app)
    app.add_url_rule("/other", "other", lambda: "")
    return app


def version(app: flask.Flask) -> str:
    return "bootstrap4" if isinstance(app.extensions["bootstrap"], Bootstrap4) else "bootstrap5"


def render(app: flask.Flask, source: str, **context: object) -> str:
    source = source.replace("BOOT", version(app))
    app.add_url_rule("/", "index", lambda: flask.render_template_string(source, **context))
    response = app.test_client().get("/")
    assert response.status_code == 200
    return response.text


def test_resources_from_afar(app: flask.Flask) -> None:
    text = render(app, "{{ bootstrap.load_css() }}{{ bootstrap.load_js() }}")
    assert "<link" in text
    assert "integrity" in text


def test_resources_from_the_extensions_own_static_folder(app: flask.Flask) -> None:
    app.config["BOOTSTRAP_SERVE_LOCAL"] = True
    text = render(app, "{{ bootstrap.load_css() }}")
    assert "/bootstrap/static/" in text
    path = text.split('href="')[1].split('"')[0]
    response = app.test_client().get(path)
    assert response.status_code == 200
    assert response.mimetype == "text/css"


def test_a_form_with_its_errors(app: flask.Flask) -> None:
    @app.post("/form")
    def form() -> str:
        form = Login()
        form.validate_on_submit()
        source = (
            f"{{% from '{version(app)}/form.html' import render_form %}}{{{{ render_form(form) }}}}"
        )
        return flask.render_template_string(source, form=form)

    text = app.test_client().post("/form", data={"name": "x", "colour": "g"}).text
    assert "is-invalid" in text
    assert "between 3 and 20" in text
    assert "<option selected value" in text


def test_one_field(app: flask.Flask) -> None:
    @app.get("/field")
    def field() -> str:
        source = f"{{% from '{version(app)}/form.html' import render_field %}}{{{{ render_field(form.name) }}}}"
        return flask.render_template_string(source, form=Login())

    assert 'class="form-control"' in app.test_client().get("/field").text


def test_messages_that_were_flashed(app: flask.Flask) -> None:
    @app.get("/flash")
    def show() -> str:
        flask.flash("careful", "warning")
        source = f"{{% from '{version(app)}/utils.html' import render_messages %}}{{{{ render_messages() }}}}"
        return flask.render_template_string(source)

    text = app.test_client().get("/flash").text
    assert "alert-warning" in text
    assert "careful" in text


def test_navigation_marks_the_page_one_is_on(app: flask.Flask) -> None:
    source = (
        "{% from 'BOOT/nav.html' import render_nav_item %}"
        "{{ render_nav_item('index', 'Home') }}{{ render_nav_item('other', 'Other') }}"
    )
    text = render(app, source)
    assert text.count("active") == 1
    assert 'href="/other"' in text


def test_pages_and_a_table_of_a_query(app: flask.Flask) -> None:
    db = SQLAlchemy()
    db.init_app(app)

    class Thing(db.Model):  # type: ignore[name-defined, misc]
        id = db.Column(db.Integer, primary_key=True)
        name = db.Column(db.String)

    with app.app_context():
        db.create_all()
        db.session.add_all(Thing(name=f"thing {number}") for number in range(25))
        db.session.commit()

    @app.get("/things")
    def things() -> str:
        source = (
            "{% from 'BOOT/pagination.html' import render_pagination %}"
            "{% from 'BOOT/table.html' import render_table %}"
            "{{ render_table(pages.items, show_actions=True, view_url=('other', [('id', ':id')])) }}"
            "{{ render_pagination(pages) }}"
        ).replace("BOOT", version(app))
        return flask.render_template_string(
            source, pages=db.paginate(db.select(Thing), per_page=10)
        )

    client = app.test_client()
    text = client.get("/things?page=2").text
    assert "thing 10" in text
    assert "thing 9<" not in text
    assert "?page=3" in text
    assert client.get("/things?page=99").status_code == 404
