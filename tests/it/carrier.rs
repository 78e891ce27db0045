//! The carrier's door under bad input, against a whole gateway.
