"""The processes nnloop starts on one machine: Label Studio, Redis, and its own."""
