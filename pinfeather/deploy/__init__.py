"""Deploying with Pulumi: the resources and components of a program, and the provider plugin that carries them out.

Nothing is imported here: `pinfeather.deploy.config_file` and its neighbours work without Pulumi.
"""
