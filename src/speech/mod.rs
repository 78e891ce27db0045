//! How well speech was written down: texts made comparable, compared, and summed up with how sure that is.
//!
//! A *reference* is what was said, a *hypothesis* what a recogniser made of it. Both are cut into units
//! ([`normalise`]): characters where a language writes no spaces between words, words elsewhere. The fewest
//! substitutions, deletions and insertions that make one of the other ([`distance`]) by the reference's units are the
//! character or word error rate; [`bootstrap`] says how far it may be from that of all speech like it. [`corpus`] and
//! [`wave`] read what is measured with, [`condition`] makes it sound as on a bad line. Nothing here opens a file or a
//! socket; every text and sound is from outside and bounded.

pub mod bootstrap;
pub mod condition;
pub mod corpus;
pub mod distance;
pub mod measured;
pub mod normalise;
mod numerals;
pub mod wave;
