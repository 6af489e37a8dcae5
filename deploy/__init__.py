"""Ship Prompt flow flows: one image, built once, run where the configuration says."""
