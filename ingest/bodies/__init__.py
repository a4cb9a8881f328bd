"""Payload bytes to values: JSON, CBOR and MessagePack, within bounds."""
