//! Shares of a whole in percent.

/// Whole percents of each part, which add up to 100: rounded down, and what is left over goes to those that lost most. All
/// are 0 where the whole is.
pub(crate) fn percents(parts: &[u64]) -> Vec<u64> {
    let whole: u128 = parts.iter().copied().map(u128::from).sum();
    if whole == 0 {
        return vec![0; parts.len()];
    }
    let scaled: Vec<u128> = parts.iter().map(|&part| u128::from(part) * 100).collect();
    let mut percents: Vec<u64> =
        scaled.iter().map(|part| u64::try_from(part / whole).unwrap_or(100)).collect();
    let left = usize::try_from(100 - percents.iter().sum::<u64>()).unwrap_or(0);
    let mut by_loss: Vec<usize> = (0..parts.len()).collect();
    by_loss.sort_by_key(|&at| std::cmp::Reverse(scaled[at] % whole));
    by_loss.into_iter().take(left).for_each(|at| percents[at] += 1);
    percents
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_left_over_goes_to_those_that_lost_most() {
        assert!(percents(&[]).is_empty());
        assert_eq!(percents(&[0, 0]), [0, 0]);
        assert_eq!(percents(&[7]), [100]);
        assert_eq!(percents(&[1, 1, 1]), [34, 33, 33]);
        assert_eq!(percents(&[499, 501]), [50, 50]);
        assert_eq!(percents(&[495, 506, 999]), [25, 25, 50]);
        assert_eq!(percents(&[u64::MAX, u64::MAX]), [50, 50]);
    }

    proptest! {
        #[test]
        fn they_add_up_and_none_is_off_by_one(parts in proptest::collection::vec(any::<u64>(), 1..70)) {
            let whole: u128 = parts.iter().copied().map(u128::from).sum();
            prop_assume!(whole > 0);
            let found = percents(&parts);
            prop_assert_eq!(found.iter().sum::<u64>(), 100);
            for (&part, &percent) in parts.iter().zip(&found) {
                prop_assert!((u128::from(part) * 100).abs_diff(u128::from(percent) * whole) < whole);
            }
        }
    }
}
