"""What a report says in words, from what its records hold."""
