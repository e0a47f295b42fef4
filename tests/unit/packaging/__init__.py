"""Tests of what surrounds the code: container files, Makefile, constraints, docs, benchmarks."""
