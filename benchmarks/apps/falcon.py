"""Falcon, on WSGI."""

from __future__ import annotations

import typing as t

import falcon

from benchmarks import workloads as w

PROTOCOL = "wsgi"


class Text:
    def on_get(self, req: t.Any, resp: t.Any) -> None:
        resp.content_type = falcon.MEDIA_TEXT
        resp.text = w.GREETING


class Json:
    def on_get(self, req: t.Any, resp: t.Any) -> None:
        resp.media = {"message": w.GREETING}


class User:
    def on_get(self, req: t.Any, resp: t.Any, number: int) -> None:
        resp.media = {"id": number, "name": f"user {number}"}


class Search:
    def on_get(self, req: t.Any, resp: t.Any) -> None:
        resp.content_type = falcon.MEDIA_TEXT
        page = req.get_param_as_int("page")
        size = req.get_param_as_int("size")
        resp.text = f"{req.get_param('q')} {page} {size}"


class Form:
    def on_post(self, req: t.Any, resp: t.Any) -> None:
        form = req.get_media()
        resp.content_type = falcon.MEDIA_TEXT
        resp.text = " ".join(form[key] for key in ("name", "age", "town", "subject", "sent"))


class Echo:
    def on_post(self, req: t.Any, resp: t.Any) -> None:
        resp.media = req.get_media()


class Upload:
    def on_post(self, req: t.Any, resp: t.Any) -> None:
        resp.content_type = falcon.MEDIA_TEXT
        for part in req.get_media():
            if part.name == "file":
                resp.text = str(len(part.stream.read()))


class Cookie:
    def on_get(self, req: t.Any, resp: t.Any) -> None:
        visits = int(req.cookies["visits"])
        resp.content_type = falcon.MEDIA_TEXT
        resp.text = str(visits)
        resp.set_cookie("visits", str(visits + 1), path="/", secure=False)


class Redirect:
    def on_get(self, req: t.Any, resp: t.Any) -> None:
        raise falcon.HTTPFound("/")


class Stream:
    def on_get(self, req: t.Any, resp: t.Any) -> None:
        resp.content_type = falcon.MEDIA_TEXT
        resp.stream = w.chunks()


class Big:
    def on_get(self, req: t.Any, resp: t.Any) -> None:
        resp.content_type = falcon.MEDIA_TEXT
        resp.data = w.MEGABYTE


class Error:
    def on_get(self, req: t.Any, resp: t.Any) -> None:
        raise w.Trouble


class Section:
    def on_get(self, req: t.Any, resp: t.Any, name: str) -> None:
        resp.content_type = falcon.MEDIA_TEXT
        resp.text = name


class Hook:
    def process_request(self, req: t.Any, resp: t.Any) -> None:
        return None

    def process_response(self, req: t.Any, resp: t.Any, resource: t.Any, ok: bool) -> None:
        return None


def _trouble(req: t.Any, resp: t.Any, error: t.Any, params: t.Any) -> None:
    resp.status = falcon.HTTP_503
    resp.content_type = falcon.MEDIA_TEXT
    resp.text = "in trouble"


def make(variant: str, size: int) -> t.Any:
    app = falcon.App(middleware=[Hook() for _ in range(10)] if variant == "hooks" else None)
    app.req_options.default_media_type = falcon.MEDIA_JSON
    app.req_options.media_handlers[
        falcon.MEDIA_MULTIPART
    ].parse_options.max_body_part_buffer_size = 1 << 21
    if variant in {"main", "hooks"}:
        app.add_route("/", Text())
    if variant == "main":
        app.add_route("/json", Json())
        app.add_route("/user/{number:int}", User())
        app.add_route("/search", Search())
        app.add_route("/form", Form())
        app.add_route("/echo", Echo())
        app.add_route("/upload", Upload())
        app.add_route("/cookie", Cookie())
        app.add_route("/redirect", Redirect())
        app.add_route("/stream", Stream())
        app.add_route("/big", Big())
        app.add_static_route("/static", w.static_file().parent)
    if variant == "errors":
        app.add_route("/error", Error())
        app.add_error_handler(w.Trouble, _trouble)
    if variant == "routes":
        for n in range(size):
            app.add_route(f"/section{n}/{{name}}", Section())
    return app
