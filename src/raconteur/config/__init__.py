"""Configuration: the schema (`schema`) and how it is read (`load`)."""
