"""What every adapter keeps, whatever it can see."""
