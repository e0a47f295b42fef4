"""People who label, simulated: what they click, and what they make of a prediction."""
