"""Cases that a person should look at: which, and pictures of them."""
