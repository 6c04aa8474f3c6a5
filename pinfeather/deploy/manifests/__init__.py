"""What runs in a cluster beside the routes, as plain objects: a Traefik, or the reference proxy. Pure; no Pulumi."""
