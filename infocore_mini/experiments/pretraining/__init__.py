"""The pretraining studies behind chapters 04 to 07 and 09."""
