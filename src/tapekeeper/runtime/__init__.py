"""Where things run: every task and every queue is owned here."""
