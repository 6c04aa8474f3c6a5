"""Case sheets as a pytest plugin (filled in below)."""
