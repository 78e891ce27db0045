//! What is said in a call, whole.
