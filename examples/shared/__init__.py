"""What several examples use: tasks, texts, digits, figures, and how a program is run."""
