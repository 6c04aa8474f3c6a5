"""A canary's life: its weight is raised in steps, each deployed and verified, and put back by itself where one fails."""
