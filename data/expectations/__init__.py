"""Row checks, the held-out leak check, the Great Expectations suite and the validation step."""
