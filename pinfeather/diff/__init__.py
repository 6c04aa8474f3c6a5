"""`pinfeather diff`: which requests two documents send elsewhere, whatever dialects they are written in."""
