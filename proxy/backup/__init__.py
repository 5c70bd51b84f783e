"""Backup and restore of the embedded Redis, the usage journals and the SQLite files of one data directory."""
