"""What is known of quality: honest pairs, scores, doubts about labels, effort."""
