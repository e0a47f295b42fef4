"""Everything goes wrong at once, on several machines; afterwards nnloop holds what is true."""
