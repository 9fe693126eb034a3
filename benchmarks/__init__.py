"""What a request costs, beside Flask and its peers: ``python -m benchmarks --help``.

``docs/explanation/speed.md`` shows the stored results, and tells how they were measured.
"""
