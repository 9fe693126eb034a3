"""The request and the response, where Flask has them."""

from __future__ import annotations

from .passed_on import passed_on
from .wrappers_request import Request as Request
from .wrappers_response import Response as Response

__getattr__ = passed_on(__name__)
