"""Small helpers without a domain."""
