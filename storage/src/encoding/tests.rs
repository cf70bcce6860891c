//! What every record and key has in common: round trips, order, damage, and bytes that stay as they are.
