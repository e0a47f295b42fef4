"""The loop itself: from what Label Studio holds to what it shows. No HTTP, no queue mechanics."""
