"""Broker to observation table: subscribe, decode, store, acknowledge after COMMIT."""
