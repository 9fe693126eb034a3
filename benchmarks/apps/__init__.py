"""One app per framework, each written as its own documentation would write it.

A module has ``make(variant, size)``, which gives the app of that variant:

* ``main``: the workloads that need nothing of the app but its routes,
* ``session``: an app with signed sessions,
* ``errors``: an app with a handler for the exception a view raises,
* ``hooks``: an app with ten hooks before and ten after every request,
* ``routes``: an app with *size* dynamic routes.

``PROTOCOL`` tells how the app is called: ``wsgi`` or ``asgi``.
"""
