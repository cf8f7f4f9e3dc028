"""The web page: one picture, the webcam, and the whole database. Imported only where the extra `web` is installed."""
