"""Where a run's frames go: files, pages, viewers; one file for each."""
