//! The subset that saves the most within an allowance.

/// Steps in which an allowance is spent.
const LEVELS: usize = 2048;

/// Something to take or leave.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    /// What taking it saves.
    pub saves: u64,
    /// What it costs.
    pub costs: f64,
}

/// Of all subsets whose costs come to no more than `allowance` one that saves the most, by dynamic programming: costs are
/// rounded up to whole steps of the allowance. Of those that save the same it costs the least, so rounded.
pub(super) fn best_subset(items: &[Item], allowance: f64) -> Vec<bool> {
    let steps = |item: &Item| (item.costs / allowance * LEVELS as f64).ceil();
    // Of each number of steps the most that can be saved with it, and which items were taken on the way there.
    let mut saved = [0; LEVELS + 1];
    let mut taken = vec![[false; LEVELS + 1]; items.len()];
    for (item, taken) in items.iter().zip(&mut taken) {
        let steps = steps(item);
        // No number is no cost that could be paid.
        if !(0.0..=LEVELS as f64).contains(&steps) {
            continue;
        }
        let steps = steps as usize;
        for level in (steps..=LEVELS).rev() {
            let with = saved[level - steps] + item.saves;
            if with > saved[level] {
                (saved[level], taken[level]) = (with, true);
            }
        }
    }
    let most = saved[LEVELS];
    let mut level = saved.iter().position(|saved| *saved == most).unwrap_or(LEVELS);
    let mut subset = vec![false; items.len()];
    for (at, item) in items.iter().enumerate().rev() {
        if taken[at][level] {
            subset[at] = true;
            level -= steps(item) as usize;
        }
    }
    subset
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_prefix_of_any_order_is_needed() {
        let items = [(60, 5.0), (50, 4.0), (40, 3.0), (7, 0.0), (1000, f64::NAN), (1000, f64::INFINITY), (9, 11.0)];
        let items = items.map(|(saves, costs)| Item { saves, costs });
        // Best by saving for cost are the third and the second; the first and the second fill the allowance.
        assert_eq!(best_subset(&items, 9.01), [true, true, false, true, false, false, false]);
        assert_eq!(best_subset(&items, 4.5), [false, true, false, true, false, false, false]);
        assert_eq!(best_subset(&items, 1e-9), [false, false, false, true, false, false, false]);
        assert_eq!(best_subset(&[], 1.0), [] as [bool; 0]);
    }

    proptest! {
        #[test]
        fn nothing_saves_more(items in prop::collection::vec((1..1000_u64, 1..32_u32), 0..10), allowance in 1..128_u32) {
            let items: Vec<Item> =
                items.into_iter().map(|(saves, costs)| Item { saves, costs: f64::from(costs) }).collect();
            let sum = |subset: &[bool]| {
                let taken = || items.iter().zip(subset).filter(|(_, taken)| **taken).map(|(item, _)| item);
                (taken().map(|item| item.saves).sum::<u64>(), taken().map(|item| item.costs).sum::<f64>())
            };
            let found = sum(&best_subset(&items, f64::from(allowance)));
            prop_assert!(found.1 <= f64::from(allowance));
            for bits in 0..1_u32 << items.len() {
                let subset: Vec<bool> = (0..items.len()).map(|at| bits >> at & 1 == 1).collect();
                let (saves, costs) = sum(&subset);
                // Rounding up costs each item less than a step.
                if costs + items.len() as f64 * f64::from(allowance) / LEVELS as f64 <= f64::from(allowance) {
                    prop_assert!(saves <= found.0);
                }
            }
        }
    }
}
