"""Parts of pages that several commands have, about networks and what came of them."""
