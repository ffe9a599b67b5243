"""A whole portal on one machine: what `manage.py up` prepares, starts, watches and stops."""
