"""The service: Label Studio's protocol, jobs, the store, the command line, the processes."""
