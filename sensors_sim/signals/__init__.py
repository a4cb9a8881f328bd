"""What the sensors of each family would measure: pure functions over arrays of sites and times."""
