"""Names, integers and colours of classes, and which are the same on two sides. No pixels."""
