"""What keeps an installation healthy: retention, backups, figures, readiness."""
