"""ProjectX gateway payloads to and from the model."""
