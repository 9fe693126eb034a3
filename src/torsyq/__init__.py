"""Torsyq: Flask's API, word for word, on a fast core over WSGI and ASGI."""
