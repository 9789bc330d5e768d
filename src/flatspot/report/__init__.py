"""What people read: text, figures."""
