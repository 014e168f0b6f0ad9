from otaru.apps.server.api.application import application

__all__ = ["application"]
