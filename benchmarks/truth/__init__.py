"""What annotators see against what nnloop trains on and offers: ``python -m benchmarks.truth``.

``reader`` and ``drawing`` share no code with the product (a test looks at their imports); the one
module that calls nnloop is ``nnloop_view``.
"""
