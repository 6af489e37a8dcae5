"""What is inside a built image: its files, for people, and as documents."""
