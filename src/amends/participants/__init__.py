"""What a participant needs: the service that performs an action, and the client that asks it to."""
