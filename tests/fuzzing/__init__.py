"""Parsers of outside data, fed with what nobody would send.

``targets/`` has a ``Target`` for each parser; ``mutate.py`` spoils its seeds; ``target.py`` judges.
``tests/unit/test_parsers.py`` runs a few hundred inputs, ``python -m benchmarks.fuzz`` millions.
"""
