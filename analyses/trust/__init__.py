"""Can the maps be trusted: faithfulness, sanity, known evidence."""
