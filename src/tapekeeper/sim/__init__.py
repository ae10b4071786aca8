"""A simulated gateway that speaks the real protocols on the loopback interface."""
