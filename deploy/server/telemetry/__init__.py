"""OpenTelemetry for the server: traces and metrics of requests, and their export."""
