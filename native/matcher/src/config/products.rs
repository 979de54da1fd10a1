//! Looks up the products of a payment.

use std::cell::{Cell, OnceCell};

use ahash::RandomState;
use hashbrown::HashSet;

use crate::event::{Fact, Text};

/// Up to this many line items are always scanned: a scan is faster than a hash.
const FEW: usize = 16;
/// Look-ups that scan many line items. The set costs about as much as this many scans.
const SCANS: u32 = 8;

/// The products of one event. The line items of an event that has many of them are hashed once,
/// when the event is compared with many goals.
#[derive(Debug)]
pub struct Products<'e> {
    product_id: Option<&'e str>,
    line_items: &'e [Text<'e>],
    scans: Cell<u32>,
    set: OnceCell<HashSet<&'e str, RandomState>>,
}

impl<'e> Products<'e> {
    /// The products of a payment; none for any other fact.
    #[inline]
    pub fn of(fact: &'e Fact<'_>) -> Products<'e> {
        let (product_id, line_items) = match fact {
            Fact::PaymentCompleted {
                product_id,
                line_items,
                ..
            } => (product_id.as_deref(), &line_items[..]),
            _ => (None, &[][..]),
        };
        Products {
            product_id,
            line_items,
            scans: Cell::new(0),
            set: OnceCell::new(),
        }
    }

    /// Whether the product is the event's, or that of one of its line items.
    pub fn contain(&self, product: &str) -> bool {
        if self.product_id == Some(product) {
            return true;
        }
        let scans = self.scans.get();
        if self.line_items.len() <= FEW || scans < SCANS {
            self.scans.set(scans.saturating_add(1));
            return self.line_items.iter().any(|item| **item == *product);
        }
        let hashed = || self.line_items.iter().map(|item| &**item).collect();
        self.set.get_or_init(hashed).contains(product)
    }
}

#[cfg(test)]
mod tests {
    use super::{FEW, Products, SCANS};
    use crate::event::{Fact, Text};

    fn payment(line_items: usize) -> Fact<'static> {
        let item = |number| Text::from(format!("p-{number}"));
        Fact::PaymentCompleted {
            amount: None,
            currency: None,
            product_id: Some("p-own".into()),
            line_items: (0..line_items).map(item).collect(),
        }
    }

    #[test]
    fn every_look_up_gives_the_same_answer() {
        for line_items in [0, 1, FEW, FEW + 1, 2_400] {
            let fact = payment(line_items);
            let products = Products::of(&fact);
            for _ in 0..3 * SCANS {
                for number in 0..line_items + 2 {
                    let expected = number < line_items;
                    assert_eq!(products.contain(&format!("p-{number}")), expected);
                }
                assert!(products.contain("p-own") && !products.contain(""));
            }
            assert_eq!(products.set.get().is_some(), line_items > FEW);
        }
    }

    #[test]
    fn an_event_without_line_items_has_its_own_product_only() {
        assert!(!Products::of(&Fact::ContactDeleted).contain("p-own"));
        assert!(Products::of(&payment(0)).contain("p-own"));
    }
}
