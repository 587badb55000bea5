"""What a person reads of a study: tables, figures and the terminal; nothing here decides anything."""
