use super::*;

const HOUR_US: i64 = 3_600 * SECOND_US;

/// A hash whose kept part is this number.
fn hash(number: u32) -> u64 {
    u64::from(number) << 32
}

fn complete(most: usize, tenants: u32) -> EndedContacts {
    let mut ended = EndedContacts::new(most);
    let tenant = |number| (number, (HOUR_US, vec![number]));
    ended.configure((0..tenants).map(tenant).collect());
    while let Some(missing) = ended.to_load(0) {
        ended.set_loaded(missing.tenant, missing.generation, i64::MIN, 0);
    }
    ended
}

#[test]
fn a_part_of_the_contacts_of_the_largest_tenants_is_left_out() {
    // Their ends are at one time, at unknown ones, or at many.
    for ends in 0..3 {
        let mut ended = complete(800, 3);
        let at = |number: u32| match ends {
            0 => Some(HOUR_US),
            1 => None,
            _ => Some(HOUR_US + i64::from(number) * SECOND_US),
        };
        for number in 0..100 {
            ended.insert(0, hash(number), Some(0));
        }
        let numbers = (0..2_000_u32).map(|n| n.wrapping_mul(0x9E37_79B9));
        for number in numbers.clone() {
            for tenant in [1, 2] {
                ended.insert(tenant, hash(number), at(number % 1_000));
            }
        }
        assert!(ended.len() <= 800);
        let sizes: Vec<usize> = (0..3).map(|of| ended.tenants[&of].contacts.len()).collect();
        assert_eq!(sizes[0], 100);
        assert!(
            sizes[1].abs_diff(sizes[2]) <= 100 && sizes[1] > 200,
            "{sizes:?}"
        );
        let now = HOUR_US + 1_000 * SECOND_US;
        // Events of those cause questions, and of others that are in the same part.
        assert!(
            numbers
                .clone()
                .all(|number| ended.may_have(1, hash(number), now))
        );
        let others = numbers.map(|number| number ^ 1);
        let asking = others.filter(|&n| ended.may_have(1, hash(n), now)).count();
        assert!(asking < 2_000 - sizes[1] / 2, "{asking}");
        assert!(!ended.may_have(0, hash(5_000), now));
    }
}

#[test]
fn contacts_that_were_left_out_are_loaded_when_the_others_are_few() {
    let mut ended = complete(100, 1);
    for number in 0..200_u32 {
        ended.insert(0, hash(number.wrapping_mul(0x9E37_79B9)), Some(HOUR_US));
    }
    assert!(ended.dropped() > 0 && ended.may_have(0, hash(u32::MAX), 9 * HOUR_US));
    assert_eq!(ended.to_load(HOUR_US), None);
    ended.sweep(HOUR_US);
    assert_eq!(ended.to_load(HOUR_US), None);
    let later = 9 * HOUR_US;
    ended.sweep(later);
    let missing = ended.to_load(later).expect("all ends of the last hour");
    assert_eq!((ended.len(), missing.before), (0, NEVER));
    ended.set_loaded(0, missing.generation, missing.first, later);
    assert!(!ended.may_have(0, hash(u32::MAX), later));
}

#[test]
fn tenants_that_fill_the_table_together_are_not_loaded_again_and_again() {
    let mut ended = complete(800, 6);
    for number in 0..140_u32 {
        for tenant in 0..6 {
            ended.insert(
                tenant,
                hash(number.wrapping_mul(0x9E37_79B9)),
                Some(HOUR_US),
            );
        }
    }
    assert!(ended.dropped() > 0);
    for third in 1..4 {
        let now = HOUR_US + third * HOUR_US / 3;
        ended.sweep(now);
        assert_eq!(ended.to_load(now), None);
    }
}

#[test]
fn of_the_contacts_that_were_left_out_as_many_are_loaded_as_fit() {
    let mut ended = complete(800, 3);
    let numbers = (0..400_u32).map(|number| number.wrapping_mul(0x9E37_79B9));
    for number in numbers.clone() {
        for (tenant, at) in [(0, 0), (1, HOUR_US), (2, HOUR_US)] {
            ended.insert(tenant, hash(number), Some(at));
        }
    }
    let dropped = ended.dropped();
    let mut loaded = Vec::new();
    for third in 1..4 {
        let now = HOUR_US + third * HOUR_US / 3; // the ends of the first tenant are too old
        ended.sweep(now);
        while let Some(missing) = ended.to_load(now) {
            for number in numbers.clone().filter(|_| missing.tenant > 0) {
                ended.load(missing.tenant, hash(number), HOUR_US, now);
            }
            ended.set_loaded(missing.tenant, missing.generation, missing.first, now);
            loaded.push((third, missing.tenant));
        }
    }
    assert_eq!(loaded, [(1, 1), (1, 0)]);
    assert_eq!(
        (ended.tenants[&1].contacts.len(), ended.dropped()),
        (400, dropped)
    );
}

#[test]
fn a_contact_takes_few_bytes() {
    let most = 100_000;
    let mut ended = complete(most, 1);
    for number in 0..most as u32 {
        ended.insert(0, hash(number), Some(0));
        let used = ended.bytes() / ended.len();
        assert!(number < 1_000 || used <= 21, "{used}");
    }
}

#[test]
fn contacts_that_end_again_are_kept_once() {
    let mut ended = complete(10, 1);
    for second in [5, 9, 7] {
        ended.insert(0, hash(1), Some(second * SECOND_US));
    }
    assert_eq!(ended.len(), 1);
    assert!(ended.may_have(0, hash(1), 9 * SECOND_US + HOUR_US));
    assert!(!ended.may_have(0, hash(1), 10 * SECOND_US + HOUR_US));
}

#[test]
fn contacts_that_were_forgotten_are_loaded_for_a_longer_horizon() {
    let mut ended = complete(10, 1);
    ended.insert(0, hash(1), Some(HOUR_US));
    let now = 9 * HOUR_US;
    ended.sweep(now);
    assert_eq!((ended.len(), ended.to_load(now)), (0, None));
    ended.configure([(0, (20 * HOUR_US, vec![0]))].into());
    let missing = ended.to_load(now).expect("the ends that were forgotten");
    assert!(missing.before > 7 * HOUR_US && missing.first < HOUR_US);
    assert!(ended.may_have(0, hash(1), now));
}

#[test]
fn a_tenant_that_is_added_during_a_load_is_loaded_from_the_start() {
    let mut ended = complete(10, 1);
    let now = 10 * HOUR_US;
    ended.configure([(0, (HOUR_US, vec![0])), (1, (HOUR_US, vec![1]))].into());
    let old = ended.to_load(now).expect("the new tenant");
    assert_eq!((old.tenant, old.before), (1, NEVER));
    ended.configure([(0, (HOUR_US, vec![0]))].into());
    ended.configure([(0, (HOUR_US, vec![0])), (1, (HOUR_US, vec![1]))].into());
    assert_eq!(ended.set_loaded(1, old.generation, 0, now), None);
    let new = ended.to_load(now).expect("the tenant again");
    assert_eq!((new.tenant, new.before), (1, NEVER));
    assert!(ended.may_have(1, hash(1), now));
    assert_eq!(ended.set_loaded(1, new.generation, new.first, now), None);
    assert_eq!(ended.to_load(now), None);
}

#[test]
fn a_horizon_that_is_shorter_for_some_hours_costs_no_load() {
    let mut ended = complete(10, 1);
    ended.insert(0, hash(1), Some(0));
    let watching = |horizon, workflows: &[u32]| [(0, (horizon, workflows.to_vec()))].into();
    for (horizon, workflows) in [(0, &[][..]), (HOUR_US / 60, &[0])] {
        ended.configure(watching(horizon, workflows));
        let now = HOUR_US / 2;
        ended.sweep(now);
        assert!(!ended.may_have(0, hash(1), now));
        ended.insert(0, hash(2), Some(now));
        assert_eq!(ended.to_load(now), None);
        ended.configure(watching(HOUR_US, &[0]));
        assert_eq!(ended.to_load(now), None);
        assert!(ended.may_have(0, hash(1), now) && ended.may_have(0, hash(2), now));
    }
    ended.configure(watching(0, &[]));
    ended.sweep(HOUR_US);
    ended.sweep(HOUR_US + KEEP_US);
    assert_eq!((ended.len(), ended.bytes() < 1_000), (0, true));
    ended.configure(watching(HOUR_US, &[0]));
    assert_eq!(ended.to_load(KEEP_US).map(|of| of.before), Some(NEVER));
    ended.configure(watching(0, &[]));
    assert!(!ended.may_have(0, hash(1), KEEP_US));
}
