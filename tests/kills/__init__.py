"""The engine and its plugins killed at random points, and what the next run makes of it. `make kills` runs all, `make test` four."""
