"""The application: configuration, composition and the services that the commands run."""
