//! What somebody may have meant by a word that is not known.

/// The nearest of the known names, and how many letters were added, lost, changed or swapped.
pub fn nearest<T: AsRef<str>>(
    word: &str,
    known: impl IntoIterator<Item = T>,
) -> Option<(usize, T)> {
    let apart = |name: T| (strsim::damerau_levenshtein(word, name.as_ref()), name);
    known.into_iter().map(apart).min_by_key(|(apart, _)| *apart)
}

/// Like `nearest`, if it is so near that it must have been meant.
pub fn meant<T: AsRef<str>>(word: &str, known: impl IntoIterator<Item = T>) -> Option<T> {
    nearest(word, known).and_then(|(apart, name)| (apart <= 2).then_some(name))
}
