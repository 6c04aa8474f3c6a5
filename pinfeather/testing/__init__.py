"""What judges our own formats, for the authors of others: `strategies`, `laws`, `probes`, case sheets and a real Traefik.

Nothing is imported here: pytest loads this package at the start of every run of whoever has Pinfeather installed.
"""
