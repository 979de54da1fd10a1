"""goald ends a contact's enrollment in a marketing workflow when the contact achieves its goal."""
