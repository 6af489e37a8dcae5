"""A chat-completions client with less processor time than the OpenAI SDK: docs/fast-client.md."""
