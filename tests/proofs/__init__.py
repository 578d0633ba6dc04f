"""The proofs of the testing kit, shortened."""
