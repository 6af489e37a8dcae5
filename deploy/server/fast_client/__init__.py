"""A chat-completions client that needs less processor time than the OpenAI SDK; see README.md."""
