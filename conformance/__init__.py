"""The proof that Torsyq is Flask: published test suites, run unmodified on both, compared test by test.

``python -m conformance --help`` tells what it can do, ``docs/parity.md`` what it found.
"""
