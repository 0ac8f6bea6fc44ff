//! Places buffers in one arena so that those alive at the same time don't overlap.

/// A buffer's life: the first and last step that touch it, and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// The first step that touches it.
    pub first: usize,
    /// The last one.
    pub last: usize,
    /// Its length in words, a multiple of whole lines.
    pub words: usize,
}

/// Offsets in words for every buffer, and the arena's length: the longest first, each at the lowest offset where it fits.
/// (Greedy by size, as in Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020.)
pub fn place(lives: &[Life]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..lives.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(lives[*i].words));
    let mut offsets = vec![0; lives.len()];
    let mut placed: Vec<usize> = Vec::new();
    for i in order {
        let life = lives[i];
        let mut others: Vec<usize> =
            placed.iter().copied().filter(|j| lives[*j].first <= life.last && life.first <= lives[*j].last).collect();
        others.sort_by_key(|j| offsets[*j]);
        let mut at = 0;
        for j in others {
            if at + life.words <= offsets[j] {
                break;
            }
            at = at.max(offsets[j] + lives[j].words);
        }
        offsets[i] = at;
        placed.push(i);
    }
    let words = offsets.iter().zip(lives).map(|(at, life)| at + life.words).max().unwrap_or(0);
    (offsets, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_share_memory_when_their_lives_do_not_touch() {
        let life = |first, last, words| Life { first, last, words };
        let lives = [life(0, 1, 64), life(1, 2, 32), life(2, 3, 64), life(0, 3, 16)];
        let (offsets, words) = place(&lives);
        assert_eq!(words, 112);
        for (i, a) in lives.iter().enumerate() {
            for (j, b) in lives.iter().enumerate().skip(i + 1) {
                let together = a.first <= b.last && b.first <= a.last;
                let apart = offsets[i] + a.words <= offsets[j] || offsets[j] + b.words <= offsets[i];
                assert!(!together || apart, "{i} and {j}");
            }
        }
    }
}
