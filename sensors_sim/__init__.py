"""A seeded city of sensors: every message is a pure function of the seed, the thing, the time and the incidents."""
