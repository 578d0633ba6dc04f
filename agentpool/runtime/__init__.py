"""What runs beside an opened pool: waiting for what concerns somebody, and upkeep."""
