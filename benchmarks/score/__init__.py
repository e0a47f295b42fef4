"""What scores are worth: expected against true Dice, before and after people's corrections."""
