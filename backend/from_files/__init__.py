"""Training from files and predicting into files, without Label Studio, Redis or a service."""
