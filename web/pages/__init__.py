"""One module for each page, with a function `page` that reads and draws."""
