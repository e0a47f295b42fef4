"""What the report says: a module per section, each a pure function of figures."""
