"""A store in batches, whatever the engine: group commit, decisions, look-ups, states."""
