"""Label Studio's ML backend protocol over HTTP. Never loads a network, never waits for training."""
