"""Benchmarks: what one request costs, beside Flask and its peers. See ``README.md``."""
