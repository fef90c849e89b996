"""Run folders and other records, read into what a report tells of."""
