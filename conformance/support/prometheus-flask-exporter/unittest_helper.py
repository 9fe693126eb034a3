"""The base class of prometheus-flask-exporter's tests; its archive carries the tests without it.

Written from what the tests say of it.
"""

import re
import unittest
from importlib.metadata import version

from flask import Flask
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from prometheus_flask_exporter import PrometheusMetrics


class BaseTestCase(unittest.TestCase):
    """An app, its client, and what its page of metrics says."""

    def setUp(self):
        self.app = Flask("tests")
        self.app.testing = True
        self.client = self.app.test_client()

    def metrics(self, **options):
        """The extension on the app, with a registry of its own."""
        return PrometheusMetrics(
            self.app, registry=CollectorRegistry(auto_describe=True), **options
        )

    def assumeBeforeFlaskVersion(self, bound):
        if numbers(version("flask")) >= numbers(bound):
            self.skipTest(f"meant for Flask before {bound}")

    def assumeMinimumFlaskVersion(self, bound):
        if numbers(version("flask")) < numbers(bound):
            self.skipTest(f"meant for Flask from {bound} on")

    def assertMetric(self, name, value, *labels, **options):
        """The page has *name* with just these labels, and a value that fits the pattern."""
        seen = self.samples(**options).get((name, named(labels)))
        assert seen is not None, f"{name} with {labels} is not there"
        assert re.match(str(value), str(seen)), f"{name} is {seen}"

    def assertAbsent(self, name, *labels, **options):
        assert (name, named(labels)) not in self.samples(**options)

    def samples(self, endpoint="/metrics"):
        page = self.client.get(endpoint).get_data(as_text=True)
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
        }


def named(labels):
    return frozenset((key, str(value)) for key, value in labels)


def numbers(text):
    return tuple(int(part) for part in text.split(".")[:3])
