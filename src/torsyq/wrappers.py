"""The request and the response, where Flask has them."""

from __future__ import annotations

from .wrappers_request import Request as Request
from .wrappers_response import Response as Response
