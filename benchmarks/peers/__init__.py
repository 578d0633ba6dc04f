"""What one would use instead, each made to do the same job. Nothing here is part of the library."""
