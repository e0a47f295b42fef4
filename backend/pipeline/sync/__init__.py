"""Reading Label Studio: what it holds, whether the connection is whole, what is due then."""
