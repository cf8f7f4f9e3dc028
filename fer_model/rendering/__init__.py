"""Pictures and videos with faces drawn in or hidden."""
