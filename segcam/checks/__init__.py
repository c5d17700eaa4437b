"""Can a map be trusted: faithfulness, sanity and the diagnosis of blank maps."""
