"""Django, on WSGI, with only the middleware a workload needs."""

from __future__ import annotations

import logging
import sys
import types
import typing as t

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse
from django.http import HttpResponseRedirect
from django.http import JsonResponse
from django.http import StreamingHttpResponse
from django.shortcuts import render
from django.urls import path
from django.urls import reverse
from django.views.decorators.http import require_GET
from django.views.decorators.http import require_POST

from benchmarks import workloads as w

PROTOCOL = "wsgi"
Request = t.Any


@require_GET
def text(request: Request) -> HttpResponse:
    return HttpResponse(w.GREETING)


def json(request: Request) -> HttpResponse:
    return JsonResponse({"message": w.GREETING})


def user(request: Request, number: int) -> HttpResponse:
    return JsonResponse({"id": number, "name": f"user {number}"})


def place(request: Request, name: str, number: int) -> HttpResponse:
    return HttpResponse(name)


def search(request: Request) -> HttpResponse:
    query = request.GET
    return HttpResponse(f"{query['q']} {int(query['page'])} {int(query['size'])}")


@require_POST
def form(request: Request) -> HttpResponse:
    keys = ("name", "age", "town", "subject", "sent")
    return HttpResponse(" ".join(request.POST[key] for key in keys))


@require_POST
def echo(request: Request) -> HttpResponse:
    from json import loads

    return JsonResponse(loads(request.body))


@require_POST
def upload(request: Request) -> HttpResponse:
    return HttpResponse(str(len(request.FILES["file"].read())))


def cookie(request: Request) -> HttpResponse:
    visits = int(request.COOKIES["visits"])
    response = HttpResponse(str(visits))
    response.set_cookie("visits", str(visits + 1))
    return response


def template(request: Request) -> HttpResponse:
    return render(request, "rows.html", {"rows": w.ROWS})


def redirect(request: Request) -> HttpResponse:
    return HttpResponseRedirect("/")


def urls(request: Request) -> HttpResponse:
    place = reverse("place", kwargs={"name": "north", "number": 7})
    return HttpResponse(f"{reverse('text')} {reverse('user', kwargs={'number': 42})} {place}")


def static(request: Request, name: str) -> t.Any:
    from django.views.static import serve

    return serve(request, name, document_root=str(w.STATIC))


def stream(request: Request) -> t.Any:
    return StreamingHttpResponse(w.chunks(), content_type="text/plain")


def big(request: Request) -> HttpResponse:
    return HttpResponse(w.MEGABYTE, content_type="text/plain")


def session(request: Request) -> HttpResponse:
    request.session["count"] = request.session.get("count", 0) + 1
    return HttpResponse(str(request.session["count"]))


def error(request: Request) -> HttpResponse:
    raise w.Trouble


def section(request: Request, name: str) -> HttpResponse:
    return HttpResponse(name)


def hook(get_response: t.Any) -> t.Any:
    """What a hook before and one after a request are in Django: a layer of middleware."""

    def layer(request: Request) -> t.Any:
        return get_response(request)

    return layer


class Handler:
    """What an error handler is in Django: middleware that looks at exceptions."""

    def __init__(self, get_response: t.Any) -> None:
        self.get_response = get_response

    def __call__(self, request: Request) -> t.Any:
        return self.get_response(request)

    def process_exception(self, request: Request, error: Exception) -> HttpResponse | None:
        return HttpResponse("in trouble", status=503) if isinstance(error, w.Trouble) else None


MIDDLEWARE = {
    "session": ["django.contrib.sessions.middleware.SessionMiddleware"],
    "errors": ["benchmarks.apps.django.Handler"],
    "hooks": ["benchmarks.apps.django.hook"] * 10,
}


def make(variant: str, size: int) -> t.Any:
    logging.getLogger("django.request").setLevel(logging.CRITICAL)
    templates = {"BACKEND": "django.template.backends.django.DjangoTemplates"}
    w.static_file()
    settings.configure(
        ALLOWED_HOSTS=["*"],
        DEBUG=False,
        LOGGING_CONFIG=None,
        MIDDLEWARE=MIDDLEWARE.get(variant, []),
        ROOT_URLCONF="benchmarks_urls",
        SECRET_KEY=w.SECRET,
        SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
        TEMPLATES=[templates | {"DIRS": [str(w.TEMPLATES)]}],
        USE_I18N=False,
        USE_TZ=False,
    )
    module: t.Any = types.ModuleType("benchmarks_urls")
    if variant == "routes":
        module.urlpatterns = [path(f"section{n}/<str:name>", section) for n in range(size)]
    else:
        module.urlpatterns = [
            path("", text, name="text"),
            path("json", json),
            path("user/<int:number>", user, name="user"),
            path("place/<str:name>/<int:number>", place, name="place"),
            path("search", search),
            path("form", form),
            path("echo", echo),
            path("upload", upload),
            path("cookie", cookie),
            path("template", template),
            path("redirect", redirect),
            path("urls", urls),
            path("static/<path:name>", static),
            path("stream", stream),
            path("big", big),
            path("session", session),
            path("error", error),
        ]
    sys.modules["benchmarks_urls"] = module
    django.setup()
    return WSGIHandler()
